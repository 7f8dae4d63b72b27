//! The hot loop: one block of 16 elements.
//!
//! ```text
//! bmax = max |x|
//! b    = bmax/6 · S_enc;  s6 = E4M3(b);  s4 = E4M3(1.5·b)      two candidates
//! for c in {6, 4}:
//!     e_c   = 1 / (s_c · S_dec)
//!     q_c   = E2M1(|x|·e_c)                                    16 codes
//!     err_c = Σ |q_c − |x|·e_c|                                (MAE; squared for MSE)
//! map4 = err4·s4/s6 < err6, where they are far enough apart;     else the exact path decides
//! ```
//!
//! 1. **Certified decision.** One FP32 loop serves strict and fast: its errors decide where they are
//!    further apart than rounding explains. The bound and its proof: `docs/certified-decision.md`.
//! 2. **Exact ties**: candidates with the same 16 values. Compared by value, no errors needed; constant
//!    blocks are common.
//! 3. **bmax/6** is `bmax·RN(1/6)` plus `bmax` times the rest of 1/6, rounded once. The quotient is never
//!    within 2⁻²⁴ of a unit in the last place of a midpoint, so this is exact (`tests/tests/hot_loop.rs`
//!    tries every significand).
//! 4. **Reciprocal**: the hardware's approximation and one Newton step, the sequence that `rcp.rn.f32`
//!    compiles to outside its slow path, without the branch to that path.
//! 5. **Irregular blocks** (saturated, subnormal or zero scales, NaN, ∞) have `bmax·e ≥ 6.5` or NaN. One
//!    comparison sends them to the exact path.

use super::division::{reciprocal, sixth};
use super::encoded::Encoded;
use super::exact;
use super::isa::{self, Candidate, Isa, Target};
use super::metric::Metric;
use super::rounding::Rounding;
use super::search;
use super::stochastic;
use crate::formats::e4m3;
use crate::load::block::{Block, Placed};
use crate::load::input::Input;
use crate::load::transform::Transform;
use crate::ptx::packed::{self, F32x2};
use crate::ptx::{self, warp};
use fouroversix_core::abi::GlobalScale;

/// Block scales of both candidates, and the factors that encode with them.
#[derive(Clone, Copy)]
pub(crate) struct ScalePair {
    /// b and 1.5·b, unrounded: rounding them again costs fewer registers than keeping bytes.
    pub(crate) exact6: f32,
    pub(crate) exact4: f32,
    pub(crate) s6: f32,
    pub(crate) s4: f32,
    /// `GRID / (s·S_dec)`.
    pub(crate) encode6: f32,
    pub(crate) encode4: f32,
    /// `s4 / s6`, within 4u.
    pub(crate) ratio: f32,
    /// Whether the bound of the certified decision holds for this block.
    pub(crate) regular: bool,
}

/// [`reciprocal`] of a pair.
#[inline(always)]
fn reciprocals(t: F32x2) -> F32x2 {
    let r = F32x2::new(t.split().map(ptx::rcp_approx));
    let rest = packed::fma_rn_f32x2(F32x2::new(t.split().map(ptx::neg)), r, F32x2::new([1.0; 2]));
    packed::fma_rn_f32x2(r, rest, r)
}

/// The scales of a block whose largest magnitude is `bmax` (NaN if it has one): steps 3 to 5.
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

/// The choice by the cheap errors.
pub(crate) struct Choice {
    pub(crate) map4: bool,
    /// Whether the errors are further apart than the bound.
    pub(crate) certain: bool,
}

/// The choice between two cheap errors, sums over `ROWS` rows of 16. `ratio` is s4/s6.
#[inline(always)]
pub(crate) fn choose<M: Metric, const ROWS: u32>(
    error6: f32,
    error4: f32,
    ratio: f32,
    of_error: f32,
) -> Choice {
    // Errors have a factor of GRID (MAE) or GRID² (MSE).
    let unit = M::OF_SCALE * ROWS as f32 * M::weight(Target::GRID);
    let difference = ptx::fma_rn(error4, M::weight(ratio), ptx::neg(error6));
    let uncertainty = ptx::fma_rn(error6, of_error, unit);
    Choice { map4: difference < 0.0, certain: difference.abs() > uncertainty }
}

/// First half of the hot loop: a block and its scales.
pub(crate) struct Scaled<T: Input> {
    raw: T::Raw,
    x: [f32; 16],
    signs: [u32; 2],
    bmax: f32,
    scales: ScalePair,
    of_error: f32,
}

impl<T: Input> Scaled<T> {
    #[inline(always)]
    pub(crate) fn new<M: Metric>(raw: T::Raw, global: &GlobalScale, of_error: f32) -> Self {
        let x = T::widen(raw);
        let (bmax, signs) = (Target::amax::<T>(raw, &x), T::signs(raw));
        Self { raw, x, signs, bmax, scales: scales::<M>(bmax, global), of_error }
    }

    /// Whether the second half's arithmetic holds for it.
    #[inline(always)]
    pub(crate) fn is_regular(&self) -> bool {
        self.scales.regular
    }

    /// The encoded block, if it is zeros.
    #[inline(always)]
    pub(crate) fn zero(&self) -> Option<Encoded> {
        // `opaque` keeps the compilers from hoisting this onto the hot path; signs too, if they are not there.
        let bmax = ptx::opaque(self.bmax.to_bits());
        let signs = if Target::SIGNED_CODES {
            T::signs(T::opaque(self.raw))
        } else {
            self.signs.map(ptx::opaque)
        };
        (bmax == 0).then(|| Encoded::zero(signs))
    }

