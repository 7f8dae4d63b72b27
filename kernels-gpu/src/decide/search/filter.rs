//! Which of the 13 candidates may be the best, by errors in packed half precision.
//!
//! In units of the power of two below s6 let `v = |x|·S_enc`, rounded to FP16 as w, and ρ a candidate's scale, which
//! FP16 has exactly. A magnitude's part of the error is `r = w − q·ρ`, where q is E2M1's value next to `y = w·(1/ρ)`;
//! two elements an instruction, each operation rounded once, `h = 2⁻¹¹`.
//!
//! 1. **y only chooses q.** It is off by 5/8·h of itself, as 1/ρ is, and by a rounding: at a midpoint between two values
//!    by at most 8.4h of its distance from them. So |r| is at most 1 + 16.8h times the least distance, and never
//!    below it.
//! 2. **w is the same for all candidates.** With p the power of two below a magnitude, the vector of 16 is at most
//!    `h·‖p‖` from that of v, and so are the norms of differences; sums of magnitudes at most `h·Σp`. The
//!    contract's own differences are within `2⁻²⁰·v` of exact ones, midpoints included.
//! 3. **Sums** have at most k roundings, r's included: 11 in a block, 15 in a tile.
//! 4. **Left over**: with the lowest error found, F, the best candidate's is at most
//!    `(1 + (2k + 34)h)·(√F + 2h‖p‖)²` for squares, `(1 + (2k + 17)h)·F + 2h·Σp` for magnitudes, and what FP16's
//!    subnormals leave out; `(a + b)² ≤ 129/128·a² + 129·b²`.
//! 5. **Pairs.** Eight bytes up is twice the scale: in units of the lower scale its grid is E2M1's with
//!    steps of 1 below 2. So `−4..0` and `4..8` share their y.
//! 6. **Not filtered** is a block below byte 12, some of whose scales are subnormal, or with a magnitude above 6.5
//!    times s6, as 448 may leave one (`Start::open`).
//!
//! `tests/tests/search_filter.rs` has the same arithmetic on a CPU and tries every FP16 number.

use super::candidates::{ALL, BYTE, LARGEST, Start};
use super::weigh::{Halves, Line};
use crate::decide::metric::{Mae, Metric, Mse};
use crate::ptx::rolled::two;
use crate::ptx::{self, warp};
use fouroversix_core::abi::MAGNITUDES;

/// FP16 numbers, twice.
const SHIFT: u32 = 0x6000_6000; // 512
const MINUS_SHIFT: u32 = 0xE000_E000;
const FLOOR: u32 = 0x3C03_3C03; // 1 + 3/1024
const TWICE_FLOOR: u32 = 0x4003_4003;
const SIX: u32 = 0x4600_4600;
const MINUS_ONE: u32 = 0xBC00_BC00;
const EXPONENT: u32 = 0x7C00_7C00;

const H: f32 = 1.0 / 2048.0;
/// More than FP16's subnormals leave out of an error.
const REST: f32 = 1.0 / 32_768.0;

