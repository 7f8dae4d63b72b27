//! Two blocks of 16 in one lane, and the 16x16 tiles that eight lanes hold between them.

use super::block::{self, Encoded};
use super::exact::{self, Candidate, Strided};
use super::input::Input;
use super::isa::{Isa, Target};
use super::metric::Metric;
use super::{e4m3, ptx, warp};
use crate::abi::GlobalScale;

/// How the 16 lines of a tile are spread over eight lanes, two to a lane.
pub(crate) trait Spread {
    /// Lane distances that lead to the other lines, in the order of the contract's sum.
    const A: u32;
    const B: u32;
    const C: u32;
    /// Whether a lane's own two lines are 8 apart (the sum's first step) or neighbours (its last).
    const OWN_FIRST: bool;

    /// The contract's sum of 16 lines: i + (i+8), then +4, +2, +1.
    #[inline(always)]
    fn sum(lines: [f32; 2]) -> f32 {
        if Self::OWN_FIRST {
            let r = lines[0] + lines[1];
            let r = r + warp::shuffle_xor(r, Self::A);
            let r = r + warp::shuffle_xor(r, Self::B);
            r + warp::shuffle_xor(r, Self::C)
        } else {
            let step = |r: f32| {
                let r = r + warp::shuffle_xor(r, Self::A);
                let r = r + warp::shuffle_xor(r, Self::B);
                r + warp::shuffle_xor(r, Self::C)
            };
            step(lines[0]) + step(lines[1])
        }
    }

    /// A sum of all 16 lines in any order.
    #[inline(always)]
    fn any_sum(lines: [f32; 2]) -> f32 {
        let r = lines[0] + lines[1];
        let r = r + warp::shuffle_xor(r, Self::A);
        let r = r + warp::shuffle_xor(r, Self::B);
        r + warp::shuffle_xor(r, Self::C)
    }

    /// The largest of all lanes of a tile.
    #[inline(always)]
    fn largest(v: f32, max: fn(f32, f32) -> f32) -> f32 {
        let v = max(v, warp::shuffle_xor(v, Self::A));
        let v = max(v, warp::shuffle_xor(v, Self::B));
        max(v, warp::shuffle_xor(v, Self::C))
    }

    /// Whether a condition holds in all lanes of this lane's tile.
    #[inline(always)]
    fn all(condition: bool, lane: u32) -> bool {
        let tile = Self::tile_lanes(lane);
        warp::ballot(condition) & tile == tile
    }

    /// The lanes of this lane's tile.
    fn tile_lanes(lane: u32) -> u32;
}

/// Lane `4·j + t` holds rows j and j+8 of tile t.
pub(crate) struct Rows;

impl Spread for Rows {
    const A: u32 = 16;
    const B: u32 = 8;
    const C: u32 = 4;
    const OWN_FIRST: bool = true;

    #[inline(always)]
    fn tile_lanes(lane: u32) -> u32 {
        0x1111_1111 << (lane % 4)
    }
}

/// Lane `8·t + j` holds columns 2j and 2j+1 of tile t.
pub(crate) struct Columns;

impl Spread for Columns {
    const A: u32 = 4;
    const B: u32 = 2;
    const C: u32 = 1;
    const OWN_FIRST: bool = false;

    #[inline(always)]
    fn tile_lanes(lane: u32) -> u32 {
        0xFF << (lane / 8 * 8)
    }
}

/// A lane's two blocks, in registers and in memory.
pub(crate) struct Lines<T: Input> {
    pub(crate) raw: [T::Raw; 2],
    pub(crate) at: [Strided; 2],
    /// Whether the lane has any: false past the tensor's edge.
    pub(crate) present: bool,
}

