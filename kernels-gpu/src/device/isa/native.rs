//! E2M1 by Blackwell's own conversions, both ways, and packed FP32 arithmetic.
//!
//! Pairs of elements go through `mul.rn.f32x2`, `cvt.rn.satfinite.e2m1x2.f32` and back through
//! `cvt.rn.f16x2.e2m1x2`; the difference to an FP32 number takes the FP16 operand as it is
//! (`sub.rn.f32.f16`). Signs ride along. Nothing is scaled: `GRID` is 1.

use super::super::metric::Metric;
use super::super::ptx;
use super::{Candidate, Isa};

pub(crate) struct Native;

/// Eight scaled elements to their codes (one word) and back to values (four words of f16x2).
#[cfg(not(isa = "sm_90_as_blackwell"))]
#[inline(always)]
fn e2m1x8(y: [f32; 8]) -> (u32, [u32; 4]) {
    let (codes, a, b, c, d): (u32, u32, u32, u32, u32);
    // SAFETY: register-to-register, no side effects.
    unsafe {
        core::arch::asm!(
            "{{ .reg .b8 p, q, r, s;",
            "cvt.rn.satfinite.e2m1x2.f32 p, {y1}, {y0};",
            "cvt.rn.satfinite.e2m1x2.f32 q, {y3}, {y2};",
            "cvt.rn.satfinite.e2m1x2.f32 r, {y5}, {y4};",
            "cvt.rn.satfinite.e2m1x2.f32 s, {y7}, {y6};",
            "mov.b32 {codes}, {{p, q, r, s}};",
            "cvt.rn.f16x2.e2m1x2 {a}, p;",
            "cvt.rn.f16x2.e2m1x2 {b}, q;",
            "cvt.rn.f16x2.e2m1x2 {c}, r;",
            "cvt.rn.f16x2.e2m1x2 {d}, s; }}",
            y0 = in(reg32) y[0], y1 = in(reg32) y[1], y2 = in(reg32) y[2], y3 = in(reg32) y[3],
            y4 = in(reg32) y[4], y5 = in(reg32) y[5], y6 = in(reg32) y[6], y7 = in(reg32) y[7],
            codes = out(reg32) codes, a = out(reg32) a, b = out(reg32) b, c = out(reg32) c,
            d = out(reg32) d, options(pure, nomem, nostack, preserves_flags)
        );
    }
    (codes, [a, b, c, d])
}

/// The same without FP4 hardware, to run this file's kernels on Hopper.
#[cfg(isa = "sm_90_as_blackwell")]
#[inline(always)]
fn e2m1x8(y: [f32; 8]) -> (u32, [u32; 4]) {
    #[inline(always)]
    fn value(y: f32) -> f32 {
        let magnitude = ptx::min(y.abs(), 6.0);
        let m = ptx::max(magnitude, 1.0 + 1.0 / 2_097_152.0);
        let q = ptx::fma_rn(m, 4_194_304.0, ptx::fma_rn(m, -4_194_304.0, magnitude));
        f32::from_bits(q.to_bits() | y.to_bits() & 0x8000_0000)
    }
    let q = y.map(value);
    let mut codes = 0;
    macro_rules! each {
        ($($i:literal)*) => {$(
            let half = ptx::cvt_rn_f16x2_f32(0.0, q[$i] * (1.0 / 16384.0));
            codes |= ((half >> 9) & 7 | (half >> 12) & 8) << (4 * $i);
        )*};
    }
    each!(0 1 2 3 4 5 6 7);
    (codes, core::array::from_fn(|i| ptx::cvt_rn_f16x2_f32(q[2 * i + 1], q[2 * i])))
}

impl Isa for Native {
    const GRID: f32 = 1.0;

    #[inline(always)]
    fn round(y: f32) -> f32 {
        // Where few elements need it the arithmetic of `isa::grid` is as good.
        let m = ptx::max(y, 1.0 + 1.0 / 2_097_152.0);
        ptx::fma_rn(m, 4_194_304.0, ptx::fma_rn(m, -4_194_304.0, y))
    }

    #[inline(always)]
    fn candidates<M: Metric, const N: usize>(x: &[f32; 16], encode: [f32; N]) -> [Candidate; N] {
        let mut codes = [[0; 2]; N];
        let mut error = [[0.0; 2]; N];
        macro_rules! half {
            ($half:literal: $($i:literal)*) => {
                for c in 0..N {
                    let y = [$(ptx::mul_rn_f32x2(
                        [x[8 * $half + 2 * $i], x[8 * $half + 2 * $i + 1]],
                        encode[c],
                    )),*];
                    let (word, values) = e2m1x8([
                        y[0][0], y[0][1], y[1][0], y[1][1], y[2][0], y[2][1], y[3][0], y[3][1],
                    ]);
                    codes[c][$half] = word;
                    $(error[c] = M::add_pair(error[c], ptx::sub_rn_f32_f16x2(values[$i], y[$i]));)*
                }
            };
        }
        half!(0: 0 1 2 3);
        half!(1: 0 1 2 3);
        core::array::from_fn(|c| Candidate { codes: codes[c], error: error[c][0] + error[c][1] })
    }

    #[inline(always)]
    fn same_values(a: [u32; 2], scale_a: f32, b: [u32; 2], scale_b: f32) -> bool {
        // q·s has six significant bits and lies between 2⁻¹⁰ and 2688: an FP16 exactly.
        let scale_a = ptx::cvt_rn_f16x2_f32(scale_a, scale_a);
        let scale_b = ptx::cvt_rn_f16x2_f32(scale_b, scale_b);
        let mut difference = 0;
        macro_rules! each {
            ($($i:literal)*) => {$(
                let value_a = ptx::mul_rn_f16x2(value_pair(a[$i / 4] >> ($i % 4 * 8)), scale_a);
                let value_b = ptx::mul_rn_f16x2(value_pair(b[$i / 4] >> ($i % 4 * 8)), scale_b);
                difference |= (value_a ^ value_b) & 0x7FFF_7FFF;
            )*};
        }
        each!(0 1 2 3 4 5 6 7);
        difference == 0
    }

    #[inline(always)]
    fn nibbles(codes: [u32; 2], _: [u32; 2]) -> [u32; 2] {
        codes
    }
}

/// The values of the two codes in the low byte.
#[cfg(not(isa = "sm_90_as_blackwell"))]
#[inline(always)]
fn value_pair(byte: u32) -> u32 {
    let pair: u32;
    // SAFETY: register-to-register, no side effects.
    unsafe {
        core::arch::asm!(
            "{{ .reg .b8 t; cvt.u8.u32 t, {b}; cvt.rn.f16x2.e2m1x2 {d}, t; }}",
            b = in(reg32) byte, d = lateout(reg32) pair,
            options(pure, nomem, nostack, preserves_flags)
        );
    }
    pair
}

/// The same without FP4 hardware.
#[cfg(isa = "sm_90_as_blackwell")]
#[inline(always)]
fn value_pair(byte: u32) -> u32 {
    let w = (byte & 7) << 9 | (byte & 0x70) << 21 | (byte & 8) << 12 | (byte & 0x80) << 24;
    ptx::mul_rn_f16x2(w, 0x7400_7400)
}
