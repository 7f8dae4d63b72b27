//! The metric: how a candidate's error is summed, and the bound on the rounding of a cheap sum.
//!
//! The proof is `docs/certified-decision.md`, whose lemmas 1 to 10 are the CPU path's too; here are the
//! kernels' constants, their column of the table there. Errors are in units of s6, `X ≤ 6.5·s6`.
//!
//! - Lemmas 5 and 6, MAE: `m = 24` (15 additions, rows of a tile 4, s4/s6 4, the difference). `1465u` a
//!   row, and `48.1u` of both errors, twice that of map6's.
//! - Lemmas 7 and 8b, MSE: `m = 30`. `595u` a row, and `172.7u` of both errors.

use crate::ptx;
use crate::ptx::packed::{self, F32x2};

/// MAE, MSE, or nothing to compare.
pub(crate) trait Metric {
    /// Whether there are two candidates at all.
    const FOUR_OVER_SIX: bool = true;
    /// Whether there are 13, which `decide/search.rs` compares by the launch's own metric.
    const SEARCH: bool = false;
    /// `sum + term(d)`, any rounding: for cheap errors.
    fn add(sum: f32, d: f32) -> f32;
    /// `term(d)` of a pair, any rounding.
    fn pair(d: [f32; 2]) -> F32x2;
    /// `sum + term(d)` for two sums at once, any rounding.
    fn add_pair(sum: F32x2, d: [f32; 2]) -> F32x2;
    /// `fl(term(d))`: the contract's.
    fn term(d: f32) -> f32;
    /// The factor of the error, given that of all differences.
    fn weight(scale: f32) -> f32;
    /// The bound of the certified decision, for a row of 16: errors in units of s6 that differ by more than
    /// `OF_SCALE + OF_ERROR·err6` have the order of the contract's (`docs/certified-decision.md`).
    const OF_SCALE: f32;
    /// See `OF_SCALE`.
    const OF_ERROR: f32;
}

/// Sum of absolute differences.
pub(crate) struct Mae;
/// Sum of squared differences.
pub(crate) struct Mse;
/// Scale search: none of this trait's sums.
pub(crate) struct Search;
/// Plain NVFP4: one candidate, no error.
pub(crate) struct Plain;

/// The unit of rounding, 2⁻²⁴.
const U: f32 = 1.0 / 16_777_216.0;

impl Metric for Mae {
    const OF_SCALE: f32 = 1500.0 * U;
    const OF_ERROR: f32 = 104.0 * U;

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
    fn term(d: f32) -> f32 {
        d.abs()
    }

    #[inline(always)]
    fn weight(scale: f32) -> f32 {
        scale
    }
}

impl Metric for Mse {
    const OF_SCALE: f32 = 640.0 * U;
    const OF_ERROR: f32 = 368.0 * U;

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
    fn term(d: f32) -> f32 {
        d * d
    }

    #[inline(always)]
    fn weight(scale: f32) -> f32 {
        scale * scale
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
    fn term(_: f32) -> f32 {
        0.0
    }

    #[inline(always)]
    fn weight(_: f32) -> f32 {
        0.0
    }
}

impl Metric for Search {
    const SEARCH: bool = true;
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
    fn term(_: f32) -> f32 {
        0.0
    }

    #[inline(always)]
    fn weight(_: f32) -> f32 {
        0.0
    }
}
