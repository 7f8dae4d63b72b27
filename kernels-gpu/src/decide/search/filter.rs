//! Which of the 13 candidates may be the best, by errors in packed half precision.
//!
//! In units of s6 let `t = |x|·S_enc/s6` and ρ a candidate's scale. A magnitude's part of the error is
//! `ρ·g(t/ρ)`, where `g(y)` is the distance from `y` to E2M1's nearest value. The filter works it out for two
//! elements at a time, each operation rounded to FP16, `h = 2⁻¹¹`.
//!
//! 1. **g takes no steps.** `|g(y) − g(y')| ≤ |y − y'|`, and `t/ρ` is off by `3.01h` of itself: z, 1/ρ and
//!    their product are rounded. So a vector of 16 parts is off by at most `η = 3.01h·‖t‖` in its norm, the same
//!    for all candidates; the sum of magnitudes by at most `3.01h·Σt`. The contract's own differences are
//!    within `2⁻²⁰·t` of exact ones, midpoints included.
//! 2. **Sums** have at most k roundings on a term's way: 13 in a block, 24 in a tile.
//! 3. **Left over**: with the lowest error found, F, the best candidate's is at most
//!    `(√F·(1 + kh) + 2η)² ≤ F·(1 + 2kh)·33/32 + 33·4η²` for squares, `F·(1 + 2kh) + 2·3.01h·Σt` for
//!    magnitudes, and what FP16's subnormals leave out.
//! 4. **Pairs.** Eight bytes up is twice the scale: in units of the lower scale its grid is E2M1's with
//!    steps of 1 below 2. So `−4..0` and `4..8` share their quotients. Only normal scales: below byte 12
//!    nothing is filtered.
//!
//! `tests/tests/search_filter.rs` has the same arithmetic on a CPU and tries every FP16 number.

use super::sweep::{BYTE, LARGEST, Start, value};
use super::weigh::Line;
use crate::decide::metric::{Mae, Metric, Mse};
use crate::ptx::{self, warp};

/// A candidate for each bit: steps −4 to 3 from bit 8 on, 4 to 8 from bit 24 on.
pub(super) const ALL: u32 = 0x1F00_FF00;
/// That of map6's own byte.
pub(super) const MAP6: u32 = 1 << 12;

/// The bit of a step.
#[inline(always)]
pub(super) fn bit(step: i32) -> u32 {
    1 << (step + if step < 4 { 12 } else { 20 })
}

/// The step of a bit's number.
#[inline(always)]
pub(super) fn step(number: u32) -> i32 {
    number as i32 - if number < 16 { 12 } else { 20 }
}

/// FP16 numbers, twice.
const SHIFT: u32 = 0x6000_6000; // 512
const MINUS_SHIFT: u32 = 0xE000_E000;
const FLOOR: u32 = 0x3C03_3C03; // 1 + 3/1024
const TWICE_FLOOR: u32 = 0x4003_4003;
const SIX: u32 = 0x4600_4600;

const H: f32 = 1.0 / 2048.0;

/// A metric's errors in half precision.
trait Filter: Metric {
    /// `term(r)`.
    fn first(r: u32) -> u32;
    /// `sum + term(r)`.
    fn further(sum: u32, r: u32) -> u32;
    /// What the best candidate may have, by the lowest error found and what `first` and `further` make of
    /// the magnitudes themselves. `roundings` is note 2's k.
    fn at_most(least: f32, magnitudes: f32, roundings: f32) -> f32;
}

impl Filter for Mse {
    #[inline(always)]
    fn first(r: u32) -> u32 {
        ptx::mul_rn_f16x2(r, r)
    }

    #[inline(always)]
    fn further(sum: u32, r: u32) -> u32 {
        ptx::fma_rn_f16x2(r, r, sum)
    }

    #[inline(always)]
    fn at_most(least: f32, magnitudes: f32, roundings: f32) -> f32 {
        const ETA: f32 = 3.01 * H;
        let rest = ptx::fma_rn(magnitudes, 1.03 * 33.0 * 4.0 * ETA * ETA, REST);
        ptx::fma_rn(least, (1.0 + 2.0 * H * roundings) * (33.0 / 32.0), rest)
    }
}

impl Filter for Mae {
    #[inline(always)]
    fn first(r: u32) -> u32 {
        ptx::abs_f16x2(r)
    }

    #[inline(always)]
    fn further(sum: u32, r: u32) -> u32 {
        ptx::add_rn_f16x2(sum, ptx::abs_f16x2(r))
    }

    #[inline(always)]
    fn at_most(least: f32, magnitudes: f32, roundings: f32) -> f32 {
        let rest = ptx::fma_rn(magnitudes, 1.03 * 2.0 * 3.01 * H, REST);
        ptx::fma_rn(least, 1.0 + 2.0 * H * roundings, rest)
    }
}

/// More than FP16's subnormals leave out of an error.
const REST: f32 = 1.0 / 32_768.0;

/// 16 magnitudes in units of s6, two a word.
pub(super) type Halves = [u32; 8];

/// `E2M1(y) − y` of a pair, for y up to 16: with `TWICE_FLOOR`, on the grid of twice the scale. Without `CLIP`
/// y is below 7.
#[inline(always)]
fn rest<const CLIP: bool>(y: u32, floor: u32) -> u32 {
    // `isa/grid.rs`, with FP16's unit in the last place.
    let m = ptx::max_f16x2(y, floor);
    let q = ptx::fma_rn_f16x2(m, SHIFT, ptx::fma_rn_f16x2(m, MINUS_SHIFT, y));
    let q = if CLIP { ptx::min_f16x2(q, SIX) } else { q };
    ptx::sub_rn_f16x2(q, y)
}

