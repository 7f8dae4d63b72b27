//! E2M1 without FP4 hardware: two FMAs round to its grid, and FP16's own bits are the code.
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
//! `m·2²²` is a multiple of the step, an even one wherever y is a tie, so ties go to even codes.
//! `m·2²² − y` stays in the binade of `m·2²²` but for `m` within two units of a power of two, where
//! the finer step below it rounds to the same `q` because y is that close to a grid point. The
//! floor is not 1 itself because then `2²² − y` would drop into the finer binade for all y < 1.
//! Checked for every f32 in [0, 7) by `tests/tests/grid.rs`.
//!
//! **Codes.** With everything scaled by 2⁻¹⁴ (exact), an E2M1 value is an FP16 whose bits 9–11 are
//! its code and whose other bits are zero (0.5 is a subnormal, as in E2M1). One conversion packs
//! elements k and k+4, whose nibbles are 16 bits apart in the output, so that two multiply-adds
//! and two shifts place eight codes.
//!
//! **Signs.** All of this is on magnitudes; E2M1 keeps the sign of a zero, so signs are taken from
//! the input's own bits at the end.

use super::super::metric::Metric;
use super::super::ptx;
use super::Isa;

pub(crate) struct Grid;

const GRID: f32 = 1.0 / 16384.0;
const FLOOR: f32 = (1.0 + 1.0 / 2_097_152.0) * GRID;
const SHIFT: f32 = 4_194_304.0;

/// `E2M1(y)` as a value, for `0 ≤ y < 7·GRID`.
#[inline(always)]
fn round(y: f32) -> f32 {
    let m = ptx::max(y, FLOOR);
    let s = ptx::fma_rn(m, -SHIFT, y);
    ptx::fma_rn(m, SHIFT, s)
}

/// Eight nibbles from four words of two codes each.
#[inline(always)]
fn place(p: &[u32; 8], first: usize, signs: u32) -> u32 {
    let a = p[first] + p[first + 1] * 16;
    let b = p[first + 2] + p[first + 3] * 16;
    (a >> 9) | (b >> 1) | signs
}

impl Isa for Grid {
    const GRID: f32 = GRID;
    /// Word k holds codes k and k+4, word 4+k codes 8+k and 12+k, each as an FP16.
    type Codes = [u32; 8];

    #[inline(always)]
    fn candidate<M: Metric>(x: &[f32; 16], encode: f32) -> ([u32; 8], f32) {
        let mut q = [0.0; 16];
        let mut error = [0.0; 2];
        macro_rules! element {
            ($($i:literal)*) => {$(
                let y = ptx::mul_abs_rn(x[$i], encode);
                q[$i] = round(y);
                error[$i % 2] = M::add(error[$i % 2], q[$i] - y);
            )*};
        }
        element!(0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15);
        macro_rules! pack {
            ($($i:literal)*) => { [$(ptx::cvt_rn_f16x2_f32(q[$i + 4], q[$i])),*] };
        }
        (pack!(0 1 2 3 8 9 10 11), error[0] + error[1])
    }

    #[inline(always)]
    fn select(condition: bool, a: [u32; 8], b: [u32; 8]) -> [u32; 8] {
        macro_rules! each {
            ($($i:literal)*) => { [$(if condition { a[$i] } else { b[$i] }),*] };
        }
        each!(0 1 2 3 4 5 6 7)
    }

    #[inline(always)]
    fn same_values(a: [u32; 8], scale_a: f32, b: [u32; 8], scale_b: f32) -> bool {
        // q·s has six significant bits and is a multiple of 2⁻¹⁰, so with the factor 2⁻¹⁴ it is
        // an FP16 exactly: the products never round.
        let scale_a = ptx::cvt_rn_f16x2_f32(scale_a, scale_a);
        let scale_b = ptx::cvt_rn_f16x2_f32(scale_b, scale_b);
        let mut difference = 0;
        macro_rules! each {
            ($($i:literal)*) => {$(
                difference |= ptx::mul_rn_f16x2(a[$i], scale_a) ^ ptx::mul_rn_f16x2(b[$i], scale_b);
            )*};
        }
        each!(0 1 2 3 4 5 6 7);
        difference == 0
    }

    #[inline(always)]
    fn nibbles(codes: [u32; 8], signs: [u32; 2]) -> [u32; 2] {
        [place(&codes, 0, signs[0]), place(&codes, 4, signs[1])]
    }
}
