//! The exact path: the contract's own sequence, element by element from memory.
//!
//! For blocks that are not regular (saturated or zero scales, NaN, ∞, tensors of extreme magnitude), and
//! 1x16 blocks whose choice is not certain. A warp takes one 1x16 block after the other
//! ([`encode_by_warp`]); lanes of a tile take their lines side by side ([`better`]). Rolled loops and few
//! registers: the kernel's register count, and with it occupancy, is the hot loop's.

use super::encoded::Encoded;
use super::metric::Metric;
use super::rounding::Rounding;
use super::stochastic;
use crate::formats::e4m3;
use crate::load::block::{Block, Placed};
use crate::load::input::Input;
use crate::load::transform::Transform;
use crate::ptx::rolled::{sixteen, two};
use crate::ptx::{self, warp};
use fouroversix_core::abi::{E4M3_MAX_256, GlobalScale, STRICT};

/// A block scale and the factor that encodes with it.
#[derive(Clone, Copy)]
pub(crate) struct Encoder {
    pub(crate) scale: f32,
    encode: f32,
}

impl Encoder {
    #[inline(always)]
    pub(crate) fn new(scale: f32, s_dec: f32) -> Self {
        Self { scale, encode: ptx::min(ptx::rcp_rn(scale * s_dec), f32::MAX) }
    }

    /// `|x·encode|`, at most 6; 6 for NaN.
    #[inline(always)]
    fn product(self, x: f32) -> f32 {
        ptx::min((x * self.encode).abs(), 6.0)
    }

    /// `|E2M1(x·encode)|`: saturating, 6 for NaN. The rounding is that of `isa::grid`.
    #[inline(always)]
    fn magnitude(self, x: f32) -> f32 {
        let y = self.product(x);
        let m = ptx::max(y, 1.0 + 1.0 / 2_097_152.0);
        ptx::fma_rn(m, 4_194_304.0, ptx::fma_rn(m, -4_194_304.0, y))
    }

    /// The code of `x` (step 5, or T4 with a random byte).
    #[inline(always)]
    fn code<R: Rounding>(self, x: f32, byte: u32) -> u32 {
        let code = if R::NEAREST {
            ptx::cvt_rn_f16x2_f32(0.0, self.magnitude(x) * (1.0 / 16384.0)) >> 9
        } else {
            stochastic::code(self.product(x), byte)
        };
        // NaN is code 7: its sign is dropped.
        if x.is_nan() { 7 } else { code | (x.to_bits() >> 31) << 3 }
    }

    /// The 16 codes of a block.
    #[inline(always)]
    pub(crate) fn codes<T: Input, R: Rounding>(
        self,
        block: Placed<impl Block>,
        rounding: R,
        flags: u32,
    ) -> [u32; 2] {
        let words = rounding.draw_rolled(block.segment, flags);
        let mut codes = 0u64;
        for i in 0..sixteen(flags) {
            let byte = stochastic::byte(words, i as u32);
            let code = self.code::<R>(block.block.element::<T>(i), byte);
            codes |= u64::from(code) << (4 * i as u32);
        }
        [codes as u32, (codes >> 32) as u32]
    }

    /// The contract's fast difference of one element (step 6).
    #[inline(always)]
    pub(crate) fn fast(self, x: f32, global: &GlobalScale) -> f32 {
        let q = self.magnitude(x);
        let q = if x < 0.0 { -q } else { q };
        q * self.scale - x * global.s_enc
    }

    /// The contract's term of one element (steps 6 and 7).
    #[inline(always)]
    fn term<M: Metric>(self, x: f32, global: &GlobalScale, flags: u32) -> f32 {
        let q = self.magnitude(x);
        let q = if x < 0.0 { -q } else { q };
        let d = if flags & STRICT != 0 {
            let six_a = if flags & E4M3_MAX_256 != 0 { 6.0 * 256.0 } else { 6.0 * 448.0 };
            ptx::div_rn(q * self.scale * global.amax, six_a) - x
        } else {
            q * self.scale - x * global.s_enc
        };
        M::term(d)
    }

    /// The contract's errors of two blocks, in element order (step 7).
    #[inline(always)]
    pub(crate) fn errors<T: Input, M: Metric>(
        self,
        [a, b]: [impl Block; 2],
        global: &GlobalScale,
        flags: u32,
    ) -> [f32; 2] {
        let mut errors = [0.0; 2];
        for i in 0..sixteen(flags) {
            errors[0] += self.term::<M>(a.element::<T>(i), global, flags);
            errors[1] += self.term::<M>(b.element::<T>(i), global, flags);
        }
        errors
    }
}

