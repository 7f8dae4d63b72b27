//! Trick 3 of the hot loop: how far apart two estimated errors must be to decide.
//!
//! Write `u = 2^-24`, `D_i = q_i·s − |x_i|·S_enc` in exact arithmetic, `E = Σ|D_i|` or `ΣD_i²`, and
//! `X = 6b` (times `1 + 2u`), which is at least every `|x_i|·S_enc`. Both the contract's error of a
//! candidate (strict ones times `S_enc`, or its square, which does not change their order) and the
//! kernel's estimate are `E` with a few roundings. `q_i` is the same in all three: it is exact.
//!
//! - *Estimate.* `y` is `|x|·S_enc/s` with four roundings (`S_dec`, `s·S_dec`, its reciprocal, the
//!   product), so `s·(q − y)` is `D` to within `4.01u·X`; the difference, the sum of `n = 16·ROWS`
//!   terms (in any order, 15 additions deep and 4 in the tree) and the product with `s` add at
//!   most `22u` relative.
//! - *Fast.* `fl(x·S_enc)` is off by `u·X`; the difference and the sum add `21u` relative.
//! - *Strict.* Two roundings in the value and one in `S_enc = fl(6A/amax)`: `v·S_enc` is `q·s` to
//!   within `3.01u·q·s <= 3.01u·(X + |D|)`; the difference and the sum add `21u` relative.
//!
//! MAE: each candidate differs from the contract's by at most `n·(4.01 + 3.01)u·X + 46u·E`. Two
//! candidates: `n·14.04u·6b + 46u·(E4 + E6) <= u·(1400·ROWS·b + 60·T)`, `T` the estimates' sum.
//!
//! MSE: squares turn an absolute error `e` into `2|D|e + e²`, and double the relative part of the
//! difference, plus one rounding for the square: `2·7.02u·X·Σ|D_i| + 52u·E` and second order terms.
//! `Σ|D_i| <= sqrt(n·E)`, and `sqrt(E4) + sqrt(E6) <= sqrt(2T)`: the two candidates together give at
//! most `14.04u·6b·sqrt(2n)·sqrt(T) + 60u·T`, that is `477·u·b·sqrt(T)` for a row and four times that
//! for a tile. The second order, `n·(7.02u·X)²` for each candidate, is below `2^-8·ROWS·u·b²`.
//!
//! Underflow and overflow: with `amax` in `[2^-28, 2^28]`, `0 < s` and `y < 7` (so `b < 523`) every
//! quantity is in `[2^-60, 2^60]` but tiny `x` and `d`; what their products lose is below `2^-149·2^80·n`, which
//! the term with `b >= 2^-10` covers. The constants below are rounded up, so that the roundings
//! of the bound itself are covered too.

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
