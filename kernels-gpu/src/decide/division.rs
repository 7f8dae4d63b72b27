//! Quotients that are exactly rounded where hot loops take them, by approximations and FMAs.

use crate::ptx;

/// `RN(1/t)`, for `t` and `1/t` well inside the normal range.
#[inline(always)]
pub(crate) fn reciprocal(t: f32) -> f32 {
    let r = ptx::rcp_approx(t);
    ptx::fma_rn(r, ptx::fma_rn(-t, r, 1.0), r)
}

/// `RN(bmax/6)`, for `bmax ≥ 2⁻¹⁰⁰`.
#[inline(always)]
pub(crate) fn sixth(bmax: f32) -> f32 {
    const SIXTH: f32 = 1.0 / 6.0;
    const REST: f32 = (1.0 / 6.0 - SIXTH as f64) as f32;
    ptx::fma_rn(bmax, SIXTH, bmax * REST)
}