/// The scales of both candidates (step 4), or the plain one (step 3), before their rounding to E4M3.
#[inline(always)]
pub(crate) fn scales<M: Metric>(bmax: f32, global: &GlobalScale) -> [f32; 2] {
    if M::FOUR_OVER_SIX {
        let b = ptx::div_rn(bmax, 6.0) * global.s_enc;
        [b, b * 1.5]
    } else {
        [bmax * (global.s_enc * (1.0 / 6.0)), 0.0]
    }
}

/// The better of two candidates, whose errors `error_of` measures, and its scale (step 9).
///
/// A rolled loop over the candidates: one copy of code that is rarely executed.
#[inline(always)]
pub(crate) fn better<M: Metric>(
    scales: [f32; 2],
    global: &GlobalScale,
    flags: u32,
    mut error_of: impl FnMut(Encoder) -> f32,
) -> (Encoder, f32) {
    let [s6, s4] = e4m3::decode(e4m3::encode(scales[1], scales[0]));
    let mut best = Encoder::new(s6, global.s_dec);
    let mut scale = scales[0];
    if M::FOUR_OVER_SIX {
        let mut candidate = best;
        let mut least = 0.0;
        for second in 0..two(flags) {
            let error = error_of(candidate);
            if second == 0 {
                least = error;
                candidate = Encoder::new(s4, global.s_dec);
            } else if error < least {
                (best, scale) = (candidate, scales[1]);
            }
        }
    }
    (best, scale)
}

/// The blocks of the lanes that ask, by the contract's own sequence. All lanes of the warp call it and
/// share each block: an element and a candidate a lane. `block_of` gives a lane's block; lanes that don't
/// ask get `encoded` back.
#[inline(always)]
#[expect(
    clippy::too_many_arguments,
    reason = "inlined in one place, where all of them are at hand"
)]
pub(crate) fn encode_by_warp<T: Input, M: Metric, R: Rounding, X: Transform, B: Block>(
    asks: bool,
    lane: u32,
    block_of: impl Fn(u32) -> Placed<B>,
    rounding: R,
    transform: X,
    global: &GlobalScale,
    flags: u32,
    mut encoded: Encoded,
) -> Encoded {
    let mut asking = warp::ballot(asks);
    while asking != 0 {
        let source = 31 - asking.leading_zeros();
        asking ^= 1 << source;
        let [amax, s_enc, s_dec] =
            [global.amax, global.s_enc, global.s_dec].map(|v| warp::shuffle(v, source));
        let global = GlobalScale { amax, s_enc, s_dec, limit: 0.0 };
        let Placed { block, segment } = block_of(source);
        let x = transform.shared::<T>(block, lane);
        let mut bmax = ptx::max(x.abs(), 0.0);
        for mask in [8, 4, 2, 1] {
            bmax = ptx::max(bmax, warp::shuffle_xor(bmax, mask));
        }
        let scales = scales::<M>(bmax, &global);
        let [s6, s4] = e4m3::decode(e4m3::encode(scales[1], scales[0]));
        // Lanes 0 to 15 have map6, the others map4.
        let candidate = Encoder::new(if lane < 16 { s6 } else { s4 }, s_dec);
        let mut from = 0;
        if M::FOUR_OVER_SIX {
            let term = candidate.term::<M>(x, &global, flags);
            let mut error = 0.0;
            for i in 0..sixteen(flags) as u32 / 4 {
                let first = (lane & 16) + i * 4;
                let terms = [0, 1, 2, 3].map(|i| warp::shuffle(term, first + i));
                error = error + terms[0] + terms[1] + terms[2] + terms[3];
            }
            from = if warp::shuffle(error, 16) < warp::shuffle(error, 0) { 16 } else { 0 };
        }
        let byte = stochastic::byte(rounding.draw_rolled(segment, flags), lane % 16);
        let mut codes = candidate.code::<R>(x, byte) << (lane % 8 * 4);
        for mask in [4, 2, 1] {
            codes |= warp::shuffle_xor(f32::from_bits(codes), mask).to_bits();
        }
        let word = |lane| warp::shuffle(f32::from_bits(codes), lane).to_bits();
        let codes = [word(from), word(from + 8)];
        if lane == source {
            encoded = Encoded { codes, scale: if from == 0 { scales[0] } else { scales[1] } };
        }
    }
    encoded
}
