//! 16x16 blocks, for the rowwise output, the columnwise one or both.
//!
//! A warp has 16x64 elements, a lane two blocks, eight rows apart: a warp's loads are coalesced to whole lines of
//! 128 bytes. For the rowwise output alone a thread block has four warps side by side, 16x256 elements; with
//! columns it has eight below each other, 128x64 (a search, whose registers are many, four). L2 serves as many requests a second whatever their size, so
//! stores are made wide in shared memory: columnwise codes, which are the rowwise ones transposed, 64 bytes of a
//! column at a time; rowwise ones by the plain rule, where stores are the limit, whole lines.

use super::gather;
use super::transpose::{self, Column};
use crate::decide::lines::{Encoded, Lines};
use crate::decide::metric::Metric;
use crate::decide::rounding::Rounding;
use crate::decide::tile;
use crate::formats::{e4m3, scale_layout};
use crate::load::block::Strided;
use crate::load::input::Input;
use crate::load::tensor;
use crate::ptx::{memory, shared, thread};
use fouroversix_core::abi::{
    GlobalScale, QuantizeParams, QuantizeTensor, SWIZZLED, TILE_COLS, TRANSPOSED_ROWS,
};

/// 16x16 blocks of a warp, side by side.
const TILES: u32 = TILE_COLS / 16;

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
        let groups = if M::SEARCH { TILES } else { TRANSPOSED_ROWS / 16 };
        let (tile, first) = if COLUMNWISE {
            if (y * groups * 16 >= tensor.rows) | (x * TILE_COLS >= tensor.cols) {
                return;
            }
            (y * groups + warp, x * TILES)
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
            // A row of a thread block's tiles is 128 aligned bytes of codes and 16 of scales.
            let aligned = blocks % 16 == 0 && (tensor.codes | tensor.scales) % 16 == 0;
            let gathered = !COLUMNWISE && !M::FOUR_OVER_SIX && aligned;
            if gathered {
                let (j, group) = (lane / 4, warp * TILES + lane % 4);
                gather::store(j, group, rowwise.codes[0]);
                gather::store(j + 8, group, rowwise.codes[1]);
                if lane < 4 {
                    gather::store_scale(group, scale);
                }
                shared::barrier();
                let (row, piece) =
                    (thread::index() / gather::PIECES, thread::index() % gather::PIECES);
                let first = (tile * 16 + row) * blocks + x / TILES * (TILES * TILES);
                let codes = (tensor.codes as *mut u8).add(first as usize * 8 + piece as usize * 16);
                memory::store_v4(codes, gather::load(row, piece));
                if p.flags & SWIZZLED == 0 {
                    if piece == 0 {
                        let scales = (tensor.scales as *mut u8).add(first as usize);
                        memory::store_v4(scales, gather::load_scales());
                    }
                    return;
                }
            }
            let index = index.map(|index| index as usize);
            if !gathered {
                for i in 0..2 {
                    memory::store_v2((tensor.codes as *mut u8).add(index[i] * 8), rowwise.codes[i]);
                }
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
                store_columns(&tensor, p.flags, [x, y], groups);
            } else {
                store_whole_columns(&tensor, p.flags, [x, y], groups);
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
unsafe fn store_columns(tensor: &QuantizeTensor, flags: u32, [x, y]: [u32; 2], groups: u32) {
    // SAFETY: shared memory was written before the barrier.
    let Column { column, first, codes } = unsafe { transpose::load_codes(thread::index(), groups) };
    // SAFETY: the caller's promise.
    unsafe { store_column(tensor, flags, [x, y * groups], [column, first], codes) }
}

/// The same, where each thread encoded columns.
#[inline(always)]
unsafe fn store_whole_columns(tensor: &QuantizeTensor, flags: u32, [x, y]: [u32; 2], groups: u32) {
    let (column, first) = (thread::index() / 4, thread::index() % 4 * 2);
    // SAFETY: shared memory was written before the barrier; the caller's promise.
    unsafe {
        let codes = transpose::load_column(column, first);
        store_column(tensor, flags, [x, y * groups], [column, first], codes)
    }
}

/// Stores two neighbouring blocks of a column, where they are inside the tensor. `top` is the thread block's first
/// group of rows.
#[inline(always)]
unsafe fn store_column(
    tensor: &QuantizeTensor,
    flags: u32,
    [x, top]: [u32; 2],
    [column, first]: [u32; 2],
    [a, b]: [[u32; 2]; 2],
) {
    let blocks = tensor.rows / 16;
    let (line, block) = (x * TILE_COLS + column, top + first);
    if (line >= tensor.cols) | (block >= blocks) {
        return;
    }
    let index = (line * blocks + block) as usize;
    // SAFETY: launch contract, clauses 3 to 5, for lines and blocks inside the tensor; shared memory was written
    // before the barrier.
    unsafe {
        let scales = transpose::load_scales(first, column / 16);
        let codes = (tensor.codes_t as *mut u8).add(index * 8);
        // Both at once where every line begins at a multiple of their size.
        let paired = blocks % 2 == 0 && tensor.codes_t % 16 == 0 && tensor.scales_t % 2 == 0;
        if paired {
            memory::store_v4(codes, [a[0], a[1], b[0], b[1]]);
            if flags & SWIZZLED == 0 {
                memory::store_b16((tensor.scales_t as *mut u8).add(index), scales);
                return;
            }
        }
        for i in 0..2 {
            if block + i < blocks {
                if !paired {
                    memory::store_v2(codes.add(i as usize * 8), if i == 0 { a } else { b });
                }
                let at = if flags & SWIZZLED != 0 {
                    let shape = [tensor.cols, blocks];
                    scale_layout::swizzled_at(tensor.scales_t, shape, line, block + i)
                } else {
                    (tensor.scales_t as *mut u8).add(index + i as usize)
                };
                memory::store_b8(at, scales >> (8 * i));
            }
        }
    }
}
