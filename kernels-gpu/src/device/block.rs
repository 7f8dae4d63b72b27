//! The hot loop: one block of 16 elements.
//!
//! ```text
//! bmax = max |x|
//! b    = bmax/6 · S_enc;  s6 = E4M3(b);  s4 = E4M3(1.5·b)      two candidates
//! for c in {6, 4}:
//!     e_c   = 1 / (s_c · S_dec)
//!     q_c   = E2M1(|x|·e_c)                                    16 codes
//!     err_c = s_c · Σ |q_c − |x|·e_c|       (MAE; squared for MSE)
//! map4 = err4 < err6, if they differ by enough to be sure;  else [`near`] decides
//! ```
//!
//! 1. **One loop for strict and fast, FP32 alone (certified decision).** The contract measures the
//!    error in the input domain (strict) or after multiplication by S_enc (fast). Both are, up to
//!    rounding, `|q·s − X|` with `X = |x|/S_dec`, and so is the sum above. With u = 2⁻²⁴,
//!    `D = |q·s − X|` in real numbers, and `6·A/amax`, `S_enc`, `S_dec` each one rounding apart:
//!    - above: `y = X/s` within 3u (s·S_dec, its reciprocal, the product), the difference within u:
//!      at most `3u·X + u·D` from D;
//!    - strict: v is q·s within 4u (S_enc, S_dec, two roundings of its own), the difference within
//!      u: at most `4u·q·s + u·D ≤ 4u·X + 5u·D` from D; fast: `2u·X + u·D`.
//!
//!    So terms differ by at most `7u·X + 6u·D`. Sums add at most 15u (the contract's 15 additions)
//!    and 10u (here, the weight included) of ΣD. A regular block has `X ≤ 6.5·s6`.
//!    - MAE: a candidate's sums differ by at most `7u·ΣX + 31u·ΣD`; both candidates' by
//!      `2·7·104·u·s6 + 31u·(err4 + err6)`, 2·7·104 = 1456.
//!    - MSE: squares differ by `14u·X·D + 12u·D²`, and `ΣX·D ≤ ΣX²/32 + 8·ΣD²` (means), with
//!      `ΣX² ≤ 676·s6²`: both candidates' sums by `592u·s6² + (112 + 12 + 26)·u·(err4 + err6)`.
//!
//!    A tile of 16 rows has 16 times the first part and a tree of 4 more additions on both sides:
//!    40u and 160u in the second. [`Metric::OF_SCALE`] and [`Metric::OF_ERROR`] are larger than all
//!    of these. Nothing in this leaves the normal range while `2⁻⁵⁰ ≤ S_dec ≤ 2⁵⁰`
//!    (`GlobalScale::limit`): the smallest square that matters is 2⁻¹⁸·S_dec², the largest sum
//!    2²²·S_dec².
//! 2. **Exact ties.** Where both candidates stand for the same 16 values (zeros, constants, any
//!    block of zeros and one magnitude, when s4 = 1.5·s6) the contract's two errors are the same
//!    computation: a tie, map6. Found by comparing values, without computing the errors.
//! 3. **bmax/6** is `bmax·RN(1/6)` plus `bmax` times what RN(1/6) lacks, rounded once: within 2⁻²⁴
//!    of its last place from the quotient before that rounding, while a quotient by 6 is a number or
//!    at least a sixth of a place from the middle of two (all significands tested). Where it would
//!    underflow, b rounds to 0 and the block is not regular anyway.
//! 4. **The reciprocal** is the hardware's approximation and one Newton step: the very sequence
//!    that `rcp.rn.f32` compiles to on every target in the range where it takes no slow path.
//! 5. Saturated, subnormal or zero scales, NaN and ∞ all show as `bmax·e ≥ 6.5` or NaN: such a block
//!    is not regular and takes the exact path.

use core::cell::Cell;

use super::e4m3;
use super::exact::{self, Strided};
use super::input::Input;
use super::isa::{Isa, Target};
use super::metric::Metric;
use super::near;
use super::packed::{self, F32x2};
use super::ptx;
use crate::abi::GlobalScale;

/// A block as it is stored: 16 nibbles and a scale byte in the low 8 bits.
#[derive(Clone, Copy)]
pub(crate) struct Encoded {
    pub(crate) codes: [u32; 2],
    pub(crate) scale: u32,
}

/// The block scales of both candidates and the factors that encode with them.
#[derive(Clone, Copy)]
pub(crate) struct ScalePair {
    /// `s4 << 8 | s6`.
    pub(crate) bytes: u32,
    pub(crate) s6: f32,
    pub(crate) s4: f32,
    /// `GRID / (s·S_dec)`.
    pub(crate) encode6: f32,
    pub(crate) encode4: f32,
    /// Whether the hot loop's arithmetic holds for this block.
    pub(crate) regular: bool,
}

/// `RN(1/t)`, for `t` and `1/t` well inside the normal range.
#[inline(always)]
fn reciprocal(t: f32) -> f32 {
    let r = ptx::rcp_approx(t);
    ptx::fma_rn(r, ptx::fma_rn(-t, r, 1.0), r)
}

/// The same for a pair.
#[inline(always)]
fn reciprocals(t: F32x2) -> F32x2 {
    let r = F32x2::new(t.split().map(ptx::rcp_approx));
    let rest = packed::fma_rn_f32x2(F32x2::new(t.split().map(ptx::neg)), r, F32x2::new([1.0; 2]));
    packed::fma_rn_f32x2(r, rest, r)
}

