//! 16x16 blocks, for the rowwise output, the columnwise one or both.
//!
//! A thread block of 128 threads takes 64x64 elements, or for the rowwise output alone 16x256. A warp has 16x64,
//! a lane two blocks, eight rows apart: a warp's loads are coalesced to whole lines of 128 bytes. Four warps side by
//! side write whole lines of rowwise codes; below each other they have whole lines of columnwise ones, which are
//! the rowwise ones, transposed in shared memory: four lanes write 32 coalesced bytes.

use super::transpose;
use crate::decide::lines::{Encoded, Lines};
use crate::decide::metric::Metric;
use crate::decide::rounding::Rounding;
use crate::decide::tile;
use crate::formats::{e4m3, scale_layout};
use crate::load::block::Strided;
use crate::load::input::Input;
use crate::load::tensor;
use crate::ptx::{memory, shared, thread};
use fouroversix_core::abi::{GlobalScale, QuantizeParams, QuantizeTensor, SWIZZLED, TILE_COLS};

/// Rows and columns of a thread block.
const EDGE: u32 = TILE_COLS;
/// 16x16 blocks along an edge, and warps.
const TILES: u32 = EDGE / 16;

/// Encodes a thread block's elements and stores them.
#[inline(always)]
pub(crate) unsafe fn kernel<
    T: Input,
    M: Metric,
    R: Rounding,
    const ROWWISE: bool,
    const COLUMNWISE: bool,
    const GROUPED: bool,
>(
    p: &QuantizeParams,
    rounding: R,
) {
    // SAFETY: launch contract, clauses 2 to 8: loads are clamped to the tensor, stores predicated on it.
    unsafe {
        if tensor::skipped(p) {
            return;
        }
        let tensor = tensor::of_launch::<GROUPED>(p);
        let [x, y, _] = thread::block();
        let (lane, warp) = (thread::index() % 32, thread::index() / 32);
        let (row_tiles, blocks) = (tensor.rows / 16, tensor.cols / 16);
        let (tile, first) = if COLUMNWISE {
            if (y * EDGE >= tensor.rows) | (x * EDGE >= tensor.cols) {
                return;
            }
            (y * TILES + warp, x * TILES)
        } else {
            let (tile, first) = (y * TILES + x % TILES, (x / TILES * TILES + warp) * TILES);
            if (tile >= row_tiles) | (first >= blocks) {
                return;
            }
            (tile, first)
        };
        let block = first + lane % 4;
        // Lanes past the edge encode the last tile and store nothing: votes and shuffles need all lanes.
        let present = tile < row_tiles && block < blocks;
        let (tile, block) = (tile.min(row_tiles - 1), block.min(blocks - 1));
        let rows = [0, 8].map(|half| tile * 16 + lane / 4 + half);
        let first = rows[0] * blocks + block;
        let index = [first, first + 8 * blocks];
        let input = tensor.input as *const u8;
        let at = index.map(|index| input.add(index as usize * 16 * T::BYTES as usize));
        let number = tensor::number::<GROUPED>();
        let roundings = [false, true].map(|columnwise| rounding.of_output(number, columnwise));
        let column = |half: u32| block * 16 + lane / 4 + half;
        let segments = [
            index.map(|index| roundings[0].rowwise_segment(index)),
            [0, 8].map(|half| roundings[1].segment(column(half), row_tiles, tile)),
        ];
        let lines = Lines::<T> {
            raw: at.map(|at| T::load(at)),
            rows: at.map(|at| Strided { at, stride: T::BYTES }),
            columns: columns_of(at[0], lane / 4, u64::from(tensor.cols) * T::BYTES, T::BYTES),
            lane,
            segments,
        };
        // Both outputs have one global scale.
        let global = if ROWWISE { tensor.global } else { tensor.global_t };
        let global = tensor::load_global(global as *const GlobalScale);
        let [rowwise, columnwise] = tile::encode::<T, M, R, ROWWISE, COLUMNWISE>(
            &lines,
            roundings,
            |rows| transpose::turn(warp, lane, rows),
            &global,
            p.flags,
        );
        if ROWWISE && present {
            let scale = e4m3::byte(rowwise.scale);
            let index = index.map(|index| index as usize);
            for i in 0..2 {
                memory::store_v2((tensor.codes as *mut u8).add(index[i] * 8), rowwise.codes[i]);
            }
            // Branches of their own: one store after either needs its address moved between registers.
            if p.flags & SWIZZLED != 0 {
                for row in rows {
                    let shape = [tensor.rows, blocks];
                    let at = scale_layout::swizzled_at(tensor.scales, shape, row, block);
                    memory::store_b8(at, scale);
                }
            } else {
                for index in index {
                    memory::store_b8((tensor.scales as *mut u8).add(index), scale);
                }
            }
        }
        if COLUMNWISE {
            let Encoded { codes, scale } = columnwise;
            if R::NEAREST {
                transpose::store(warp, lane / 4, lane % 4, codes[0]);
                transpose::store(warp, lane / 4 + 8, lane % 4, codes[1]);
            } else {
                transpose::store_column(warp, lane % 4 * 16 + lane / 4, codes[0]);
                transpose::store_column(warp, lane % 4 * 16 + lane / 4 + 8, codes[1]);
            }
            if lane < 4 {
                transpose::store_scale(warp, lane, e4m3::byte(scale));
            }
            shared::barrier();
            if R::NEAREST {
                store_columns(&tensor, p.flags, [x, y]);
            } else {
                store_whole_columns(&tensor, p.flags, [x, y]);
            }
        }
    }
}

