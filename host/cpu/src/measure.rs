//! Metrics as types: how the errors of a candidate's elements add up.

use crate::bound;
use crate::simd::vector::Vector;

/// What the hot loop does with each element's error.
///
/// # Safety
/// The functions' callers: as [`Vector`].
pub(crate) trait Estimate: Copy + Send + Sync {
    /// `sum` with the share of an element whose error is `d`; a fused operation will do.
    unsafe fn add<V: Vector>(sum: V::F, d: V::F) -> V::F;
}

/// No errors are wanted.
#[derive(Clone, Copy)]
pub(crate) struct NoErrors;

impl Estimate for NoErrors {
    #[inline(always)]
    unsafe fn add<V: Vector>(sum: V::F, _d: V::F) -> V::F {
        sum
    }
}

/// A metric.
///
/// # Safety
/// The functions' callers: as [`Vector`].
pub(crate) trait Measure: Estimate {
    /// The share of an element whose error is `d`, rounded as the contract says.
    unsafe fn share<V: Vector>(d: V::F) -> V::F;

    /// [`Measure::share`] of one element.
    fn share_of(d: f32) -> f32;

    /// An estimated error in the domain of `x·S_enc` from one in that of `y = x·S_enc/s`.
    unsafe fn scaled<V: Vector>(error: V::F, s: V::F) -> V::F;

    /// How far apart two estimates decide; see [`bound`].
    unsafe fn bound<V: Vector, const ROWS: usize>(base: V::F, total: V::F) -> V::F;
}

/// MAE: the sum of magnitudes.
#[derive(Clone, Copy)]
pub(crate) struct Absolute;

impl Estimate for Absolute {
    #[inline(always)]
    unsafe fn add<V: Vector>(sum: V::F, d: V::F) -> V::F {
        // SAFETY: the caller's.
        unsafe { V::add(sum, V::abs(d)) }
    }
}

impl Measure for Absolute {
    #[inline(always)]
    unsafe fn share<V: Vector>(d: V::F) -> V::F {
        // SAFETY: the caller's.
        unsafe { V::abs(d) }
    }

    fn share_of(d: f32) -> f32 {
        d.abs()
    }

    #[inline(always)]
    unsafe fn scaled<V: Vector>(error: V::F, s: V::F) -> V::F {
        // SAFETY: the caller's.
        unsafe { V::mul(error, s) }
    }

    #[inline(always)]
    unsafe fn bound<V: Vector, const ROWS: usize>(base: V::F, total: V::F) -> V::F {
        // SAFETY: the caller's.
        unsafe { bound::absolute::<V, ROWS>(base, total) }
    }
}

/// MSE: the sum of squares.
#[derive(Clone, Copy)]
pub(crate) struct Squared;

impl Estimate for Squared {
    #[inline(always)]
    unsafe fn add<V: Vector>(sum: V::F, d: V::F) -> V::F {
        // SAFETY: the caller's.
        unsafe { V::mul_add(d, d, sum) }
    }
}

impl Measure for Squared {
    #[inline(always)]
    unsafe fn share<V: Vector>(d: V::F) -> V::F {
        // SAFETY: the caller's.
        unsafe { V::mul(d, d) }
    }

    fn share_of(d: f32) -> f32 {
        d * d
    }

    #[inline(always)]
    unsafe fn scaled<V: Vector>(error: V::F, s: V::F) -> V::F {
        // SAFETY: the caller's.
        unsafe { V::mul(V::mul(error, s), s) }
    }

    #[inline(always)]
    unsafe fn bound<V: Vector, const ROWS: usize>(base: V::F, total: V::F) -> V::F {
        // SAFETY: the caller's.
        unsafe { bound::squared::<V, ROWS>(base, total) }
    }
}
