//! The hot loop: one block of 16 elements.
//!
//! ```text
//! bmax = max |x|
//! b    = bmax/6 · S_enc;  s6 = E4M3(b);  s4 = E4M3(1.5·b)      two candidates
//! for c in {6, 4}:
//!     e_c   = 1 / (s_c · S_dec)
//!     q_c   = E2M1(|x|·e_c)                                    16 codes
//!     err_c = Σ |q_c − |x|·e_c|                                (MAE; squared for MSE)
//! map4 = err4·s4/s6 < err6, if they differ by enough to be sure;  else the exact path decides
//! ```
//!
//! 1. **One loop for strict and fast, FP32 alone (certified decision).** The contract measures the
//!    error in the input domain (strict) or after multiplication by S_enc (fast). Both are, up to
//!    rounding, `|q·s − X|` with `X = |x|/S_dec`, and so is a term above times s. With u = 2⁻²⁴,
//!    `D = |q·s − X|` in real numbers, and `6·A/amax`, `S_enc`, `S_dec` each one rounding apart:
//!    - above: `y = X/s` within 3u (s·S_dec, its reciprocal, the product), the difference within u:
//!      at most `3u·X + u·D` from D;
//!    - strict: v is q·s within 4u (S_enc, S_dec, two roundings of its own), the difference within
//!      u: at most `4u·q·s + u·D ≤ 4u·X + 5u·D` from D; fast: `2u·X + u·D`.
//!
//!    So terms differ by at most `7u·X + 6u·D`. Sums add at most 15u (the contract's 15 additions)
//!    and, here, 8u of ΣD. s4/s6 is within 4u (t4 = s4·S_dec, t6, 1/t6, t4·(1/t6)), its square
//!    within 9u, and err4·s4/s6 − err6 is rounded once more: 13u or 18u in all. A regular block has
//!    `X ≤ 6.5·s6`.
//!    - MAE: a candidate's sums differ by at most `7u·ΣX + 34u·ΣD`; both candidates' by
//!      `2·7·104·u·s6 + 34u·(err4 + err6)`, 2·7·104 = 1456.
//!    - MSE: squares differ by `14u·X·D + 12u·D²`, and `ΣX·D ≤ ΣX²/32 + 8·ΣD²` (means), with
//!      `ΣX² ≤ 676·s6²`: both candidates' sums by `592u·s6² + (112 + 12 + 34)·u·(err4 + err6)`.
//!
//!    A tile of 16 rows has 16 times the first part and a tree of 4 more additions on both sides:
//!    42u and 166u in the second. As `err4 = err6 + difference`, in units of s6,
//!    `|difference| > 1456u + 34u·(2·err6 + |difference|)` is enough, and so is
//!    `|difference| > OF_SCALE + OF_ERROR·err6` with an OF_ERROR a little over twice those:
//!    [`Metric::OF_SCALE`] and [`Metric::OF_ERROR`] have room to spare.
//!    Nothing in this leaves the normal range while `2⁻⁵⁰ ≤ S_dec ≤ 2⁵⁰` (`GlobalScale::limit`): the
//!    smallest square that matters is 2⁻¹⁸·S_dec², the largest sum 2²²·S_dec².
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

use super::e4m3;
use super::exact::{self, Block};
use super::input::Input;
use super::isa::{Candidate, Isa, Target};
use super::metric::Metric;
use super::packed::{self, F32x2};
use super::{ptx, warp};
use fouroversix_core::abi::GlobalScale;

/// Where the signs of eight codes are.
pub(crate) const SIGNS: u32 = 0x8888_8888;

/// A block as it is stored: 16 nibbles, and a scale that is still to be rounded to E4M3.
#[derive(Clone, Copy)]
pub(crate) struct Encoded {
    pub(crate) codes: [u32; 2],
    pub(crate) scale: f32,
}

/// The block scales of both candidates and the factors that encode with them.
#[derive(Clone, Copy)]
pub(crate) struct ScalePair {
    /// b and 1.5·b: rounding is cheaper than to keep what was rounded.
    pub(crate) exact6: f32,
    pub(crate) exact4: f32,
    pub(crate) s6: f32,
    pub(crate) s4: f32,
    /// `GRID / (s·S_dec)`.
    pub(crate) encode6: f32,
    pub(crate) encode4: f32,
    /// `s4 / s6`, within 4u.
    pub(crate) ratio: f32,
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
        let [exact6, exact4] = [b, b * 1.5];
        let [s6, s4] = e4m3::decode(e4m3::encode(exact4, exact6));
        let t = packed::mul_rn_f32x2(F32x2::new([s6, s4]), F32x2::new([s_dec; 2]));
        let [encode6, encode4] = reciprocals(t).split();
        let ratio = t.split()[1] * encode6;
        // Roundings keep order: s4 ≥ s6, so encode4 ≤ encode6.
        let regular = bmax * encode6 < global.limit;
        ScalePair { exact6, exact4, s6, s4, encode6, encode4, ratio, regular }
    } else {
        const SIXTH: f32 = 1.0 / 6.0;
        let b = bmax * (global.s_enc * SIXTH);
        let [s6, _] = e4m3::decode(e4m3::byte(b));
        let encode6 = reciprocal(s6 * s_dec);
        let regular = bmax * encode6 < global.limit;
        let (exact6, exact4, s4, encode4, ratio) = (b, 0.0, 0.0, 0.0, 0.0);
        ScalePair { exact6, exact4, s6, s4, encode6, encode4, ratio, regular }
    }
}

/// What the cheap errors say about the choice.
pub(crate) struct Choice {
    pub(crate) map4: bool,
    /// Whether the errors are far enough apart to be sure.
    pub(crate) certain: bool,
}

