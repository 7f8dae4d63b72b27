//! A tile in shared memory: stored and loaded by rows, loaded by columns.
//!
//! 128 columns of 256 bytes. Rows are pieces of 16 bytes; piece p of row r is at the place of piece
//! `p ^ fold(p) ^ spread(r)`. This swizzle avoids bank conflicts in
//! - stores of neighbouring pieces of a row;
//! - loads of piece i of the t-th quarter of row j by lane `4·j + t` ([`fold`] separates the quarters,
//!   bit 0 of [`spread`] neighbouring rows);
//! - loads of a column's rows, 32 apart (the other bits of [`spread`]).
//!
//! `ldmatrix` transposes 16-bit elements. Its eight "rows" may be anywhere, so lane `4·g + t` gets two of
//! every 32 rows at a time, packed like the elements of a row.

use super::block::Block;
use super::input::Input;
use crate::ptx::{self, shared};
use fouroversix_core::abi::{COLUMNS_BYTES, COLUMNS_COLS};

/// Bytes from a row to the next.
const fn pitch<T: Input>() -> u32 {
    COLUMNS_COLS * T::BYTES as u32
}

/// Rows of a tile.
pub(crate) const fn tile_rows<T: Input>() -> u32 {
    COLUMNS_BYTES / T::BYTES as u32
}

/// The piece's part of the swizzle.
#[inline(always)]
fn fold(piece: u32) -> u32 {
    (piece >> 2) & 0x6
}

/// The row's part of the swizzle.
#[inline(always)]
fn spread(row: u32) -> u32 {
    row % 2 | (row / 64) << 1 | (row / 32 % 2) << 2
}

/// The offset of a piece.
#[inline(always)]
fn offset<T: Input>(row: u32, piece: u32) -> u32 {
    row * pitch::<T>() + (piece ^ fold(piece) ^ spread(row)) * 16
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
    let pieces = pitch::<T>() / 16;
    let step = 256 / pieces;
    let (row, piece) = (thread / pieces, thread % pieces);
    let (line, block) = (first_row + row, first_column / 16 + piece / T::BYTES as u32);
    let blocks = cols / 16;
    // `opaque`: hoisted out of the loop, one comparison a copy.
    let left = ptx::opaque(if block < blocks { rows.wrapping_sub(line) } else { 0 }) as i32;
    let index = (line * blocks + block) as usize;
    let within = piece % T::BYTES as u32 * 16;
    let mut from = input.wrapping_add(index * (16 * T::BYTES as usize) + within as usize);
    for i in 0..tile_rows::<T>() / step {
        // A thread's rows have the parity of its first.
        let at = offset::<T>(row, piece) ^ (spread(i * step) * 16);
        let to = shared::base() + at + i * step * pitch::<T>();
        // SAFETY: launch contract, clauses 1, 3 and 4: predicated on the row being inside the tensor.
        unsafe { shared::cp_async_16(to, from, left > (i * step) as i32) }
        from = from.wrapping_add((step * blocks) as usize * (16 * T::BYTES as usize));
    }
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
        let row = offset::<T>(thread / 4, thread % 4 * 2 * T::BYTES as u32);
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
        unsafe { T::load_shared_column(shared::base() + self.column + HALF * (16 * pitch::<T>())) }
    }

    /// Advances 64 lines, from the first half of the tile to the second.
    #[inline(always)]
    pub(crate) fn advance<T: Input>(&mut self) {
        self.row = (self.row ^ (spread(64) * 16)) + 64 * pitch::<T>();
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
        unsafe { T::shared_element(shared::base() + offset::<T>(row, at / 16) + at % 16) }
    }
}

/// The offset from which a thread's lane loads 16-bit elements by `ldmatrix`: its row of a matrix.
#[inline(always)]
pub(crate) fn matrix_row<T: Input>(thread: u32) -> u32 {
    let (lane, warp) = (thread % 32, thread / 32);
    let (r, matrix) = (lane % 8, lane / 8);
    offset::<T>(r / 2 * 32 + matrix * 2 + r % 2, warp)
}

/// The offset of the first element of a thread's column of 32-bit elements. Odd rows are at `^ 16`.
#[inline(always)]
pub(crate) fn column_start<T: Input>(thread: u32) -> u32 {
    let (column, half) = (thread / 2, thread % 2);
    offset::<T>(half * 32, column / 4) + column % 4 * 4
}
