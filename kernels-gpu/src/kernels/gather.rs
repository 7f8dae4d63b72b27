//! 16 rows of 16 tiles gathered in shared memory, so that each row is written in one piece.
//!
//! L2 serves as many requests a second whatever their size: a warp's own four tiles would be 32 bytes of codes
//! and 4 of scales in each of 16 rows. Rows are 160 bytes apart: no bank conflicts.

use crate::ptx::shared;
use fouroversix_core::abi::GATHERED_ROWS_BYTES;

/// 16-byte pieces of a row's 128 bytes of codes.
pub(crate) const PIECES: u32 = 8;
const PITCH: u32 = 160;
/// Where the scales of the tiles follow the codes.
const SCALES: u32 = 16 * PITCH;
const _: () = assert!(SCALES + 16 == GATHERED_ROWS_BYTES);

/// Stores a tile's block of a row.
#[inline(always)]
pub(crate) unsafe fn store(row: u32, tile: u32, codes: [u32; 2]) {
    // SAFETY: launch contract, clause 1: shared memory has room for codes and scales.
    unsafe { shared::store_v2(shared::base() + row * PITCH + tile * 8, codes) }
}

/// Stores a tile's scale.
#[inline(always)]
pub(crate) unsafe fn store_scale(tile: u32, scale: u16) {
    // SAFETY: launch contract, clause 1: shared memory has room for codes and scales.
    unsafe { shared::store_b8(shared::base() + SCALES + tile, scale) }
}

/// Loads a piece of a row: the codes of two blocks.
#[inline(always)]
pub(crate) unsafe fn load(row: u32, piece: u32) -> [u32; 4] {
    // SAFETY: launch contract, clause 1; written before the barrier.
    unsafe { shared::load_v4(shared::base() + row * PITCH + piece * 16) }
}

/// Loads the scales of all tiles.
#[inline(always)]
pub(crate) unsafe fn load_scales() -> [u32; 4] {
    // SAFETY: launch contract, clause 1; written before the barrier.
    unsafe { shared::load_v4(shared::base() + SCALES) }
}
