//! E2M1 without FP4 hardware: two FMAs round to its grid, and a wider format's bits are the code.
//!
//! **Rounding.** Below 2 the grid's step is 1/2, up to 4 it is 1, up to 6 it is 2: with
//! `m = max(y, 1)` the step is `2^(⌊log₂ m⌋ − 1)`, the unit in the last place of numbers just
//! under `m·2²²` rounded up to the next power of two. So for `0 ≤ y < 7`
//!
//! ```text
//! m = max(y, 1 + 2⁻²¹)
//! s = fma(m, −2²², y)     rounds y to a multiple of the step: s = −(m·2²² − E2M1(y))
//! q = fma(m,  2²², s)     exact: q = E2M1(y)
//! ```
//!
//! Ties go to even codes: `m·2²²` is an even multiple of the step wherever y is a midpoint.
//! `m·2²² − y` stays in the binade of `m·2²²`, except for `m` within two units of a power of two: there
//! y is so close to an E2M1 value that the finer step rounds to it as well. The floor is above 1, or
//! `2²² − y` would be in the finer binade for all y < 1.
//! `tests/tests/hot_loop.rs` tries every such y, `tests/tests/roundings.rs` the kernels themselves.
//!
//! **Codes.** With everything scaled by 2⁻¹⁴ (exact), an E2M1 value is an E5M2 whose bits 1–3 are its
//! code and whose other bits are zero (0.5 is a subnormal, as in E2M1). Two conversions pack four
//! elements of like parity, and one multiply-add puts the odd elements' codes above the even ones'.
//! Without `fp8_cvt`: conversions to FP16, of which E5M2 is the upper byte, and byte permutes. Nibbles
//! are left doubled until one candidate is chosen. Packing both candidates before the choice takes 12
//! registers fewer than packing after it.
//!
//! **Signs.** Arithmetic is on magnitudes. Signs are the input's own bits, added last, so that zeros keep
//! theirs.

use super::arithmetic::{Candidate, Isa};
use crate::decide::encoded::SIGNS;
use crate::decide::metric::Metric;
use crate::load::input::Input;
use crate::ptx;

pub(crate) struct Grid;

const GRID: f32 = 1.0 / 16384.0;
const FLOOR: f32 = (1.0 + 1.0 / 2_097_152.0) * GRID;
const SHIFT: f32 = 4_194_304.0;

/// Four E2M1 values to the bytes of a word, the last one lowest, each code doubled.
#[cfg(fp8_cvt)]
#[inline(always)]
fn pack(q: [f32; 4]) -> u32 {
    ptx::cvt_rn_satfinite_e5m2x4_f32(q)
}

/// Four E2M1 values to the bytes of a word, the last one lowest, each code doubled.
#[cfg(not(fp8_cvt))]
#[inline(always)]
fn pack([a, b, c, d]: [f32; 4]) -> u32 {
    ptx::prmt::<0x7531>(ptx::cvt_rn_f16x2_f32(c, d), ptx::cvt_rn_f16x2_f32(a, b))
}

/// Eight codes, each nibble doubled, from eight values.
#[inline(always)]
fn place(q: [f32; 8]) -> u32 {
    pack([q[6], q[4], q[2], q[0]]) + pack([q[7], q[5], q[3], q[1]]) * 16
}

impl Grid {
    /// Eight codes, each nibble doubled, from eight values that include `GRID`.
    #[inline(always)]
    pub(crate) fn place(q: [f32; 8]) -> u32 {
        place(q)
    }
}

impl Isa for Grid {
    const GRID: f32 = GRID;
    const IN_HALVES: bool = true;
    const ONES: u32 = 0x2222_2222;
    const SIGNED_CODES: bool = false;

    #[inline(always)]
    fn round(y: f32) -> f32 {
        let m = ptx::max(y, FLOOR);
        let s = ptx::fma_rn(m, -SHIFT, y);
        ptx::fma_rn(m, SHIFT, s)
    }

    #[inline(always)]
    fn amax<T: Input>(raw: T::Raw, _: &[f32; 16]) -> f32 {
        T::amax(raw)
    }

    #[inline(always)]
    fn candidates<M: Metric, const N: usize>(x: &[f32; 16], encode: [f32; N]) -> [Candidate; N] {
        let mut codes = [[0; 2]; N];
        let mut error = [0.0; N];
        // Both candidates of half a block at a time: few registers, and x is widened once.
        macro_rules! half {
            ($half:literal: $($i:literal)*) => {
                for c in 0..N {
                    let mut q = [0.0; 8];
                    $(
                        let y = ptx::mul_abs_rn(x[8 * $half + $i], encode[c]);
                        q[$i] = Self::round(y);
                        error[c] = M::add(error[c], q[$i] - y);
                    )*
                    codes[c][$half] = place(q);
                }
            };
        }
        half!(0: 0 1 2 3 4 5 6 7);
        half!(1: 0 1 2 3 4 5 6 7);
        core::array::from_fn(|c| Candidate { codes: codes[c], error: error[c] })
    }

    #[inline(always)]
    fn nibbles(codes: u32, signs: u32) -> u32 {
        ptx::or_and(codes >> 1, signs, SIGNS)
    }
}
