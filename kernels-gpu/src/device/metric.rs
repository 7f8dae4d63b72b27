//! How the error of a candidate is summed, and how far a cheap sum may be trusted.

use super::packed::{self, F32x2};
use super::ptx;

/// MAE, MSE, or nothing to compare.
pub(crate) trait Metric {
    /// Whether there are two candidates at all.
    const FOUR_OVER_SIX: bool = true;
    /// `sum + term(d)`, any rounding: for the certified comparison.
    fn add(sum: f32, d: f32) -> f32;
    /// `term(d)` of a pair, any rounding.
    fn pair(d: [f32; 2]) -> F32x2;
    /// `sum + term(d)` for two sums at once, any rounding.
    fn add_pair(sum: F32x2, d: [f32; 2]) -> F32x2;
    /// `fl(sum + fl(term(d)))`: the contract's.
    fn add_exact(sum: f32, d: f32) -> f32;
    /// The factor that takes an error of the scaled domain to the domain of the block scales.
    fn weight(scale: f32) -> f32;
    /// The same for a pair.
    fn weights(scales: F32x2) -> F32x2;
    /// Errors that differ by more than `OF_SCALE·weight(s6) + OF_ERROR·(err4 + err6)` compare alike
    /// however they are computed, see [`super::block`]. For a row of 16.
    const OF_SCALE: f32;
    /// See `OF_SCALE`.
    const OF_ERROR: f32;
}

/// Sum of absolute differences.
pub(crate) struct Mae;
/// Sum of squared differences.
pub(crate) struct Mse;
/// Plain NVFP4: one candidate, no error.
pub(crate) struct Plain;

/// The unit of rounding, 2⁻²⁴.
const U: f32 = 1.0 / 16_777_216.0;

impl Metric for Mae {
    const OF_SCALE: f32 = 1500.0 * U;
    const OF_ERROR: f32 = 48.0 * U;

    #[inline(always)]
    fn add(sum: f32, d: f32) -> f32 {
        sum + d.abs()
    }

    #[inline(always)]
    fn pair(d: [f32; 2]) -> F32x2 {
        F32x2::new(d.map(ptx::abs))
    }

    #[inline(always)]
    fn add_pair(sum: F32x2, d: [f32; 2]) -> F32x2 {
        packed::add_rn_f32x2(sum, Self::pair(d))
    }

    #[inline(always)]
    fn add_exact(sum: f32, d: f32) -> f32 {
        sum + d.abs()
    }

    #[inline(always)]
    fn weight(scale: f32) -> f32 {
        scale
    }

    #[inline(always)]
    fn weights(scales: F32x2) -> F32x2 {
        scales
    }
}

impl Metric for Mse {
    const OF_SCALE: f32 = 640.0 * U;
    const OF_ERROR: f32 = 176.0 * U;

    #[inline(always)]
    fn add(sum: f32, d: f32) -> f32 {
        ptx::fma_rn(d, d, sum)
    }

    #[inline(always)]
    fn pair(d: [f32; 2]) -> F32x2 {
        let d = F32x2::new(d);
        packed::mul_rn_f32x2(d, d)
    }

    #[inline(always)]
    fn add_pair(sum: F32x2, d: [f32; 2]) -> F32x2 {
        let d = F32x2::new(d);
        packed::fma_rn_f32x2(d, d, sum)
    }

    #[inline(always)]
    fn add_exact(sum: f32, d: f32) -> f32 {
        sum + d * d
    }

    #[inline(always)]
    fn weight(scale: f32) -> f32 {
        scale * scale
    }

    #[inline(always)]
    fn weights(scales: F32x2) -> F32x2 {
        packed::mul_rn_f32x2(scales, scales)
    }
}

impl Metric for Plain {
    const FOUR_OVER_SIX: bool = false;
    const OF_SCALE: f32 = 0.0;
    const OF_ERROR: f32 = 0.0;

    #[inline(always)]
    fn add(_: f32, _: f32) -> f32 {
        0.0
    }

    #[inline(always)]
    fn pair(d: [f32; 2]) -> F32x2 {
        F32x2::new(d)
    }

    #[inline(always)]
    fn add_pair(sum: F32x2, _: [f32; 2]) -> F32x2 {
        sum
    }

    #[inline(always)]
    fn add_exact(_: f32, _: f32) -> f32 {
        0.0
    }

    #[inline(always)]
    fn weight(_: f32) -> f32 {
        0.0
    }

    #[inline(always)]
    fn weights(scales: F32x2) -> F32x2 {
        scales
    }
}
