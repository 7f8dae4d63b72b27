//! Where the elements of a tile in shared memory are.
//!
//! 128 columns of 256 bytes. Rows are pieces of 16 bytes; piece p of row r is at the place of piece
//! `p ^ fold(p) ^ spread(r)`. This avoids bank conflicts in
//! - stores of neighbouring pieces of a row;
//! - loads of piece i of the t-th quarter of row j by lane `4·j + t` ([`fold`] separates the quarters,
//!   bit 0 of [`spread`] neighbouring rows);
//! - loads of a column's rows, 32 apart (the other bits of [`spread`]).
//!
//! `ldmatrix` transposes 16-bit elements. Its eight "rows" may be anywhere, so lane `4·g + t` gets two of
//! every 32 rows at a time, packed like the elements of a row.
//!
//! `bytes` is what an element takes.

use crate::ptx;
use fouroversix_core::abi::{COLUMNS_BYTES, COLUMNS_COLS};

/// Bytes from a row to the next.
#[inline(always)]
pub(crate) const fn pitch(bytes: u32) -> u32 {
    COLUMNS_COLS * bytes
}

/// Rows of a tile.
#[inline(always)]
pub(crate) const fn rows(bytes: u32) -> u32 {
    COLUMNS_BYTES / bytes
}

/// The piece's part of the swizzle.
#[inline(always)]
pub(crate) fn fold(piece: u32) -> u32 {
    (piece >> 2) & 0x6
}

/// The row's part of the swizzle.
#[inline(always)]
pub(crate) fn spread(row: u32) -> u32 {
    row % 2 | (row / 64) << 1 | (row / 32 % 2) << 2
}

/// The address of a piece in a tile at `base`.
#[inline(always)]
pub(crate) fn address(base: u32, bytes: u32, row: u32, piece: u32) -> u32 {
    // `opaque` keeps the order: a sum of a number and a shifted one is one instruction, and so are two of them.
    ptx::opaque(base + row * pitch(bytes)) + (piece ^ fold(piece) ^ spread(row)) * 16
}

/// The address from which a thread's lane loads 16-bit elements by `ldmatrix`: its row of a matrix.
#[inline(always)]
pub(crate) fn matrix_row(base: u32, thread: u32) -> u32 {
    let (lane, warp) = (thread % 32, thread / 32);
    let (r, matrix) = (lane % 8, lane / 8);
    address(base, 2, r / 2 * 32 + matrix * 2 + r % 2, warp)
}

/// The address of the first element of a thread's column of 32-bit elements. Odd rows are at `^ 16`.
#[inline(always)]
pub(crate) fn column_start(base: u32, thread: u32) -> u32 {
    let (column, half) = (thread / 2, thread % 2);
    address(base, 4, half * 32, column / 4) + column % 4 * 4
}
