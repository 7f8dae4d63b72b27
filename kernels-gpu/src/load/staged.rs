//! A tile in shared memory: stored and loaded by rows, loaded by columns.
//!
//! [`swizzle`] says where its elements are.

use super::block::Block;
use super::input::Input;
use super::swizzle::{self, fold, offset, pitch, spread};
use crate::ptx::{self, shared};
use fouroversix_core::abi::COLUMNS_COLS;

/// Bytes an element takes.
const fn bytes<T: Input>() -> u32 {
    T::BYTES as u32
}

/// Rows of a tile.
pub(crate) const fn tile_rows<T: Input>() -> u32 {
    swizzle::rows(bytes::<T>())
}

/// Starts asynchronous copies of a thread's share of the tile that begins at `first` in the tensor
/// `[rows, cols]` at `input`. Elements outside the tensor are zeros.
#[inline(always)]
pub(crate) unsafe fn copy<T: Input>(
    thread: u32,
    input: *const u8,
    [rows, cols]: [u32; 2],
    [first_row, first_column]: [u32; 2],
) {
    let pieces = pitch(bytes::<T>()) / 16;
    let step = 256 / pieces;
    let (row, piece) = (thread / pieces, thread % pieces);
    let (line, block) = (first_row + row, first_column / 16 + piece / T::BYTES as u32);
    let blocks = cols / 16;
    let index = (line * blocks + block) as usize;
    let within = piece % T::BYTES as u32 * 16;
    let mut from = input.wrapping_add(index * (16 * T::BYTES as usize) + within as usize);
    let mut copy = |i: u32, inside: bool| {
        // A thread's rows have the parity of its first.
        let at = offset(bytes::<T>(), row, piece) ^ (spread(i * step) * 16);
        let to = shared::base() + at + i * step * pitch(bytes::<T>());
        // SAFETY: launch contract, clauses 1, 3 and 4: predicated on the row being inside the tensor.
        unsafe { shared::cp_async_16(to, from, inside) }
        from = from.wrapping_add((step * blocks) as usize * (16 * T::BYTES as usize));
    };
    let copies = swizzle::rows(bytes::<T>()) / step;
    if is_whole::<T>([rows, cols], [first_row, first_column]) {
        for i in 0..copies {
            copy(i, true);
        }
        return;
    }
    // `opaque`: hoisted out of the loop, one comparison a copy.
    let left = ptx::opaque(if block < blocks { rows.wrapping_sub(line) } else { 0 }) as i32;
    for i in 0..copies {
        copy(i, left > (i * step) as i32);
    }
}

/// Whether all of the tile that begins at `first` is inside the tensor: no element of it needs asking.
#[inline(always)]
pub(crate) fn is_whole<T: Input>([rows, cols]: [u32; 2], [row, column]: [u32; 2]) -> bool {
    (row + tile_rows::<T>() <= rows) & (column + COLUMNS_COLS <= cols)
}

/// A thread's blocks of the tile: two neighbours in line `thread/4 + 64·step`, for rows, and for columns of
/// 16-bit elements; of FP32's columns two in line `thread/2`.
pub(crate) struct Reader {
    row: u32,
    column: u32,
}

impl Reader {
    #[inline(always)]
    pub(crate) fn new<T: Input>(thread: u32) -> Self {
        let row = offset(bytes::<T>(), thread / 4, thread % 4 * 2 * T::BYTES as u32);
        Self { row, column: T::shared_column(thread) }
    }

    /// Loads block `HALF` of the two of a row.
    #[inline(always)]
    pub(crate) unsafe fn load_row<T: Input, const HALF: u32>(&self) -> T::Raw {
        let piece = HALF * T::BYTES as u32;
        // SAFETY: launch contract, clause 1: inside the tile; copied before the barrier.
        unsafe { T::load_shared_row(|i| shared::base() + (self.row ^ ((piece + i) * 16))) }
    }

    /// Loads block `HALF` of the two of a column. All lanes of the warp call it.
    #[inline(always)]
    pub(crate) unsafe fn load_column<T: Input, const HALF: u32>(&self) -> T::Raw {
        // SAFETY: launch contract, clause 1: inside the tile; copied before the barrier.
        unsafe {
            T::load_shared_column(shared::base() + self.column + HALF * (16 * pitch(bytes::<T>())))
        }
    }

    /// Advances 64 lines, from the first half of the tile to the second.
    #[inline(always)]
    pub(crate) fn advance<T: Input>(&mut self) {
        self.row = (self.row ^ (spread(64) * 16)) + 64 * pitch(bytes::<T>());
        // 64 columns further on are as many pieces of eight.
        self.column ^= (8 ^ fold(8)) * 16;
    }
}

/// A block of the tile by its first element.
#[derive(Clone, Copy)]
pub(crate) struct Staged {
    pub(crate) row: u32,
    pub(crate) column: u32,
    /// Whether it runs down a column.
    pub(crate) down: bool,
}

impl Block for Staged {
    #[inline(always)]
    fn element<T: Input>(self, i: u64) -> f32 {
        let i = i as u32;
        let (row, column) =
            if self.down { (self.row + i, self.column) } else { (self.row, self.column + i) };
        let at = column * T::BYTES as u32;
        // SAFETY: whoever made it promised a block of the tile, and i < 16; copied before the barrier.
        unsafe { T::shared_element(shared::base() + offset(bytes::<T>(), row, at / 16) + at % 16) }
    }
}
