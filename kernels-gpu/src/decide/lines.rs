//! What a lane has of a 16x16 tile, and what the tile's eight lanes find together.

use crate::load::block::Strided;
use crate::load::input::Input;
use crate::ptx::{self, warp};

/// A lane's share of a tile.
pub(crate) struct Lines<T: Input> {
    /// Rows j and j+8, in registers.
    pub(crate) raw: [T::Raw; 2],
    /// Where they are.
    pub(crate) rows: [Strided; 2],
    /// Where columns j and j+8 are.
    pub(crate) columns: [Strided; 2],
    /// The lane.
    pub(crate) lane: u32,
    /// The numbers of the rows' blocks in the rowwise output, and of the columns' in the columnwise one.
    pub(crate) segments: [[u64; 2]; 2],
}

/// A lane's two rows of a tile, encoded with one scale; for a columnwise output that is rounded
/// stochastically, its two columns.
#[derive(Clone, Copy)]
pub(crate) struct Encoded {
    pub(crate) codes: [[u32; 2]; 2],
    /// Before its rounding to E4M3.
    pub(crate) scale: f32,
}

/// The contract's sum of 16 lines (step 8): i + (i+8), then +4, +2, +1.
#[inline(always)]
pub(crate) fn sum(lines: [f32; 2]) -> f32 {
    let r = lines[0] + lines[1];
    let r = r + warp::shuffle_xor(r, 16);
    let r = r + warp::shuffle_xor(r, 8);
    r + warp::shuffle_xor(r, 4)
}

/// Sums over a tile's eight lanes of two FP16 numbers, three roundings on the way.
#[inline(always)]
pub(crate) fn sum_f16x2(pair: u32) -> u32 {
    let shuffled = |pair: u32, mask| warp::shuffle_xor(f32::from_bits(pair), mask).to_bits();
    let r = ptx::add_rn_f16x2(pair, shuffled(pair, 16));
    let r = ptx::add_rn_f16x2(r, shuffled(r, 8));
    ptx::add_rn_f16x2(r, shuffled(r, 4))
}

/// The largest of a tile's eight lanes.
#[inline(always)]
pub(crate) fn largest(v: f32, max: fn(f32, f32) -> f32) -> f32 {
    let v = max(v, warp::shuffle_xor(v, 16));
    let v = max(v, warp::shuffle_xor(v, 8));
    max(v, warp::shuffle_xor(v, 4))
}
