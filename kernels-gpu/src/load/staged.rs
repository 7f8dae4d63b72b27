//! A tile in shared memory: stored and loaded by rows, loaded by columns.
//!
//! [`swizzle`] says where its elements are.

use super::block::Block;
use super::input::Input;
use super::swizzle::{self, address, fold, pitch, spread};
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
    // A thread's pieces are in pairs, half a row apart: one address for both.
    let half = pitch(bytes::<T>()) / 16 / 2;
    let step = 256 / half;
    let (row, piece) = (thread / half, thread % half);
    let (line, block) = (first_row + row, first_column / 16 + piece / T::BYTES as u32);
    let blocks = cols / 16;
    let index = (line * blocks + block) as usize;
    let within = piece % T::BYTES as u32 * 16;
    let mut from = input.wrapping_add(index * (16 * T::BYTES as usize) + within as usize);
    let first = address(shared::base(), bytes::<T>(), row, piece);
    let mut copy = |i: u32, inside: [bool; 2]| {
        for j in 0..2 {
            // A thread's rows have the parity of its first.
            let to = first ^ ((spread(i * step) ^ j * (half ^ fold(half))) * 16);
            let to = to + i * step * pitch(bytes::<T>());
            let from = from.wrapping_add((j * half * 16) as usize);
            // SAFETY: launch contract, clauses 1, 3 and 4: predicated on the piece being inside the tensor.
            unsafe { shared::cp_async_16(to, from, inside[j as usize]) }
        }
        from = from.wrapping_add((step * blocks) as usize * (16 * T::BYTES as usize));
    };
    let copies = swizzle::rows(bytes::<T>()) / step;
    if is_whole::<T>([rows, cols], [first_row, first_column]) {
        for i in 0..copies {
            copy(i, [true; 2]);
        }
        return;
    }
    // `opaque`: hoisted out of the loop, one comparison a copy.
    let left = [0, half / T::BYTES as u32].map(|further| {
        ptx::opaque(if block + further < blocks { rows.wrapping_sub(line) } else { 0 }) as i32
    });
    for i in 0..copies {
        copy(i, left.map(|left| left > (i * step) as i32));
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
        let base = shared::base();
        let row = address(base, bytes::<T>(), thread / 4, thread % 4 * 2 * T::BYTES as u32);
        Self { row, column: T::shared_column(base, thread) }
    }

    /// A constant that stays in a register: the assembler would move it into one before every use.
    #[inline(always)]
    pub(crate) fn in_register(&self, constant: f32) -> f32 {
        // No address in shared memory has bit 31, but the compilers don't know.
        f32::from_bits(constant.to_bits() + (ptx::opaque(self.column) >> 31))
    }

    /// Loads block `HALF` of the two of a row.
    #[inline(always)]
    pub(crate) unsafe fn load_row<T: Input, const HALF: u32>(&self) -> T::Raw {
        let piece = HALF * T::BYTES as u32;
        // SAFETY: launch contract, clause 1: inside the tile; copied before the barrier.
        unsafe { T::load_shared_row(|i| self.row ^ ((piece + i) * 16)) }
    }

    /// Loads block `HALF` of the two of a column. All lanes of the warp call it.
    #[inline(always)]
    pub(crate) unsafe fn load_column<T: Input, const HALF: u32>(&self) -> T::Raw {
        // SAFETY: launch contract, clause 1: inside the tile; copied before the barrier.
        unsafe { T::load_shared_column(self.column + HALF * (16 * pitch(bytes::<T>()))) }
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
        // `opaque`: no part of it is worked out ahead.
        let at = address(shared::base(), bytes::<T>(), ptx::opaque(row), at / 16) + at % 16;
        // SAFETY: whoever made it promised a block of the tile, and i < 16; copied before the barrier.
        unsafe { T::shared_element(at) }
    }
}
