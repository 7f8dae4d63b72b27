//! Two blocks of 16 in one lane, and the 16x16 tiles that eight lanes hold between them.

use super::block::{self, Encoded};
use super::exact::{self, Strided};
use super::input::Input;
use super::isa::{Isa, Target};
use super::metric::Metric;
use super::{near, ptx, warp};
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

/// A block by the hot loop, and whether that could tell.
#[inline(always)]
fn hot_1d<T: Input, M: Metric>(
    raw: T::Raw,
    at: Strided,
    global: &GlobalScale,
    flags: u32,
) -> (bool, Encoded) {
    let encoded = block::encode::<T, M>(raw, at, global, flags);
    (encoded.is_some(), encoded.unwrap_or(Encoded { codes: [0; 2], scale: 0 }))
}

/// Each block with a scale of its own.
#[inline(always)]
pub(crate) fn encode_1d<T: Input, M: Metric>(
    lines: &Lines<T>,
    global: [&GlobalScale; 2],
    flags: u32,
) -> [Encoded; 2] {
    let (certain_a, mut a) = hot_1d::<T, M>(lines.raw[0], lines.at[0], global[0], flags);
    let (certain_b, mut b) = hot_1d::<T, M>(lines.raw[1], lines.at[1], global[1], flags);
    if !(certain_a && certain_b) && lines.present {
        for second in 0..exact::two(flags) {
            let first = second == 0;
            if if first { certain_a } else { certain_b } {
                continue;
            }
            let (at, global) =
                if first { (lines.at[0], *global[0]) } else { (lines.at[1], *global[1]) };
            let encoded = exact::encode::<T, M>(at, &global, flags);
            if first { a = encoded } else { b = encoded }
        }
    }
    [a, b]
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
    let bmax = S::largest(own, ptx::max_nan);
    let scales = block::scales::<M>(bmax, global);
    let (x, y) = (T::widen(raw[0]), T::widen(raw[1]));
    let certain = scales.regular;
    let (mut a, mut b);
    let mut scale = scales.bytes;
    if M::FOUR_OVER_SIX {
        let encode = [scales.encode6, scales.encode4];
        let [a6, a4] = Target::candidates::<M, 2>(&x, encode);
        let [b6, b4] = Target::candidates::<M, 2>(&y, encode);
        let error6 = S::any_sum([a6.error, b6.error]);
        let error4 = S::any_sum([a4.error, b4.error]);
        let mut choice = block::choose::<M, 16>(error6, error4, &scales);
        if warp::ballot(!choice.certain && certain) != 0 {
            let same = Target::same_values(a4.codes, scales.s4, a6.codes, scales.s6)
                && Target::same_values(b4.codes, scales.s4, b6.codes, scales.s6);
            let tie = S::all(same, lane);
            let mut map4 = false;
            if warp::ballot(!choice.certain && certain && !tie) != 0 {
                let lines = (lines.at, lines.present);
                map4 = near::map4_is_better::<T, M, 2>(lines, &scales, global, flags, S::sum);
            }
            if !choice.certain {
                choice.map4 = map4 && !tie;
            }
        }
        (a, b) = (a6.codes, b6.codes);
        if choice.map4 {
            (a, b, scale) = (a4.codes, b4.codes, scale >> 8);
        }
    } else {
        let [a6] = Target::candidates::<M, 1>(&x, [scales.encode6]);
        let [b6] = Target::candidates::<M, 1>(&y, [scales.encode6]);
        (a, b) = (a6.codes, b6.codes);
    }
    let mut encoded = [
        Encoded { codes: Target::nibbles(a, T::signs(raw[0])), scale },
        Encoded { codes: Target::nibbles(b, T::signs(raw[1])), scale },
    ];
    if warp::ballot(!certain && lines.present) != 0 {
        // Tiles of zeros are common, and need no arithmetic.
        let zero = bmax == 0.0;
        if warp::ballot(!certain && !zero && lines.present) != 0 {
            let exact = exact_2d::<T, M, S>(lines, global, flags);
            if !certain {
                encoded = exact;
            }
        }
        if zero {
            encoded = raw.map(|raw| Encoded { codes: T::signs(raw), scale: 0 });
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
    let present = lines.present;
    let own = if present { ptx::max(a.amax::<T>(flags), b.amax::<T>(flags)) } else { 0.0 };
    let bytes = exact::scale_bytes::<M>(S::largest(own, ptx::max), global);
    let (best, scale) = exact::better::<M>(bytes, global, flags, |candidate| {
        let mut errors = [0.0; 2];
        if present {
            errors = candidate.errors::<T, M>([a, b], global, flags);
        }
        S::sum(errors)
    });
    let mut codes = [[0; 2]; 2];
    if present {
        codes = [best.codes::<T>(a, flags), best.codes::<T>(b, flags)];
    }
    codes.map(|codes| Encoded { codes, scale })
}