/// Compares two errors of the scaled domain, over `ROWS` rows of 16. `ratio` is s4/s6.
#[inline(always)]
pub(crate) fn choose<M: Metric, const ROWS: u32>(error6: f32, error4: f32, ratio: f32) -> Choice {
    // The errors carry GRID (MAE) or GRID² (MSE).
    let unit = M::OF_SCALE * ROWS as f32 * M::weight(Target::GRID);
    let difference = ptx::fma_rn(error4, M::weight(ratio), ptx::neg(error6));
    let uncertainty = ptx::fma_rn(error6, M::OF_ERROR, unit);
    Choice { map4: difference < 0.0, certain: difference.abs() > uncertainty }
}

/// A block of zeros: common, and no arithmetic. E2M1 keeps their signs.
#[inline(always)]
pub(crate) fn zero(signs: [u32; 2]) -> Encoded {
    Encoded { codes: signs.map(|half| half & SIGNS), scale: 0.0 }
}

/// A block and what its scales are: the first half of the hot loop.
pub(crate) struct Scaled {
    x: [f32; 16],
    signs: [u32; 2],
    bmax: f32,
    scales: ScalePair,
}

impl Scaled {
    #[inline(always)]
    pub(crate) fn new<T: Input, M: Metric>(raw: T::Raw, global: &GlobalScale) -> Self {
        let x = T::widen(raw);
        let (bmax, signs) = (Target::amax::<T>(raw, &x), T::signs(raw));
        Self { x, signs, bmax, scales: scales::<M>(bmax, global) }
    }

    /// Whether the second half can encode it.
    #[inline(always)]
    pub(crate) fn is_regular(&self) -> bool {
        self.scales.regular
    }

    /// A block of zeros, encoded.
    #[inline(always)]
    pub(crate) fn zero(&self) -> Option<Encoded> {
        // Opaque, or it would be worked out ahead.
        let [bmax, low, high] =
            [self.bmax.to_bits(), self.signs[0], self.signs[1]].map(ptx::opaque);
        (bmax == 0).then(|| zero([low, high]))
    }

    /// The second half of the hot loop.
    #[inline(always)]
    pub(crate) fn candidates<M: Metric>(&self) -> Candidates {
        let Self { x, signs, scales, .. } = *self;
        if !M::FOUR_OVER_SIX {
            let [map6] = Target::candidates::<M, 1>(&x, [scales.encode6]);
            let choice = Choice { map4: false, certain: true };
            return Candidates { map6, map4: map6, signs, scales, choice };
        }
        let [map6, map4] = Target::candidates::<M, 2>(&x, [scales.encode6, scales.encode4]);
        let choice = choose::<M, 1>(map6.error, map4.error, scales.ratio);
        Candidates { map6, map4, signs, scales, choice }
    }
}

/// A block after the hot loop.
pub(crate) struct Candidates {
    map6: Candidate,
    map4: Candidate,
    signs: [u32; 2],
    scales: ScalePair,
    choice: Choice,
}

impl Candidates {
    /// Whether [`Candidates::best`] is sure to be the contract's block.
    #[inline(always)]
    pub(crate) fn is_certain(&self) -> bool {
        self.choice.certain & self.scales.regular
    }

    /// One of the two as it is stored.
    #[inline(always)]
    pub(crate) fn stored(&self, is_map4: bool) -> Encoded {
        let Self { map6, map4, scales, .. } = self;
        let (codes, scale) =
            if is_map4 { (map4.codes, scales.exact4) } else { (map6.codes, scales.exact6) };
        Encoded { codes: Target::nibbles(codes, self.signs), scale }
    }

    /// The one whose error seems lower.
    #[inline(always)]
    pub(crate) fn best(&self) -> Encoded {
        self.stored(self.choice.map4)
    }

    /// Whether both stand for the same values: the contract's errors tie, and map6 it is.
    #[inline(always)]
    pub(crate) fn tie(&self) -> bool {
        let Self { map6, map4, scales, .. } = self;
        Target::same_values(map4.codes, scales.s4, map6.codes, scales.s6)
    }
}

/// Encodes a block. All lanes of the warp call it; those that have no block may bring any. `block_of`
/// finds the block of a thread of the warp.
#[inline(always)]
pub(crate) fn encode<T: Input, M: Metric, B: Block>(
    raw: T::Raw,
    thread: u32,
    block_of: impl Fn(u32) -> B,
    global: &GlobalScale,
    flags: u32,
) -> Encoded {
    let block = Scaled::new::<T, M>(raw, global);
    // A warp of zeros is done. For others too it is good that a branch keeps the halves of the hot
    // loop apart: mixed, they hold more registers, and those meet in the banks of the register file.
    if M::FOUR_OVER_SIX && Target::IN_HALVES && !warp::any(block.is_regular()) {
        warp::sync();
        if !warp::any(block.bmax != 0.0) {
            return zero(block.signs);
        }
    }
    let candidates = block.candidates::<M>();
    let mut encoded = candidates.best();
    // The warp decides as one, so that on the hot path no lane waits for another.
    if !warp::any(!candidates.is_certain()) {
        return encoded;
    }
    warp::sync();
    let mut settled = candidates.is_certain();
    if !settled {
        settled = block.is_regular() && candidates.tie();
        encoded = candidates.stored(false);
    }
    if let Some(zero) = block.zero() {
        (encoded, settled) = (zero, true);
    }
    warp::sync();
    // Nothing of this is to be worked out ahead.
    let (thread, flags) = (ptx::opaque(thread), ptx::opaque(flags));
    let block_of = |lane: u32| block_of(thread - thread % 32 + lane);
    exact::encode_by_warp::<T, M, B>(!settled, thread % 32, block_of, global, flags, encoded)
}
