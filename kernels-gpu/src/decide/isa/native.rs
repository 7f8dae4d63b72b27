//! E2M1 by conversion instructions, and FP32 arithmetic on pairs.
//!
//! 1. **Pairs are the two candidates of an element**: one `mul.rn.f32x2` scales it by both factors, one
//!    `add.rn.f32x2` or `fma.rn.f32x2` adds to both errors. The conversions take any registers, so no
//!    moves are needed to form pairs.
//! 2. **Packing is part of the conversion.** The machine's conversion to E2M1 shifts a word up and puts two
//!    codes below: four of them make a word of eight codes, and the conversion back selects a byte. The
//!    assembler does this only where the word is the codes' one use. So the conversion back and the choice read
//!    `word ^ (e & 2³¹)`: the same bits, as the factor e has no sign, but opaque to the assembler. (An irregular
//!    block's may be a NaN with one: nobody takes its codes.)
//! 3. **Differences** `q − y` have an FP16 operand (`sub.rn.f32.f16`): one rounding, no conversion.
//! 4. **bmax** is the maximum of widened elements: the assembler fuses two maxima into one instruction of
//!    three operands, with magnitudes for free.
//!
//! `GRID` is 1. Roundings are those of `docs/certified-decision.md`: y and d once each, 16 terms a sum (15
//! additions).

use super::arithmetic::{Candidate, Isa};
use crate::decide::metric::Metric;
use crate::load::input::Input;
use crate::ptx;
use crate::ptx::packed::{self, F32x2};

pub(crate) struct Native;

/// Eight scaled elements to their codes.
#[cfg(fp4_cvt)]
#[inline(always)]
pub(crate) fn codes(y: [f32; 8]) -> u32 {
    let codes: u32;
    // SAFETY: register-to-register, no side effects.
    unsafe {
        core::arch::asm!(
            "{{ .reg .b8 p, q, r, s;",
            "cvt.rn.satfinite.e2m1x2.f32 p, {y1}, {y0};",
            "cvt.rn.satfinite.e2m1x2.f32 q, {y3}, {y2};",
            "cvt.rn.satfinite.e2m1x2.f32 r, {y5}, {y4};",
            "cvt.rn.satfinite.e2m1x2.f32 s, {y7}, {y6};",
            "mov.b32 {codes}, {{p, q, r, s}}; }}",
            y0 = in(reg32) y[0], y1 = in(reg32) y[1], y2 = in(reg32) y[2], y3 = in(reg32) y[3],
            y4 = in(reg32) y[4], y5 = in(reg32) y[5], y6 = in(reg32) y[6], y7 = in(reg32) y[7],
            codes = lateout(reg32) codes, options(pure, nomem, nostack, preserves_flags)
        );
    }
    codes
}

/// The same codes, opaque to the assembler. `positive` is any number without a sign.
#[cfg(fp4_cvt)]
#[inline(always)]
pub(crate) fn hidden(codes: u32, positive: f32) -> u32 {
    let d: u32;
    // SAFETY: register-to-register, no side effects.
    unsafe {
        core::arch::asm!("lop3.b32 {d}, {codes}, {positive}, 0x80000000, 0x78;", d = lateout(reg32) d,
             codes = in(reg32) codes, positive = in(reg32) positive,
             options(pure, nomem, nostack, preserves_flags));
    }
    d
}

/// The values of eight [`hidden`] codes, two FP16 numbers a word.
#[cfg(fp4_cvt)]
#[inline(always)]
pub(crate) fn values(codes: u32) -> [u32; 4] {
    let (a, b, c, d): (u32, u32, u32, u32);
    // SAFETY: register-to-register, no side effects.
    unsafe {
        core::arch::asm!(
            "{{ .reg .b8 p, q, r, s; mov.b32 {{p, q, r, s}}, {codes};",
            "cvt.rn.f16x2.e2m1x2 {a}, p;",
            "cvt.rn.f16x2.e2m1x2 {b}, q;",
            "cvt.rn.f16x2.e2m1x2 {c}, r;",
            "cvt.rn.f16x2.e2m1x2 {d}, s; }}",
            codes = in(reg32) codes,
            a = out(reg32) a, b = out(reg32) b, c = out(reg32) c, d = out(reg32) d,
            options(pure, nomem, nostack, preserves_flags)
        );
    }
    [a, b, c, d]
}

