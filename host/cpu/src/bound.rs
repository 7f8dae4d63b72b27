//! Trick 3 of the hot loop: how far apart two estimated errors must be to decide.
//!
//! The proof is `docs/certified-decision.md`, whose lemmas 1 to 10 are the GPU kernels' too; here are the
//! CPU path's constants, its column of the table there. `u = 2^-24`, `b` is step 4's, `T` the sum of
//! both estimates, and `ROWS` blocks of 16 were added up.
//!
//! - Lemma 1 to 4: `y`, the estimate's term and the contract's. `q` is the same in all: it is exact.
//! - Lemma 5 and 6, MAE: terms are added 8 deep, in two sums (15 is allowed), rows of a tile 5, then the
//!   product with `s` and the difference: `m = 22`. Two candidates, `X <= 6b`: `1352·ROWS·b + 46.1·T` in
//!   units of `u`.
//! - Lemma 7 and 8a, MSE: `m = 24`. `478·b·sqrt(T)`, four times that for a tile, and `54.1·T`; the
//!   second order is `0.0035·ROWS·b^2`.
//! - Lemma 10, the range: `amax` in `[2^-28, 2^28]`, `0 < s` and `y < 7`.
//!
//! The constants below are rounded up, which covers the roundings of the bound itself.

use crate::simd::vector::Vector;

/// `u`, half a unit in the last place of 1.
const UNIT: f32 = 1.0 / 16_777_216.0;

/// Whether the bounds are proven with the global amax `amax`.
pub(crate) fn certifiable(amax: f32) -> bool {
    let limit = 268_435_456.0; // 2^28
    (1.0 / limit..=limit).contains(&amax)
}

/// The bound for sums of magnitudes; `base` is `b`, `total` the sum of the two estimates, and
/// `ROWS` blocks were added up.
///
/// # Safety
/// As [`Vector`].
#[inline(always)]
pub(crate) unsafe fn absolute<V: Vector, const ROWS: usize>(base: V::F, total: V::F) -> V::F {
    // SAFETY: the caller's.
    unsafe {
        let slope = V::splat(1400.0 * ROWS as f32 * UNIT);
        V::mul_add(V::splat(60.0 * UNIT), total, V::mul(slope, base))
    }
}

/// The bound for sums of squares, as [`absolute`].
///
/// # Safety
/// As [`Vector`].
#[inline(always)]
pub(crate) unsafe fn squared<V: Vector, const ROWS: usize>(base: V::F, total: V::F) -> V::F {
    // SAFETY: the caller's.
    unsafe {
        let root = if ROWS == 1 { 500.0 } else { 2000.0 };
        let first = V::mul(V::splat(root * UNIT), V::sqrt(total));
        let first = V::add(first, V::mul(V::splat(UNIT / 8.0), base));
        V::mul_add(V::splat(60.0 * UNIT), total, V::mul(first, base))
    }
}