/// `RN(bmax/6)`, for `bmax ≥ 2⁻¹⁰⁰`.
#[inline(always)]
fn sixth(bmax: f32) -> f32 {
    const SIXTH: f32 = 1.0 / 6.0;
    const REST: f32 = (1.0 / 6.0 - SIXTH as f64) as f32;
    ptx::fma_rn(bmax, SIXTH, bmax * REST)
}

/// The scales of a block whose largest magnitude is `bmax` (NaN if it has one).
#[inline(always)]
pub(crate) fn scales<M: Metric>(bmax: f32, global: &GlobalScale) -> ScalePair {
    let s_dec = global.s_dec * (1.0 / Target::GRID);
    if M::FOUR_OVER_SIX {
        let b = sixth(bmax) * global.s_enc;
        let bytes = e4m3::encode(b * 1.5, b);
        let [s6, s4] = e4m3::decode(bytes);
        let t = packed::mul_rn_f32x2(F32x2::new([s6, s4]), F32x2::new([s_dec; 2]));
        let [encode6, encode4] = reciprocals(t).split();
        // Roundings keep order: s4 ≥ s6, so encode4 ≤ encode6.
        let regular = bmax * encode6 < global.limit;
        ScalePair { bytes, s6, s4, encode6, encode4, regular }
    } else {
        const SIXTH: f32 = 1.0 / 6.0;
        let b = bmax * (global.s_enc * SIXTH);
        let bytes = e4m3::encode(0.0, b);
        let [s6, _] = e4m3::decode(bytes);
        let encode6 = reciprocal(s6 * s_dec);
        let regular = bmax * encode6 < global.limit;
        ScalePair { bytes, s6, s4: 0.0, encode6, encode4: 0.0, regular }
    }
}

/// What the cheap errors say about the choice.
pub(crate) struct Choice {
    pub(crate) map4: bool,
    /// Whether the errors are far enough apart; if not, see the values, then [`near`].
    pub(crate) certain: bool,
}

/// Compares two errors of the scaled domain, over `ROWS` rows of 16.
#[inline(always)]
pub(crate) fn choose<M: Metric, const ROWS: u32>(
    error6: f32,
    error4: f32,
    s: &ScalePair,
) -> Choice {
    // The errors carry GRID (MAE) or GRID² (MSE).
    let unit = M::OF_SCALE * ROWS as f32 * M::weight(Target::GRID);
    let [weight6, weight4] = M::weights(F32x2::new([s.s6, s.s4])).split();
    let error6 = error6 * weight6;
    let difference = ptx::fma_rn(error4, weight4, ptx::neg(error6));
    let sum = ptx::fma_rn(error4, weight4, error6);
    let uncertainty = ptx::fma_rn(sum, M::OF_ERROR, weight6 * unit);
    Choice { map4: difference < 0.0, certain: difference.abs() > uncertainty }
}

/// One block of 16 elements, handed to `done`. `place` tells where it lies; only the slow paths ask.
///
/// `done` stands at the end of each path: paths that meet again cost a barrier.
#[inline(always)]
pub(crate) fn encode_then<T: Input, M: Metric>(
    raw: T::Raw,
    place: impl Fn() -> Strided,
    global: &GlobalScale,
    flags: u32,
    done: impl Fn(Encoded),
) {
    let x = &T::widen(raw);
    let (bmax, signs) = (Target::amax::<T>(raw, x), T::signs(raw));
    let s = scales::<M>(bmax, global);
    if !s.regular {
        // Zeros are common, and need no arithmetic: scale 0, and E2M1 keeps their signs.
        if bmax == 0.0 {
            return done(Encoded { codes: signs, scale: 0 });
        }
        return done(exact::encode::<T, M>(place(), global, flags));
    }
    if !M::FOUR_OVER_SIX {
        let [map6] = Target::candidates::<M, 1>(x, [s.encode6]);
        return done(Encoded { codes: Target::nibbles(map6.codes, signs), scale: s.bytes });
    }
    let [map6, map4] = Target::candidates::<M, 2>(x, [s.encode6, s.encode4]);
    let best = |four: bool| {
        let (codes, scale) = if four { (map4.codes, s.bytes >> 8) } else { (map6.codes, s.bytes) };
        Encoded { codes: Target::nibbles(codes, signs), scale }
    };
    let choice = choose::<M, 1>(map6.error, map4.error, &s);
    if choice.certain {
        return done(best(choice.map4));
    }
    let map4_is_better = !Target::same_values(map4.codes, s.s4, map6.codes, s.s6)
        && near::map4_is_better::<T, M, 1>([place()], &s, global, flags, |[error]| error);
    done(best(map4_is_better));
}

/// The same, where what follows is too long to stand at the end of each path.
#[inline(always)]
pub(crate) fn encode<T: Input, M: Metric>(
    raw: T::Raw,
    place: impl Fn() -> Strided,
    global: &GlobalScale,
    flags: u32,
) -> Encoded {
    let encoded = Cell::new(Encoded { codes: [0; 2], scale: 0 });
    encode_then::<T, M>(raw, place, global, flags, |block| encoded.set(block));
    encoded.get()
}
