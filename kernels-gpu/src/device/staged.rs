//! 64x64 elements in shared memory: stored by rows, loaded by columns.
//!
//! A thread owns the block `thread%4` of row `thread/4`, and of the transpose the block `thread%4`
//! of column `thread/4`: a warp stores 8 rows of 128 or 256 bytes and loads 8 columns.
//!
//! Rows lie one behind the other in pieces of 16 bytes, piece p where piece `p ^ spread(r)` would be,
//! `spread(r) = r%2 + 2·(r/16)`, so that a warp's stores and loads don't meet in a bank. 16-bit elements are transposed by
//! `ldmatrix`: its eight "rows" may lie anywhere, so lane `4g + t` gets two rows of block t at a
//! time, packed as a row's elements are.

use super::input::Input;
use super::shared;

/// Rows and columns.
pub(crate) const EDGE: u32 = 64;

/// A square of 64x64 elements of `T` in shared memory.
#[derive(Clone, Copy)]
pub(crate) struct Square {
    at: u32,
}

impl Square {
    /// Square `i` of the launch's shared memory.
    #[inline(always)]
    pub(crate) fn new<T: Input>(i: u32) -> Self {
        Self { at: shared::base() + i * (EDGE * EDGE * T::BYTES as u32) }
    }

    /// The address of a thread's 16 elements of its row: piece `i` is at `^ 16·i`.
    #[inline(always)]
    fn row<T: Input>(self, thread: u32) -> u32 {
        // 16·spread(row), of the row's bits in the thread's number.
        let spread = (thread << 2) & 0x10 | (thread >> 1) & 0x60;
        self.at + ((thread * (16 * T::BYTES as u32)) ^ spread)
    }

    /// Starts copying a thread's 16 elements of its row from global memory, or zeros.
    #[inline(always)]
    pub(crate) unsafe fn copy_row<T: Input>(self, thread: u32, from: *const u8, present: bool) {
        let to = self.row::<T>(thread);
        for piece in 0..T::BYTES as usize {
            // SAFETY: the launch contract: 64·64 elements of shared memory.
            unsafe {
                shared::cp_async_16(
                    to ^ (16 * piece as u32),
                    from.wrapping_add(16 * piece),
                    present,
                )
            }
        }
    }

    /// Loads a thread's 16 elements of its row.
    #[inline(always)]
    pub(crate) unsafe fn load_row<T: Input>(self, thread: u32) -> T::Raw {
        // SAFETY: the launch contract: 64·64 elements of shared memory.
        unsafe { T::load_shared_row(self.row::<T>(thread)) }
    }

    /// Loads a thread's 16 elements of its column. All threads of the block, after a barrier.
    #[inline(always)]
    pub(crate) unsafe fn load_column<T: Input>(self, thread: u32) -> T::Raw {
        // SAFETY: the launch contract: 64·64 elements of shared memory.
        unsafe { T::load_shared_column(self.at, thread) }
    }
}

/// The address from which a thread's lane loads 16-bit elements by `ldmatrix`.
#[inline(always)]
pub(crate) fn matrix_row(thread: u32) -> u32 {
    let (lane, warp) = (thread % 32, thread / 32);
    let (r, matrix) = (lane % 8, lane / 8);
    // Rows 2·matrix and the next of every block of 16; spread(row) is r.
    let row = r / 2 * 16 + matrix * 2 + r % 2;
    row * (EDGE * 2) + (warp ^ r) * 16
}

/// The address of element 0 of a thread's column of 32-bit elements. Odd rows are at `^ 16`.
#[inline(always)]
pub(crate) fn column_start(thread: u32) -> u32 {
    let (column, block) = (thread / 4, thread % 4);
    block * 16 * (EDGE * 4) + ((column / 4) ^ (block * 2)) * 16 + column % 4 * 4
}
