//! A 16x16 tile: one scale and one choice for the 16 blocks that eight lanes hold between them.
//!
//! Lane `4·j + t` of a warp holds lines j and j+8 of tile t. A tile and its transpose have the same codes
//! and the same cheap error, which decides nearly always. The contract's sums go line by line and have a
//! direction: near ties are settled for rows and for columns separately.

use super::isa::{Isa, Target};
use super::metric::Metric;
use super::{block, encoded, exact, near};
use crate::load::block::{Block, Strided};
use crate::load::input::Input;
use crate::ptx::{self, warp};
use fouroversix_core::abi::GlobalScale;

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
}

/// A lane's two rows of a tile, encoded with one scale.
#[derive(Clone, Copy)]
pub(crate) struct Encoded {
    pub(crate) codes: [[u32; 2]; 2],
    /// Before its rounding to E4M3.
    pub(crate) scale: f32,
}

/// The contract's sum of 16 lines (step 8): i + (i+8), then +4, +2, +1.
#[inline(always)]
fn sum(lines: [f32; 2]) -> f32 {
    let r = lines[0] + lines[1];
    let r = r + warp::shuffle_xor(r, 16);
    let r = r + warp::shuffle_xor(r, 8);
    r + warp::shuffle_xor(r, 4)
}

/// The largest of a tile's eight lanes.
#[inline(always)]
fn largest(v: f32, max: fn(f32, f32) -> f32) -> f32 {
    let v = max(v, warp::shuffle_xor(v, 16));
    let v = max(v, warp::shuffle_xor(v, 8));
    max(v, warp::shuffle_xor(v, 4))
}

/// Whether a condition holds in all lanes of this lane's tile.
#[inline(always)]
fn in_all_lanes(condition: bool, lane: u32) -> bool {
    let tile = 0x1111_1111 << (lane % 4);
    warp::ballot(condition) & tile == tile
}

/// Encodes a tile for the rowwise and for the columnwise output, whichever are wanted. All lanes of
/// the warp call it.
#[inline(always)]
pub(crate) fn encode<T: Input, M: Metric, const ROWWISE: bool, const COLUMNWISE: bool>(
    lines: &Lines<T>,
    global: &GlobalScale,
    flags: u32,
) -> [Encoded; 2] {
    let raw = lines.raw;
    let bmax = largest(ptx::max_nan(T::amax(raw[0]), T::amax(raw[1])), ptx::max_nan);
    let scales = block::scales::<M>(bmax, global);
    let signs = raw.map(T::signs);
    let x = [T::widen(raw[0]), T::widen(raw[1])];
    let mut encoded = if M::FOUR_OVER_SIX {
        let encode = [scales.encode6, scales.encode4];
        let [a6, a4] = Target::candidates::<M, 2>(&x[0], encode);
        let [b6, b4] = Target::candidates::<M, 2>(&x[1], encode);
        let error6 = sum([a6.error, b6.error]);
        let error4 = sum([a4.error, b4.error]);
        let choice = block::choose::<M, 16>(error6, error4, scales.ratio);
        let mut map4 = [choice.map4; 2];
        let near = !choice.certain && scales.regular;
        if warp::ballot(near) != 0 {
            let same = Target::same_values(a4.codes, scales.s4, a6.codes, scales.s6)
                && Target::same_values(b4.codes, scales.s4, b6.codes, scales.s6);
            let tie = in_all_lanes(same, lines.lane);
            let mut settled = [false; 2];
            if warp::ballot(near && !tie) != 0 {
                let settle =
                    |along| near::map4_is_better::<T, M>(along, &scales, global, flags, sum);
                if ROWWISE {
                    settled[0] = settle(lines.rows);
                }
                if COLUMNWISE {
                    settled[1] = settle(lines.columns);
                }
            }
            if near {
                map4 = settled.map(|better| better && !tie);
            }
        }
        map4.map(|map4| {
            let (a, b) = if map4 { (a4.codes, b4.codes) } else { (a6.codes, b6.codes) };
            let codes = [Target::nibbles(a, signs[0]), Target::nibbles(b, signs[1])];
            Encoded { codes, scale: if map4 { scales.exact4 } else { scales.exact6 } }
        })
    } else {
        let [a] = Target::candidates::<M, 1>(&x[0], [scales.encode6]);
        let [b] = Target::candidates::<M, 1>(&x[1], [scales.encode6]);
        let codes = [Target::nibbles(a.codes, signs[0]), Target::nibbles(b.codes, signs[1])];
        [Encoded { codes, scale: scales.exact6 }; 2]
    };
    // `opaque` each time: a known answer lets the compiler duplicate what follows for either value, and
    // lanes at different copies of one shuffle deadlock.
    let irregular = || ptx::opaque(u32::from(!scales.regular)) != 0;
    if warp::ballot(irregular()) != 0 {
        // Tiles of zeros are common: no exact path for them.
        let zero = bmax == 0.0;
        if warp::ballot(irregular() && !zero) != 0 {
            if ROWWISE {
                let exact = exact::<T, M>(lines, lines.rows, global, flags);
                encoded[0] = if irregular() { exact } else { encoded[0] };
            }
            if COLUMNWISE {
                let exact = exact::<T, M>(lines, lines.columns, global, flags);
                encoded[1] = if irregular() { exact } else { encoded[1] };
            }
        }
        if zero {
            let lines = signs.map(encoded::Encoded::zero);
            let codes = lines.map(|line| line.codes);
            encoded = [Encoded { codes, scale: lines[0].scale }; 2];
        }
    }
    encoded
}

/// A tile by the contract's own sequence, its errors added up along `along`. All lanes of the warp
/// call it.
#[inline(always)]
fn exact<T: Input, M: Metric>(
    lines: &Lines<T>,
    along: [Strided; 2],
    global: &GlobalScale,
    flags: u32,
) -> Encoded {
    let [a, b] = lines.rows;
    let own = ptx::max(a.amax::<T>(flags), b.amax::<T>(flags));
    let scales = exact::scales::<M>(largest(own, ptx::max), global);
    let (best, scale) = exact::better::<M>(scales, global, flags, |candidate| {
        sum(candidate.errors::<T, M>(along, global, flags))
    });
    Encoded { codes: [a, b].map(|row| best.codes::<T>(row, flags)), scale }
}
