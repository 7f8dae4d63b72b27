//! The swizzled layout of block scales (step 11): 128x4 tiles, as tensor cores read them.

use crate::ptx::{self, memory};

/// Offset of a scale in the tensor cores' layout, see [`fouroversix_core::config::ScaleLayout`].
#[inline(always)]
pub(crate) fn swizzled(row: u32, block: u32, blocks_per_row: u32) -> usize {
    // Tiles are counted in 32 bits: there are fewer than blocks (launch contract, clause 1), or few more.
    let tile = row / 128 * blocks_per_row.div_ceil(4) + block / 4;
    tile as usize * 512 + ((row % 32) * 16 + (row % 128) / 32 * 4 + block % 4) as usize
}

/// Address of a block's scale in that layout, of `[rows, blocks]` scales. Writes the block's share of the
/// padding first.
#[inline(always)]
pub(crate) unsafe fn swizzled_at(
    scales: u64,
    [rows, blocks]: [u32; 2],
    row: u32,
    block: u32,
) -> *mut u8 {
    // `opaque` keeps launches with linear scales from computing any of this.
    let (rows, blocks) = (ptx::opaque(rows), ptx::opaque(blocks));
    // SAFETY: launch contract, clause 5: room for the padding.
    unsafe {
        if rows % 128 != 0 || blocks % 4 != 0 {
            zero_padding(scales, [rows, blocks], row, block);
        }
        (scales as *mut u8).add(swizzled(row, block, blocks))
    }
}

/// Writes a block's share of the padding: zeros. Rows of padding are divided among the tensor's rows;
/// blocks of padding fall to the last block of their row.
#[inline(always)]
pub(crate) unsafe fn zero_padding(scales: u64, [rows, blocks]: [u32; 2], row: u32, block: u32) {
    let scales = scales as *mut u8;
    // SAFETY: launch contract, clause 5: room for the padding.
    unsafe {
        let last = block == blocks - 1;
        let mut pad_row = row;
        while pad_row < rows.next_multiple_of(128) {
            if pad_row >= rows {
                memory::store_b8(scales.add(swizzled(pad_row, block, blocks)), 0);
            }
            let mut pad_block = blocks;
            while last && pad_block < blocks.next_multiple_of(4) {
                memory::store_b8(scales.add(swizzled(pad_row, pad_block, blocks)), 0);
                pad_block += 1;
            }
            pad_row += rows;
        }
    }
}