    /// The choice alone: the candidates' codes are nobody's.
    #[inline(always)]
    fn choice<M: Metric>(&self) -> Choice {
        self.candidates::<M>().choice
    }

    /// [`Candidates::tie`], of candidates worked out again.
    #[inline(always)]
    fn tie<M: Metric>(&self) -> bool {
        // `opaque`: kept from the hot path, both candidates' codes would take registers.
        let again = |factor: f32| f32::from_bits(ptx::opaque(factor.to_bits()));
        let ScalePair { encode6, encode4, .. } = self.scales;
        let scales = ScalePair { encode6: again(encode6), encode4: again(encode4), ..self.scales };
        Self { scales, ..*self }.candidates::<M>().tie()
    }

    /// One of the two, encoded stochastically.
    #[inline(always)]
    fn stochastic(&self, is_map4: bool, words: [u32; 4]) -> Encoded {
        let Self { x, signs, scales, .. } = self;
        let (encode, scale) =
            if is_map4 { (scales.encode4, scales.exact4) } else { (scales.encode6, scales.exact6) };
        let factor = encode * (stochastic::UNIT / Target::GRID);
        Encoded { codes: stochastic::codes(x, factor, words, *signs), scale }
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
        let choice = choose::<M, 1>(map6.error, map4.error, scales.ratio, self.of_error);
        Candidates { map6, map4, signs, scales, choice }
    }
}

/// A block after the hot loop: both candidates and the choice.
pub(crate) struct Candidates {
    map6: Candidate,
    map4: Candidate,
    signs: [u32; 2],
    scales: ScalePair,
    choice: Choice,
}

impl Candidates {
    /// Whether [`Candidates::best`] is the contract's block for certain.
    #[inline(always)]
    pub(crate) fn is_certain(&self) -> bool {
        self.choice.certain & self.scales.regular
    }

    /// One of the two, encoded.
    #[inline(always)]
    pub(crate) fn stored(&self, is_map4: bool) -> Encoded {
        let Self { map6, map4, scales, .. } = self;
        // Word by word: as an array they would become one number of 64 bits.
        let codes = |half: usize| {
            let codes = if is_map4 { map4.codes[half] } else { map6.codes[half] };
            Target::nibbles(codes, self.signs[half])
        };
        let scale = if is_map4 { scales.exact4 } else { scales.exact6 };
        Encoded { codes: [codes(0), codes(1)], scale }
    }

    /// The one with the lower cheap error.
    #[inline(always)]
    pub(crate) fn best(&self) -> Encoded {
        self.stored(self.choice.map4)
    }

    /// An exact tie: both have the same values, so the contract takes map6.
    #[inline(always)]
    pub(crate) fn tie(&self) -> bool {
        let Self { map6, map4, scales, .. } = self;
        isa::same_values::<Target>(map6, map4, scales.s6, scales.s4)
    }
}

/// Encodes a block. All lanes of the warp call it, lanes without a block with any. `block_of` gives the
/// block of any thread of the warp, for the exact path.
#[inline(always)]
pub(crate) fn encode<T: Input, M: Metric, R: Rounding, X: Transform, B: Block>(
    raw: T::Raw,
    thread: u32,
    block_of: impl Fn(u32) -> Placed<B>,
    rounding: R,
    transform: X,
    global: &GlobalScale,
    of_error: f32,
    flags: u32,
) -> Encoded {
    if M::SEARCH {
        return search::encode::<T, B>(raw, thread, block_of, global, flags);
    }
    let block = Scaled::<T>::new::<M>(transform.block::<T>(raw), global, of_error);
    // Shortcut for a warp of zeros. The branch also keeps the compiler from interleaving the halves, which
    // would take more registers and conflict in the register file's banks.
    if M::FOUR_OVER_SIX && Target::IN_HALVES && !warp::any(block.is_regular()) {
        warp::sync();
        if !warp::any(block.bmax != 0.0) {
            return Encoded::zero(block.signs);
        }
    }
    let (mut encoded, mut settled);
    if R::NEAREST {
        let candidates = block.candidates::<M>();
        encoded = candidates.best();
        // A warp vote: without divergence on the hot path.
        if !warp::any(!candidates.is_certain()) {
            return encoded;
        }
        warp::sync();
        settled = candidates.is_certain();
        if !settled {
            settled = block.is_regular() && candidates.tie();
            encoded = candidates.stored(false);
        }
    } else {
        let Choice { mut map4, certain } = block.choice::<M>();
        settled = certain & block.is_regular();
        let left = warp::any(!settled);
        if left {
            warp::sync();
            if !settled {
                settled = block.is_regular() && block.tie::<M>();
                map4 = false;
            }
            warp::sync();
        }
        encoded = block.stochastic(map4, rounding.draw(block_of(thread).segment));
        if !left {
            return encoded;
        }
    }
    if let Some(zero) = block.zero() {
        (encoded, settled) = (zero, true);
    }
    warp::sync();
    // `opaque` keeps the exact path's addresses from being hoisted.
    let (thread, flags) = (ptx::opaque(thread), ptx::opaque(flags));
    let block_of = |lane: u32| block_of(thread - thread % 32 + lane);
    let asks = !settled;
    exact::encode_by_warp::<T, M, R, X, B>(
        asks,
        thread % 32,
        block_of,
        rounding,
        transform,
        global,
        flags,
        encoded,
    )
}