/// The bits of the candidates that may be the best by a launch's metric. `total` adds up the parts of lanes;
/// all lanes of the warp call it. `roundings` is note 2's k.
#[inline(always)]
pub(super) fn of_launch<const LINES: usize>(
    magnitudes: bool,
    start: &Start,
    lines: [&Line; LINES],
    total: impl Fn(u32) -> u32,
    roundings: f32,
) -> u32 {
    let over = ptx::rcp_approx(value(start.byte));
    let lines = lines.map(|line| line.halves(over));
    if magnitudes {
        candidates::<Mae, LINES>(start, over, lines, total, roundings)
    } else {
        candidates::<Mse, LINES>(start, over, lines, total, roundings)
    }
}

/// Those of a metric. `over` is 1/s6.
#[inline(always)]
fn candidates<M: Filter, const LINES: usize>(
    start: &Start,
    over: f32,
    lines: [Halves; LINES],
    total: impl Fn(u32) -> u32,
    roundings: f32,
) -> u32 {
    // Of a step: its scale, and the quotient's factor.
    let unit = |step: i32| {
        let rho = value(start.byte.wrapping_add_signed(step * BYTE as i32)) * over;
        let factor = ptx::rcp_approx(rho);
        let weight = M::weight(rho);
        [ptx::cvt_rn_f16x2_f32(factor, factor), ptx::cvt_rn_f16x2_f32(weight, weight)]
    };
    // Every pair of the lines. Written out: a loop may stay one, with the arrays in memory.
    macro_rules! each {
        (|$is_first:ident, $pair:ident| $once:expr) => {
            each!(@ $is_first, $pair, $once, 0: 0 1 2 3 4 5 6 7);
            if LINES == 2 {
                each!(@ $is_first, $pair, $once, 1: 0 1 2 3 4 5 6 7);
            }
        };
        (@ $is_first:ident, $pair:ident, $once:expr, $n:literal: $($i:literal)*) => {
            $({
                let ($is_first, $pair) = ($n + $i == 0, lines[$n % LINES][$i]);
                $once
            })*
        };
    }
    // Errors of two candidates, in a word's halves, in units of s6.
    macro_rules! errors {
        ($step:literal, $clip:literal, $twice:literal) => {{
            let [factor, weight] = unit($step);
            let (mut low, mut high) = (0, 0);
            each!(|is_first, pair| {
                let y = ptx::mul_rn_f16x2(pair, factor);
                let r = rest::<$clip>(y, FLOOR);
                low = if is_first { M::first(r) } else { M::further(low, r) };
                if $twice {
                    let r = rest::<false>(y, TWICE_FLOOR);
                    high = if is_first { M::first(r) } else { M::further(high, r) };
                }
            });
            let both = if $twice { high } else { low };
            let sum =
                ptx::add_rn_f16x2(ptx::prmt::<0x5410>(low, both), ptx::prmt::<0x7632>(low, both));
            total(ptx::mul_rn_f16x2(sum, weight))
        }};
    }
    let mut words = [
        errors!(-4, true, true),
        errors!(-3, true, true),
        errors!(-2, true, true),
        errors!(-1, true, true),
        errors!(0, false, true),
        errors!(1, false, false),
        errors!(2, false, false),
        errors!(3, false, false),
    ];
    // Blocks near the tensor's largest: no candidates above 448.
    if warp::any(start.byte > LARGEST - 8 * BYTE) {
        let highest = |word: u32, low: i32, high: i32| {
            let is_scale =
                |step: i32| start.byte.wrapping_add_signed(step * BYTE as i32) <= LARGEST;
            let low = if is_scale(low) { 0 } else { 0x7C00 };
            word | low | if is_scale(high) { 0 } else { 0x7C00_0000 }
        };
        let [a, b, c, d, e, f, g, h] = words;
        words = [
            highest(a, -4, 4),
            highest(b, -3, 5),
            highest(c, -2, 6),
            highest(d, -1, 7),
            highest(e, 0, 8),
            highest(f, 1, 1),
            highest(g, 2, 2),
            highest(h, 3, 3),
        ];
    }
    let [a, b, c, d, e, f, g, h] = words;
    let least = {
        let min = ptx::min_f16x2;
        let both = min(min(min(a, b), min(c, d)), min(min(e, f), min(g, h)));
        ptx::cvt_f32_f16x2(min(both, ptx::prmt::<0x1032>(both, both)))[0]
    };
    let magnitudes = {
        let mut sum = 0;
        each!(|is_first, pair| {
            sum = if is_first { M::first(pair) } else { M::further(sum, pair) };
        });
        let sum = ptx::add_rn_f16x2(sum, ptx::prmt::<0x1032>(sum, sum));
        ptx::cvt_f32_f16x2(total(sum))[0]
    };
    let at_most = M::at_most(least, magnitudes, roundings);
    let at_most = ptx::cvt_rn_f16x2_f32(at_most, at_most);
    // The sign of what is below it; of NaN there is none.
    let mut bits = 0;
    macro_rules! take {
        ($($word:ident)*) => {
            $(bits = bits >> 1 | ptx::sub_rn_f16x2($word, at_most) & 0x8000_8000;)*
        };
    }
    take!(a b c d e f g h);
    bits & ALL
}
