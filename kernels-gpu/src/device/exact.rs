//! The exact path: the contract's own sequence for one block, element by element from memory.
//!
//! Taken by blocks that are not regular: saturated or zero scales, NaN, ∞, tensors of extreme
//! magnitude. It holds few registers and loops, so that the hot loop need not pay for it.

use super::block::Encoded;
use super::e4m3;
use super::input::Input;
use super::metric::Metric;
use super::ptx;
use crate::abi::{E4M3_MAX_256, GlobalScale, STRICT};

/// 16, which neither compiler can know: no flag has bit 31. Loops of this many steps stay loops, and
/// the exact path stays small.
#[inline(always)]
pub(crate) fn sixteen(flags: u32) -> u64 {
    16 + u64::from(flags >> 31)
}

/// 2, likewise.
#[inline(always)]
pub(crate) fn two(flags: u32) -> u32 {
    2 + (flags >> 31)
}

/// A block in memory: 16 elements `stride` bytes apart.
#[derive(Clone, Copy)]
pub(crate) struct Strided {
    pub(crate) at: *const u8,
    pub(crate) stride: u64,
}

impl Strided {
    #[inline(always)]
    pub(crate) fn element<T: Input>(self, i: u64) -> f32 {
        // SAFETY: whoever made it promised 16 readable elements, and i < 16.
        unsafe { T::element(self.at.add((i * self.stride) as usize)) }
    }

    /// Largest magnitude, NaN ignored.
    #[inline(always)]
    pub(crate) fn amax<T: Input>(self, flags: u32) -> f32 {
        let mut amax = 0.0;
        for i in 0..sixteen(flags) {
            amax = ptx::max(amax, self.element::<T>(i).abs());
        }
        amax
    }
}

/// One candidate: its scale and the factor that encodes with it.
#[derive(Clone, Copy)]
pub(crate) struct Candidate {
    pub(crate) scale: f32,
    encode: f32,
}

impl Candidate {
    #[inline(always)]
    pub(crate) fn new(scale: f32, s_dec: f32) -> Self {
        Self { scale, encode: ptx::min(ptx::rcp_rn(scale * s_dec), f32::MAX) }
    }

    /// `|E2M1(x·encode)|`: saturating, 6 for NaN. The rounding is that of `isa::grid`.
    #[inline(always)]
    fn magnitude(self, x: f32) -> f32 {
        let y = ptx::min((x * self.encode).abs(), 6.0);
        let m = ptx::max(y, 1.0 + 1.0 / 2_097_152.0);
        ptx::fma_rn(m, 4_194_304.0, ptx::fma_rn(m, -4_194_304.0, y))
    }

    /// The code of `x`.
    #[inline(always)]
    fn code(self, x: f32) -> u32 {
        let code = ptx::cvt_rn_f16x2_f32(0.0, self.magnitude(x) * (1.0 / 16384.0)) >> 9;
        // NaN is code 7: its sign is dropped.
        if x.is_nan() { 7 } else { code | (x.to_bits() >> 31) << 3 }
    }

    /// The 16 codes of a block.
    #[inline(always)]
    pub(crate) fn codes<T: Input>(self, block: Strided, flags: u32) -> [u32; 2] {
        let mut codes = 0u64;
        for i in 0..sixteen(flags) {
            codes |= u64::from(self.code(block.element::<T>(i))) << (4 * i as u32);
        }
        [codes as u32, (codes >> 32) as u32]
    }

    /// The contract's term of one element, added to a sum.
    #[inline(always)]
    fn add<T: Input, M: Metric>(self, sum: f32, x: f32, global: &GlobalScale, flags: u32) -> f32 {
        let q = self.magnitude(x);
        let q = if x < 0.0 { -q } else { q };
        let d = if flags & STRICT != 0 {
            let six_a = if flags & E4M3_MAX_256 != 0 { 6.0 * 256.0 } else { 6.0 * 448.0 };
            ptx::div_rn(q * self.scale * global.amax, six_a) - x
        } else {
            q * self.scale - x * global.s_enc
        };
        M::add_exact(sum, d)
    }

    /// The contract's error of 16 elements, in element order.
    #[inline(always)]
    fn error<T: Input, M: Metric>(self, block: Strided, global: &GlobalScale, flags: u32) -> f32 {
        let mut error = 0.0;
        for i in 0..sixteen(flags) {
            error = self.add::<T, M>(error, block.element::<T>(i), global, flags);
        }
        error
    }

    /// The same for two blocks at a time.
    #[inline(always)]
    pub(crate) fn errors<T: Input, M: Metric>(
        self,
        [a, b]: [Strided; 2],
        global: &GlobalScale,
        flags: u32,
    ) -> [f32; 2] {
        let mut errors = [0.0; 2];
        for i in 0..sixteen(flags) {
            errors[0] = self.add::<T, M>(errors[0], a.element::<T>(i), global, flags);
            errors[1] = self.add::<T, M>(errors[1], b.element::<T>(i), global, flags);
        }
        errors
    }
}

/// The scale bytes of both candidates (`s4 << 8 | s6`), or the plain one.
#[inline(always)]
pub(crate) fn scale_bytes<M: Metric>(bmax: f32, global: &GlobalScale) -> u32 {
    if M::FOUR_OVER_SIX {
        let b = ptx::div_rn(bmax, 6.0) * global.s_enc;
        e4m3::encode(b * 1.5, b)
    } else {
        e4m3::encode(0.0, bmax * (global.s_enc * (1.0 / 6.0)))
    }
}

/// The better of two candidates, whose errors `error_of` measures, and its scale byte.
///
/// A loop and not two calls: one copy of the code, which is rarely run.
#[inline(always)]
pub(crate) fn better<M: Metric>(
    bytes: u32,
    global: &GlobalScale,
    flags: u32,
    mut error_of: impl FnMut(Candidate) -> f32,
) -> (Candidate, u32) {
    let [s6, s4] = e4m3::decode(bytes);
    let mut best = Candidate::new(s6, global.s_dec);
    let mut scale = bytes;
    if M::FOUR_OVER_SIX {
        let mut candidate = best;
        let mut least = 0.0;
        for second in 0..two(flags) {
            let error = error_of(candidate);
            if second == 0 {
                least = error;
                candidate = Candidate::new(s4, global.s_dec);
            } else if error < least {
                (best, scale) = (candidate, bytes >> 8);
            }
        }
    }
    (best, scale)
}

/// One block by the contract's own sequence.
#[inline(always)]
pub(crate) fn encode<T: Input, M: Metric>(
    block: Strided,
    global: &GlobalScale,
    flags: u32,
) -> Encoded {
    let bytes = scale_bytes::<M>(block.amax::<T>(flags), global);
    let (best, scale) = better::<M>(bytes, global, flags, |candidate| {
        candidate.error::<T, M>(block, global, flags)
    });
    Encoded { codes: best.codes::<T>(block, flags), scale }
}