/// One block with a scale of its own.
#[inline(always)]
pub(crate) fn encode_1d<T: Input, M: Metric>(
    raw: T::Raw,
    at: Strided,
    present: bool,
    global: &GlobalScale,
    flags: u32,
) -> Encoded {
    match block::encode::<M>(&T::widen(raw), T::signs(raw), T::amax(raw), global) {
        Some(encoded) => encoded,
        None if present => exact::encode::<T, M>(at, global, flags),
        None => Encoded { codes: [0; 2], scale: 0 },
    }
}

/// One scale and one choice for the tile. All lanes of the warp call it.
#[inline(always)]
pub(crate) fn encode_2d<T: Input, M: Metric, S: Spread>(
    lines: &Lines<T>,
    global: &GlobalScale,
    flags: u32,
    lane: u32,
) -> [Encoded; 2] {
    let raw = lines.raw;
    let own = ptx::max_nan(T::amax(raw[0]), T::amax(raw[1]));
    let scales = block::scales::<M>(S::largest(own, ptx::max_nan), global);
    let (a6, error_a6) = Target::candidate::<M>(&T::widen(raw[0]), scales.encode6);
    let (b6, error_b6) = Target::candidate::<M>(&T::widen(raw[1]), scales.encode6);
    let mut certain = scales.regular;
    let (mut a, mut b, mut scale) = (a6, b6, scales.bytes);
    if M::FOUR_OVER_SIX {
        let (a4, error_a4) = Target::candidate::<M>(&T::widen(raw[0]), scales.encode4);
        let (b4, error_b4) = Target::candidate::<M>(&T::widen(raw[1]), scales.encode4);
        let error6 = S::any_sum([error_a6, error_b6]);
        let error4 = S::any_sum([error_a4, error_b4]);
        let mut choice = block::choose::<M, 16>(error6, error4, &scales);
        if warp::ballot(!choice.certain && certain) != 0 {
            let same = Target::same_values(a4, scales.s4, a6, scales.s6)
                && Target::same_values(b4, scales.s4, b6, scales.s6);
            if !choice.certain {
                choice.map4 = false;
            }
            choice.certain |= S::all(same, lane);
        }
        certain &= choice.certain;
        a = Target::select(choice.map4, a4, a6);
        b = Target::select(choice.map4, b4, b6);
        if choice.map4 {
            scale >>= 8;
        }
    }
    let mut encoded = [
        Encoded { codes: Target::nibbles(a, T::signs(raw[0])), scale },
        Encoded { codes: Target::nibbles(b, T::signs(raw[1])), scale },
    ];
    if warp::ballot(!certain && lines.present) != 0 {
        let exact = exact_2d::<T, M, S>(lines, global, flags);
        if !certain && lines.present {
            encoded = exact;
        }
    }
    encoded
}

/// A tile by the contract's own sequence. All lanes of the warp call it.
#[inline(always)]
fn exact_2d<T: Input, M: Metric, S: Spread>(
    lines: &Lines<T>,
    global: &GlobalScale,
    flags: u32,
) -> [Encoded; 2] {
    let [a, b] = lines.at;
    let own = if lines.present { ptx::max(a.amax::<T>(), b.amax::<T>()) } else { 0.0 };
    let mut scale = exact::scale_bytes::<M>(S::largest(own, ptx::max), global);
    let [s6, s4] = e4m3::decode(scale);
    let mut best = Candidate::new(s6, global.s_dec);
    if M::FOUR_OVER_SIX {
        let map4 = Candidate::new(s4, global.s_dec);
        let error = |c: Candidate, at: Strided| {
            if lines.present { c.error::<T, M>(at, global, flags) } else { 0.0 }
        };
        let error6 = S::sum([error(best, a), error(best, b)]);
        let error4 = S::sum([error(map4, a), error(map4, b)]);
        if error4 < error6 {
            best = map4;
            scale >>= 8;
        }
    }
    if !lines.present {
        return [Encoded { codes: [0; 2], scale }; 2];
    }
    [Encoded { codes: best.codes::<T>(a), scale }, Encoded { codes: best.codes::<T>(b), scale }]
}