/// A metric's errors in half precision.
trait Filter: Metric {
    /// `term(r)`.
    fn first(r: u32) -> u32;
    /// `sum + term(r)`.
    fn further(sum: u32, r: u32) -> u32;
    /// What the best candidate may have, by the lowest error found and what `first` and `further` make of the
    /// powers of two below the magnitudes. `roundings` is note 3's k.
    fn at_most(least: f32, powers: f32, roundings: f32) -> f32;
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
    fn at_most(least: f32, powers: f32, roundings: f32) -> f32 {
        let rest = ptx::fma_rn(powers, 1.03 * 129.0 * 4.0 * H * H, REST);
        ptx::fma_rn(least, (1.0 + (2.0 * roundings + 36.0) * H) * (129.0 / 128.0), rest)
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
    fn at_most(least: f32, powers: f32, roundings: f32) -> f32 {
        let rest = ptx::fma_rn(powers, 1.03 * 2.0 * H, REST);
        ptx::fma_rn(least, 1.0 + (2.0 * roundings + 19.0) * H, rest)
    }
}

/// E2M1's value next to both of a pair; with `TWICE_FLOOR`, that of the grid of twice the scale. At least 6 from 7 on.
#[inline(always)]
fn nearest(y: u32, floor: u32) -> u32 {
    // `isa/grid.rs`, with FP16's unit in the last place.
    let m = ptx::max_f16x2(y, floor);
    ptx::fma_rn_f16x2(m, SHIFT, ptx::fma_rn_f16x2(m, MINUS_SHIFT, y))
}

/// The bits of the candidates that may be the best by a launch's metric. `total` adds up the parts of lanes;
/// all lanes of the warp call it. `roundings` is note 3's k.
#[inline(always)]
pub(super) fn of_launch<const LINES: usize>(
    start: &Start,
    lines: [&Line; LINES],
    total: impl Fn(u32) -> u32,
    roundings: f32,
    flags: u32,
) -> u32 {
    // One over the power of two below s6.
    let over = f32::from_bits(0x4300_0000_u32.wrapping_sub(start.byte & 0x7F80_0000));
    let lines = lines.map(|line| line.halves(over));
    if flags & MAGNITUDES != 0 {
        candidates::<Mae, LINES>(start, lines, total, roundings, flags)
    } else {
        candidates::<Mse, LINES>(start, lines, total, roundings, flags)
    }
}

/// Two sums a word of a line's terms for a candidate, and with `TWICE` for that of twice its scale. Without `CLIP` no y
/// is 7 or more.
#[inline(always)]
fn of_candidate<M: Filter, const CLIP: bool, const TWICE: bool>(
    pairs: &Halves,
    start: &Start,
    step: i32,
) -> [u32; 2] {
    // Where s6 is between two powers of two, in eighths.
    let eighths = start.byte & 0x0070_0000;
    let scale = (eighths + 0x3F80_0000).wrapping_add_signed(step * BYTE as i32);
    let factor = ptx::rcp_approx(f32::from_bits(scale));
    let factor = ptx::cvt_rn_f16x2_f32(factor, factor);
    let minus_s6 = MINUS_ONE + ptx::prmt::<0x1010>(eighths >> 13, 0);
    let minus_scale = minus_s6.wrapping_add_signed(step * 0x0080_0080);
    let (mut low, mut high) = (0, 0);
    // Written out: a loop may stay one, with the array in memory.
    macro_rules! each {
        ($($i:literal)*) => {
            $({
                let y = ptx::mul_rn_f16x2(pairs[$i], factor);
                let q = nearest(y, FLOOR);
                let q = if CLIP { ptx::min_f16x2(q, SIX) } else { q };
                let r = ptx::fma_rn_f16x2(q, minus_scale, pairs[$i]);
                low = if $i == 0 { M::first(r) } else { M::further(low, r) };
                if TWICE {
                    let q = nearest(y, TWICE_FLOOR);
                    let r = ptx::fma_rn_f16x2(q, minus_scale, pairs[$i]);
                    high = if $i == 0 { M::first(r) } else { M::further(high, r) };
                }
            })*
        };
    }
    each!(0 1 2 3 4 5 6 7);
    [low, high]
}

/// The terms of the powers of two below a line's magnitudes.
#[inline(always)]
fn of_powers<M: Filter>(pairs: &Halves) -> u32 {
    let mut sum = 0;
    macro_rules! each {
        ($($i:literal)*) => {
            $({
                let power = pairs[$i] & EXPONENT;
                sum = if $i == 0 { M::first(power) } else { M::further(sum, power) };
            })*
        };
    }
    each!(0 1 2 3 4 5 6 7);
    sum
}

/// What a line adds to each word: a candidate's sum in either half, steps −4 to 2 and 3 to 8, and last the powers'.
#[inline(always)]
fn of_line<M: Filter>(pairs: &Halves, start: &Start) -> [u32; 7] {
    // One sum from each of two words.
    let both = |low: u32, high: u32| {
        ptx::add_rn_f16x2(ptx::prmt::<0x5410>(low, high), ptx::prmt::<0x7632>(low, high))
    };
    let [three, _] = of_candidate::<M, false, false>(pairs, start, 3);
    let [below4, four] = of_candidate::<M, true, true>(pairs, start, -4);
    let [below3, five] = of_candidate::<M, true, true>(pairs, start, -3);
    let [below2, six] = of_candidate::<M, true, true>(pairs, start, -2);
    let [below1, seven] = of_candidate::<M, true, true>(pairs, start, -1);
    let [zero, eight] = of_candidate::<M, false, true>(pairs, start, 0);
    let [one, _] = of_candidate::<M, false, false>(pairs, start, 1);
    let [two, _] = of_candidate::<M, false, false>(pairs, start, 2);
    [
        both(below4, three),
        both(below3, four),
        both(below2, five),
        both(below1, six),
        both(zero, seven),
        both(one, eight),
        both(two, of_powers::<M>(pairs)),
    ]
}

/// Those of a metric.
#[inline(always)]
fn candidates<M: Filter, const LINES: usize>(
    start: &Start,
    mut lines: [Halves; LINES],
    total: impl Fn(u32) -> u32,
    roundings: f32,
    flags: u32,
) -> u32 {
    let mut words = [0; 7];
    if LINES == 1 {
        words = of_line::<M>(&lines[0], start);
    } else {
        // Twice the same code would be in the instruction cache's way.
        for _ in 0..two(flags) {
            let line = of_line::<M>(&lines[0], start);
            let add = ptx::add_rn_f16x2;
            let [a, b, c, d, e, f, g] = words;
            words = [
                add(a, line[0]),
                add(b, line[1]),
                add(c, line[2]),
                add(d, line[3]),
                add(e, line[4]),
                add(f, line[5]),
                add(g, line[6]),
            ];
            lines.rotate_left(1);
        }
    }
    words = words.map(total);
    // Blocks near the tensor's largest: no candidates above 448.
    if warp::any(start.byte > LARGEST - 8 * BYTE) {
        let absent = |step: i32| {
            let byte = start.byte.wrapping_add_signed(step * BYTE as i32);
            if byte <= LARGEST { 0 } else { 0x7C00 }
        };
        let [a, b, c, d, e, f, g] = words;
        words = [
            a | absent(3) << 16,
            b | absent(4) << 16,
            c | absent(5) << 16,
            d | absent(6) << 16,
            e | absent(7) << 16,
            f | absent(1) | absent(8) << 16,
            g | absent(2),
        ];
    }
    let [a, b, c, d, e, f, g] = words;
    let least = {
        let min = ptx::min_f16x2;
        let both = min(min(min(a, b), min(c, d)), min(min(e, f), ptx::prmt::<0x1010>(g, g)));
        ptx::cvt_f32_f16x2(min(both, ptx::prmt::<0x1032>(both, both)))[0]
    };
    let at_most = M::at_most(least, ptx::cvt_f32_f16x2(g)[1], roundings);
    let at_most = ptx::cvt_rn_f16x2_f32(at_most, at_most);
    // The sign of what is below it; of NaN there is none.
    let mut bits = 0;
    macro_rules! take {
        ($($word:ident)*) => {
            $(bits = bits >> 1 | ptx::sub_rn_f16x2($word, at_most) & 0x8000_8000;)*
        };
    }
    take!(a b c d e f g);
    bits & ALL
}
