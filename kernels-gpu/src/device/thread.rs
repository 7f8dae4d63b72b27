//! Where a thread stands, and what it finds there.

use super::codegen::{
    _block_dim_x, _block_idx_x, _block_idx_y, _block_idx_z, _grid_dim_x, _thread_idx_x,
};
use super::{memory, ptx};
use fouroversix_core::abi::{GlobalScale, QuantizeParams, QuantizeTensor, SKIPPABLE};

/// Index within the block.
#[inline(always)]
pub(crate) fn index() -> u32 {
    // SAFETY: reads a special register.
    unsafe { _thread_idx_x() as u32 }
}

/// Index within the first dimension of the grid.
#[inline(always)]
pub(crate) fn global_index() -> u32 {
    first_of_block() + index()
}

/// That of the block's first thread.
#[inline(always)]
pub(crate) fn first_of_block() -> u32 {
    // SAFETY: reads special registers.
    unsafe { (_block_idx_x() as u32) * (_block_dim_x() as u32) }
}

/// Threads of a block.
#[inline(always)]
pub(crate) fn count() -> u32 {
    // SAFETY: reads a special register.
    unsafe { _block_dim_x() as u32 }
}

/// Blocks along the first dimension of the grid.
#[inline(always)]
pub(crate) fn grid_blocks() -> u32 {
    // SAFETY: reads a special register.
    unsafe { _grid_dim_x() as u32 }
}

/// Threads along the first dimension of the grid.
#[inline(always)]
pub(crate) fn grid_size() -> u32 {
    grid_blocks() * count()
}

/// The block's coordinates in the grid.
#[inline(always)]
pub(crate) fn block() -> [u32; 3] {
    // SAFETY: reads special registers.
    unsafe { [_block_idx_x() as u32, _block_idx_y() as u32, _block_idx_z() as u32] }
}

/// Whether the caller asked, in device memory, for nothing to be done.
#[inline(always)]
pub(crate) unsafe fn skip_set(flag: u64) -> bool {
    // SAFETY: the launch contract: null or a readable u32.
    flag != 0 && unsafe { memory::load_b32(flag as *const u8) } != 0
}

/// The same, where a flag of the launch says whether to look.
#[inline(always)]
pub(crate) unsafe fn skipped(p: &QuantizeParams) -> bool {
    // SAFETY: the launch contract: with the flag there is a readable u32.
    p.flags & SKIPPABLE != 0 && unsafe { memory::load_b32(p.skip as *const u8) } != 0
}

/// The tensor of this launch, or of this block's layer of a grouped one.
#[inline(always)]
pub(crate) unsafe fn tensor<const GROUPED: bool>(p: &QuantizeParams) -> QuantizeTensor {
    if GROUPED {
        // SAFETY: the launch contract: one entry for each layer of the grid.
        unsafe { (p.group as *const QuantizeTensor).add(block()[2] as usize).read() }
    } else {
        p.tensor
    }
}

/// Loads a global scale.
#[inline(always)]
pub(crate) unsafe fn load_global(at: *const GlobalScale) -> GlobalScale {
    // SAFETY: the caller's promise: written before the launch.
    let [amax, s_enc, s_dec, limit] = unsafe { memory::load_v4(at.cast()) }.map(f32::from_bits);
    GlobalScale { amax, s_enc, s_dec, limit }
}

/// Offset of a scale in the tensor cores' layout, see [`fouroversix_core::config::ScaleLayout`].
#[inline(always)]
pub(crate) fn swizzled(row: u32, block: u32, blocks_per_row: u32) -> usize {
    let tile = (row / 128) as usize * blocks_per_row.div_ceil(4) as usize + (block / 4) as usize;
    tile * 512 + ((row % 32) * 16 + (row % 128) / 32 * 4 + block % 4) as usize
}

/// Where the scale of a block goes in the tensor cores' layout, of `[rows, blocks]` scales, after
/// [`zero_padding`].
#[inline(always)]
pub(crate) unsafe fn swizzled_at(
    scales: u64,
    [rows, blocks]: [u32; 2],
    row: u32,
    block: u32,
) -> *mut u8 {
    // Nothing of this may be computed ahead in a launch that isn't swizzled.
    let (rows, blocks) = (ptx::opaque(rows), ptx::opaque(blocks));
    // SAFETY: the launch contract: room for the padding too.
    unsafe {
        zero_padding(scales, [rows, blocks], row, block);
        (scales as *mut u8).add(swizzled(row, block, blocks))
    }
}

/// Writes a block's share of the zeros of the padding of that layout: the padding of 128 rows is
/// shared out among the rows there are, that of 4 blocks falls to the last block of a row.
#[inline(always)]
pub(crate) unsafe fn zero_padding(scales: u64, [rows, blocks]: [u32; 2], row: u32, block: u32) {
    let scales = scales as *mut u8;
    // SAFETY: the launch contract: room for the padding too.
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
