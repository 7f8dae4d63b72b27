//! 128x64 tiles: 16x16 blocks, and blocks that run down columns.
//!
//! A block of 256 threads takes a tile. Rowwise, warp w has rows 16w..16w+16 and a lane two blocks,
//! eight rows apart, of the 64 columns: a warp's accesses fill whole lines of 128 bytes. Columnwise,
//! warp w has the same rows, and a lane two neighbouring columns; its results go through shared
//! memory so that a column's 64 bytes leave together. Both in one launch read the tile once from
//! memory, the second time from L1.

use super::block::Encoded;
use super::block_wide::{self, shared};
use super::exact::Strided;
use super::input::Input;
use super::memory;
use super::metric::Metric;
use super::pair::{self, Columns, Lines, Rows};
use super::thread;
use crate::abi::{GlobalScale, QuantizeParams, QuantizeTensor, ROW_SCALED, TILE_COLS, TILE_ROWS};

/// Bytes of a column's 8 blocks of codes in shared memory: 64, and 8 that spread the banks.
const COLUMN_PITCH: u32 = 72;
/// Where the columns' scales follow their codes.
const SCALES: u32 = COLUMN_PITCH * TILE_COLS;

/// Where a warp stands.
struct Place {
    flags: u32,
    lane: u32,
    warp: u32,
    /// The tile's first row and column.
    row: u32,
    column: u32,
}

/// Encodes one tile and stores it.
#[inline(always)]
pub(crate) unsafe fn kernel<
    T: Input,
    M: Metric,
    const TWO_D: bool,
    const ROWWISE: bool,
    const COLUMNWISE: bool,
>(
    p: &QuantizeParams,
) {
    // SAFETY: the launch contract.
    unsafe {
        if thread::skipped(p) {
            return;
        }
        let tensor = if p.group == 0 { p.tensor } else { thread::tensor::<true>(p) };
        let [x, y, _] = thread::block();
        let thread = thread::index();
        let place = Place {
            flags: p.flags,
            lane: thread % 32,
            warp: thread / 32,
            row: y * TILE_ROWS,
            column: x * TILE_COLS,
        };
        if place.row >= tensor.rows || place.column >= tensor.cols {
            return;
        }
        if ROWWISE {
            rowwise::<T, M, TWO_D>(&tensor, &place);
        }
        if COLUMNWISE {
            columnwise::<T, M, TWO_D>(&tensor, &place);
        }
    }
}

#[inline(always)]
unsafe fn rowwise<T: Input, M: Metric, const TWO_D: bool>(tensor: &QuantizeTensor, place: &Place) {
    let rows = [
        place.row + place.warp * 16 + place.lane / 4,
        place.row + place.warp * 16 + place.lane / 4 + 8,
    ];
    let block = place.column / 16 + place.lane % 4;
    let blocks = tensor.cols / 16;
    // Rows come in sixteens: both or neither.
    let present = rows[0] < tensor.rows && block < blocks;
    let index = |row: u32| row as usize * blocks as usize + block as usize;
    // SAFETY: the launch contract, for a block that is present.
    unsafe {
        let at = rows.map(|row| Strided {
            at: (tensor.input as *const u8).wrapping_add(index(row) * 16 * T::BYTES as usize),
            stride: T::BYTES,
        });
        let load = |at: Strided| if present { T::load(at.at) } else { T::zeros() };
        let lines = Lines::<T> { raw: [load(at[0]), load(at[1])], at, present };
        let encoded = encode::<T, M, Rows, TWO_D>(&lines, tensor.global, rows, place);
        if present {
            for i in 0..2 {
                let Encoded { codes, scale } = encoded[i];
                memory::store_v2((tensor.codes as *mut u8).add(index(rows[i]) * 8), codes);
                let shape = [tensor.rows, blocks];
                let at = thread::scale_at(tensor.scales, place.flags, shape, rows[i], block);
                memory::store_b8(at, scale);
            }
        }
    }
}

#[inline(always)]
unsafe fn columnwise<T: Input, M: Metric, const TWO_D: bool>(
    tensor: &QuantizeTensor,
    place: &Place,
) {
    let first_row = place.row + place.warp * 16;
    let column = place.column + place.lane * 2;
    let present = first_row < tensor.rows && column < tensor.cols;
    let stride = u64::from(tensor.cols) * T::BYTES;
    // SAFETY: the launch contract, for columns that are present.
    unsafe {
        let at = (tensor.input as *const u8)
            .wrapping_add((u64::from(first_row) * stride + u64::from(column) * T::BYTES) as usize);
        let raw = if present { T::load_columns(at, stride) } else { [T::zeros(); 2] };
        let at =
            [Strided { at, stride }, Strided { at: at.wrapping_add(T::BYTES as usize), stride }];
        let lines = Lines::<T> { raw, at, present };
        let encoded =
            encode::<T, M, Columns, TWO_D>(&lines, tensor.global_t, [column, column + 1], place);
        for i in 0..2 {
            let column = place.lane * 2 + i as u32;
            let at = shared() + column * COLUMN_PITCH + place.warp * 8;
            block_wide::store_v2(at, encoded[i].codes);
            block_wide::store_b8(shared() + SCALES + column * 8 + place.warp, encoded[i].scale);
        }
        block_wide::barrier();
        store_columns(tensor, place);
    }
}

/// Shared memory to the columnwise outputs: eight lanes for a column.
#[inline(always)]
unsafe fn store_columns(tensor: &QuantizeTensor, place: &Place) {
    let blocks = tensor.rows / 16;
    let block = place.row / 16 + place.lane % 8;
    for half in 0..2 {
        let column = place.warp * 4 + place.lane / 8 + half * (TILE_COLS / 2);
        let row = place.column + column;
        if row < tensor.cols && block < blocks {
            // SAFETY: the launch contract; written before the barrier.
            unsafe {
                let at = shared() + column * COLUMN_PITCH + place.lane % 8 * 8;
                let index = row as usize * blocks as usize + block as usize;
                memory::store_v2(
                    (tensor.codes_t as *mut u8).add(index * 8),
                    block_wide::load_v2(at),
                );
                let scale = block_wide::load_b8(shared() + SCALES + column * 8 + place.lane % 8);
                let shape = [tensor.cols, blocks];
                let at = thread::scale_at(tensor.scales_t, place.flags, shape, row, block);
                memory::store_b8(at, scale);
            }
        }
    }
}

#[inline(always)]
unsafe fn encode<T: Input, M: Metric, S: pair::Spread, const TWO_D: bool>(
    lines: &Lines<T>,
    global: u64,
    line: [u32; 2],
    place: &Place,
) -> [Encoded; 2] {
    let global = global as *const GlobalScale;
    // SAFETY: the launch contract: one scale, or one for each line.
    unsafe {
        if TWO_D {
            let global = thread::load_global(global);
            return pair::encode_2d::<T, M, S>(lines, &global, place.flags, place.lane);
        }
        let own = |i: usize| {
            let row_scaled = place.flags & ROW_SCALED != 0 && lines.present;
            thread::load_global(global.add(if row_scaled { line[i] as usize } else { 0 }))
        };
        pair::encode_1d::<T, M>(lines, [&own(0), &own(1)], place.flags)
    }
}