/// Eight scaled elements to their codes, emulated: to measure these kernels on Hopper.
#[cfg(not(fp4_cvt))]
#[inline(always)]
pub(crate) fn codes(y: [f32; 8]) -> u32 {
    let mut codes = 0;
    macro_rules! each {
        ($($i:literal)*) => {$(
            // Times 2⁻¹⁴ an E2M1 value is an FP16 whose bits 9-11 and 15 are its code.
            let q = Native::round(ptx::min(y[$i].abs(), 6.0)) * (1.0 / 16384.0);
            let half = ptx::cvt_rn_f16x2_f32(0.0, q) >> 9 | y[$i].to_bits() >> 31 << 3;
            codes |= half << (4 * $i);
        )*};
    }
    each!(0 1 2 3 4 5 6 7);
    codes
}

/// There is nothing to hide from.
#[cfg(not(fp4_cvt))]
#[inline(always)]
pub(crate) fn hidden(codes: u32, _: f32) -> u32 {
    codes
}

/// The values of eight codes, emulated.
#[cfg(not(fp4_cvt))]
#[inline(always)]
pub(crate) fn values(codes: u32) -> [u32; 4] {
    [0, 8, 16, 24].map(|shift| {
        let byte = codes >> shift;
        let w = (byte & 7) << 9 | (byte & 0x70) << 21 | (byte & 8) << 12 | (byte & 0x80) << 24;
        ptx::mul_rn_f16x2(w, 0x7400_7400)
    })
}

/// One candidate's codes.
#[inline(always)]
pub(crate) fn encode(x: &[f32; 16], encode: f32) -> [u32; 2] {
    macro_rules! half {
        ($($i:literal)*) => {{
            let encode = F32x2::new([encode; 2]);
            let y = [$(packed::mul_rn_f32x2(F32x2::new([x[$i], x[$i + 1]]), encode).split()),*];
            codes([y[0][0], y[0][1], y[1][0], y[1][1], y[2][0], y[2][1], y[3][0], y[3][1]])
        }};
    }
    [half!(0 2 4 6), half!(8 10 12 14)]
}

/// Both candidates' codes and errors.
#[inline(always)]
fn compare<M: Metric>(x: &[f32; 16], encode: [f32; 2]) -> [Candidate; 2] {
    let mut words = [[0; 2]; 2];
    let mut error = F32x2::new([0.0; 2]);
    let factors = F32x2::new(encode);
    macro_rules! half {
        ($half:literal: $($i:literal)*) => {
            let y = [$(packed::mul_rn_f32x2(F32x2::new([x[8 * $half + $i]; 2]), factors).split()),*];
            let mut q = [[0; 4]; 2];
            for c in 0..2 {
                words[c][$half] = hidden(codes([$(y[$i][c]),*]), encode[c]);
            }
            for c in 0..2 {
                q[c] = values(words[c][$half]);
            }
            $(
                let six = ptx::sub_rn_f32_f16::<{ $i % 2 }>(q[0][$i / 2], y[$i][0]);
                let four = ptx::sub_rn_f32_f16::<{ $i % 2 }>(q[1][$i / 2], y[$i][1]);
                error = if 8 * $half + $i == 0 {
                    M::pair([six, four])
                } else {
                    M::add_pair(error, [six, four])
                };
            )*
        };
    }
    half!(0: 0 1 2 3 4 5 6 7);
    half!(1: 0 1 2 3 4 5 6 7);
    let error = error.split();
    core::array::from_fn(|c| Candidate { codes: words[c], error: error[c] })
}

impl Isa for Native {
    const GRID: f32 = 1.0;
    const IN_HALVES: bool = false;
    const ONES: u32 = 0x1111_1111;
    const SIGNED_CODES: bool = true;

    #[inline(always)]
    fn round(y: f32) -> f32 {
        // The arithmetic of `isa::grid`: rare paths use it element by element.
        let m = ptx::max(y, 1.0 + 1.0 / 2_097_152.0);
        ptx::fma_rn(m, 4_194_304.0, ptx::fma_rn(m, -4_194_304.0, y))
    }

    #[inline(always)]
    fn amax<T: Input>(_: T::Raw, x: &[f32; 16]) -> f32 {
        let x = x.map(ptx::abs);
        let three = |a, b, c| ptx::max_nan(ptx::max_nan(a, b), c);
        let m: [f32; 5] = core::array::from_fn(|i| three(x[3 * i], x[3 * i + 1], x[3 * i + 2]));
        ptx::max_nan(three(m[0], m[1], m[2]), three(m[3], m[4], x[15]))
    }

    #[inline(always)]
    fn candidates<M: Metric, const N: usize>(x: &[f32; 16], factors: [f32; N]) -> [Candidate; N] {
        if M::FOUR_OVER_SIX {
            let both = compare::<M>(x, [factors[0], factors[N - 1]]);
            core::array::from_fn(|c| both[c])
        } else {
            factors.map(|factor| Candidate { codes: encode(x, factor), error: 0.0 })
        }
    }

    #[inline(always)]
    fn nibbles(codes: u32, _: u32) -> u32 {
        codes
    }
}