/// Columns j and j+8 of a tile, whose row j is at `row`.
#[inline(always)]
fn columns_of(row: *const u8, j: u32, stride: u64, bytes: u64) -> [Strided; 2] {
    let first = row.wrapping_sub((u64::from(j) * stride) as usize);
    [j, j + 8].map(|column| Strided {
        at: first.wrapping_add((u64::from(column) * bytes) as usize),
        stride,
    })
}

/// Copies the thread block's codes from shared memory to the columnwise output.
#[inline(always)]
unsafe fn store_columns(tensor: &QuantizeTensor, flags: u32, [x, y]: [u32; 2]) {
    // SAFETY: shared memory was written before the barrier.
    let own = unsafe { transpose::load_columns(thread::index()) };
    // Columns are a multiple of 16: both lines are inside, or neither.
    let (line, block) = (x * EDGE + own.column, y * (EDGE / 16) + own.group);
    // SAFETY: the caller's promise.
    unsafe {
        store_column(tensor, flags, [line, block], own.codes[0], own.scale);
        store_column(tensor, flags, [line + 1, block], own.codes[1], own.scale);
    }
}

/// The same, where each thread encoded columns: two blocks of a line each.
#[inline(always)]
unsafe fn store_whole_columns(tensor: &QuantizeTensor, flags: u32, [x, y]: [u32; 2]) {
    let (line, first) = (thread::index() / 2, thread::index() % 2 * 2);
    // SAFETY: shared memory was written before the barrier.
    let codes = unsafe { transpose::load_column(line, first) };
    let (line, block) = (x * EDGE + line, y * (EDGE / 16) + first);
    // SAFETY: shared memory was written before the barrier; the caller's promise.
    unsafe {
        let scale = |group| transpose::load_scale(group, thread::index() / 32);
        store_column(tensor, flags, [line, block], codes[0], scale(first));
        store_column(tensor, flags, [line, block + 1], codes[1], scale(first + 1));
    }
}

/// Stores a block of the columnwise output, if it is inside the tensor.
#[inline(always)]
unsafe fn store_column(
    tensor: &QuantizeTensor,
    flags: u32,
    [line, block]: [u32; 2],
    codes: [u32; 2],
    scale: u16,
) {
    let blocks = tensor.rows / 16;
    if line < tensor.cols && block < blocks {
        let index = (line * blocks + block) as usize;
        // SAFETY: launch contract, clauses 3 to 5, for lines and blocks inside the tensor.
        unsafe {
            memory::store_v2((tensor.codes_t as *mut u8).add(index * 8), codes);
            // Branches of their own, as of the rowwise output.
            if flags & SWIZZLED != 0 {
                let shape = [tensor.cols, blocks];
                let at = scale_layout::swizzled_at(tensor.scales_t, shape, line, block);
                memory::store_b8(at, scale);
            } else {
                memory::store_b8((tensor.scales_t as *mut u8).add(index), scale);
            }
        }
    }
}
