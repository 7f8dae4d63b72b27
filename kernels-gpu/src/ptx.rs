//! One wrapper for each PTX instruction that Rust has no spelling for, named after it.
//!
//! All are pure functions of their operands, so the compiler may share, move and drop them.

pub(crate) mod codegen;
pub(crate) mod memory;
#[allow(dead_code, reason = "no instruction set needs all of them")]
pub(crate) mod packed;
pub(crate) mod rolled;
pub(crate) mod shared;
pub(crate) mod thread;
pub(crate) mod thread_block;
pub(crate) mod warp;

use core::arch::asm;

macro_rules! instruction {
    ($(#[$doc:meta])* $name:ident, $text:literal, ($($arg:ident: $ty:ty),*) -> $ret:ty) => {
        $(#[$doc])*
        #[inline(always)]
        pub(crate) fn $name($($arg: $ty),*) -> $ret {
            let d: $ret;
            // SAFETY: a register-to-register instruction without side effects.
            unsafe {
                asm!($text, d = lateout(reg32) d, $($arg = in(reg32) $arg,)*
                     options(pure, nomem, nostack, preserves_flags));
            }
            d
        }
    };
}

instruction! {
    /// `a·b + c`, rounded once, to nearest even.
    fma_rn, "fma.rn.f32 {d}, {a}, {b}, {c};", (a: f32, b: f32, c: f32) -> f32
}
instruction! {
    /// `-a`. Spelled so that the assembler takes it into the instruction that uses it.
    neg, "neg.f32 {d}, {a};", (a: f32) -> f32
}
instruction! {
    /// `|a|`. Spelled so that the assembler takes it into the instruction that uses it.
    abs, "abs.f32 {d}, {a};", (a: f32) -> f32
}
instruction! {
    /// The larger operand; NaN if either is.
    max_nan, "max.NaN.f32 {d}, {a}, {b};", (a: f32, b: f32) -> f32
}
instruction! {
    /// The larger operand; a NaN loses.
    max, "max.f32 {d}, {a}, {b};", (a: f32, b: f32) -> f32
}
instruction! {
    /// The smaller operand; a NaN loses.
    min, "min.f32 {d}, {a}, {b};", (a: f32, b: f32) -> f32
}
instruction! {
    /// The reciprocal to within one unit in the last place.
    rcp_approx, "rcp.approx.ftz.f32 {d}, {a};", (a: f32) -> f32
}
instruction! {
    /// The reciprocal, rounded to nearest even.
    rcp_rn, "rcp.rn.f32 {d}, {a};", (a: f32) -> f32
}
instruction! {
    /// The quotient, rounded to nearest even.
    div_rn, "div.rn.f32 {d}, {a}, {b};", (a: f32, b: f32) -> f32
}
instruction! {
    /// Two FP32 values to FP16, rounded to nearest even: `hi` to the upper half.
    cvt_rn_f16x2_f32, "cvt.rn.f16x2.f32 {d}, {hi}, {lo};", (hi: f32, lo: f32) -> u32
}
instruction! {
    /// Two FP32 values to FP16, rounded toward zero: `hi` to the upper half.
    cvt_rz_f16x2_f32, "cvt.rz.f16x2.f32 {d}, {hi}, {lo};", (hi: f32, lo: f32) -> u32
}
instruction! {
    /// The larger of each pair of FP16 numbers; a NaN loses.
    max_f16x2, "max.f16x2 {d}, {a}, {b};", (a: u32, b: u32) -> u32
}
instruction! {
    /// The smaller of each pair of FP16 numbers; a NaN loses.
    min_f16x2, "min.f16x2 {d}, {a}, {b};", (a: u32, b: u32) -> u32
}
instruction! {
    /// `|a|·b`, rounded to nearest even. One machine instruction: magnitudes are free in a product.
    mul_abs_rn, "{{ .reg .f32 t; abs.f32 t, {a}; mul.rn.f32 {d}, t, {b}; }}", (a: f32, b: f32) -> f32
}

/// Four FP32 values to E5M2, rounded to nearest even: the first to the upper byte.
#[cfg(all(fp8_cvt, not(fp4_kernels)))]
#[inline(always)]
pub(crate) fn cvt_rn_satfinite_e5m2x4_f32([a, b, c, d]: [f32; 4]) -> u32 {
    let bytes: u32;
    // SAFETY: register-to-register, no side effects.
    unsafe {
        asm!("{{ .reg .b16 h, l; cvt.rn.satfinite.e5m2x2.f32 h, {a}, {b};",
             "cvt.rn.satfinite.e5m2x2.f32 l, {c}, {d}; mov.b32 {bytes}, {{l, h}}; }}",
             a = in(reg32) a, b = in(reg32) b, c = in(reg32) c, d = in(reg32) d,
             bytes = lateout(reg32) bytes, options(pure, nomem, nostack, preserves_flags));
    }
    bytes
}

macro_rules! max_abs {
    ($name:ident, $t:literal, $doc:literal) => {
        #[doc = concat!("The larger magnitude of each pair, with some sign; ", $doc)]
        #[inline(always)]
        pub(crate) fn $name(a: u32, b: u32) -> u32 {
            let d: u32;
            // SAFETY: register-to-register, no side effects.
            unsafe {
                #[cfg(max_abs)]
                asm!(concat!("max", $t, " {d}, {a}, {b};"), d = lateout(reg32) d,
                     a = in(reg32) a, b = in(reg32) b, options(pure, nomem, nostack, preserves_flags));
                // The maximum, but not that of magnitudes.
                #[cfg(not(max_abs))]
                asm!(concat!("max", $t, " {d}, {a}, {b};"), d = lateout(reg32) d,
                     a = in(reg32) a & 0x7FFF_7FFF, b = in(reg32) b & 0x7FFF_7FFF,
                     options(pure, nomem, nostack, preserves_flags));
            }
            d
        }
    };
}

#[cfg(max_abs)]
mod max_abs_instructions {
    use core::arch::asm;
    max_abs!(max_nan_abs_bf16x2, ".NaN.xorsign.abs.bf16x2", "NaN if either is.");
    max_abs!(max_nan_abs_f16x2, ".NaN.xorsign.abs.f16x2", "NaN if either is.");
    max_abs!(max_abs_bf16x2, ".xorsign.abs.bf16x2", "a NaN loses.");
    max_abs!(max_abs_f16x2, ".xorsign.abs.f16x2", "a NaN loses.");
}
#[cfg(not(max_abs))]
mod max_abs_instructions {
    use core::arch::asm;
    max_abs!(max_nan_abs_bf16x2, ".NaN.bf16x2", "NaN if either is.");
    max_abs!(max_nan_abs_f16x2, ".NaN.f16x2", "NaN if either is.");
    max_abs!(max_abs_bf16x2, ".bf16x2", "a NaN loses.");
    max_abs!(max_abs_f16x2, ".f16x2", "a NaN loses.");
}
pub(crate) use max_abs_instructions::*;

instruction! {
    /// Two FP32 values to bf16, rounded to nearest even: `hi` to the upper half.
    cvt_rn_bf16x2_f32, "cvt.rn.bf16x2.f32 {d}, {hi}, {lo};", (hi: f32, lo: f32) -> u32
}
instruction! {
    /// Products of two pairs of f16, rounded to nearest even.
    mul_rn_f16x2, "mul.rn.f16x2 {d}, {a}, {b};", (a: u32, b: u32) -> u32
}

instruction! {
    /// `a·b + c` for both of a pair of f16, each rounded once, to nearest even.
    fma_rn_f16x2, "fma.rn.f16x2 {d}, {a}, {b}, {c};", (a: u32, b: u32, c: u32) -> u32
}
instruction! {
    /// Sums of two pairs of f16, rounded to nearest even.
    add_rn_f16x2, "add.rn.f16x2 {d}, {a}, {b};", (a: u32, b: u32) -> u32
}
instruction! {
    /// Differences of two pairs of f16, rounded to nearest even.
    sub_rn_f16x2, "sub.rn.f16x2 {d}, {a}, {b};", (a: u32, b: u32) -> u32
}
instruction! {
    /// Magnitudes of a pair of f16. Spelled so that the assembler takes it into the instruction that uses it.
    abs_f16x2, "abs.f16x2 {d}, {a};", (a: u32) -> u32
}

/// The product of two words, the low one first.
#[inline(always)]
pub(crate) fn mul_wide_u32(a: u32, b: u32) -> [u32; 2] {
    let (lo, hi): (u32, u32);
    // SAFETY: register-to-register, no side effects.
    unsafe {
        asm!("{{ .reg .b64 p; mul.wide.u32 p, {a}, {b}; mov.b64 {{{lo}, {hi}}}, p; }}",
             a = in(reg32) a, b = in(reg32) b, lo = lateout(reg32) lo, hi = lateout(reg32) hi,
             options(pure, nomem, nostack, preserves_flags));
    }
    [lo, hi]
}

/// The FP32 values of a pair of f16, lower half first. Exact.
#[inline(always)]
pub(crate) fn cvt_f32_f16x2(pair: u32) -> [f32; 2] {
    let (lo, hi): (f32, f32);
    // SAFETY: register-to-register, no side effects.
    unsafe {
        asm!(
            "{{ .reg .b16 l, h; mov.b32 {{l, h}}, {p}; cvt.f32.f16 {lo}, l; cvt.f32.f16 {hi}, h; }}",
            p = in(reg32) pair, lo = lateout(reg32) lo, hi = lateout(reg32) hi,
            options(pure, nomem, nostack, preserves_flags)
        );
    }
    [lo, hi]
}

/// Bytes of `b:a` chosen by the four nibbles of `SELECTOR` (low first); a nibble's top bit
/// replicates the sign of the byte instead.
#[inline(always)]
pub(crate) fn prmt<const SELECTOR: u32>(a: u32, b: u32) -> u32 {
    let d: u32;
    // SAFETY: register-to-register, no side effects.
    unsafe {
        asm!("prmt.b32 {d}, {a}, {b}, {s};", d = lateout(reg32) d, a = in(reg32) a, b = in(reg32) b,
             s = const SELECTOR, options(pure, nomem, nostack, preserves_flags));
    }
    d
}

instruction! {
    /// Bytes of `b:a` chosen by the four nibbles of `selector` (low first).
    prmt_by, "prmt.b32 {d}, {a}, {b}, {selector};", (a: u32, b: u32, selector: u32) -> u32
}

/// The lower (`HALF` 0) or upper FP16 number of a word less an FP32 number, rounded to nearest even.
#[cfg(f32_f16)]
#[inline(always)]
pub(crate) fn sub_rn_f32_f16<const HALF: usize>(a: u32, c: f32) -> f32 {
    let d: f32;
    // SAFETY: register-to-register, no side effects.
    unsafe {
        if HALF == 0 {
            asm!("{{ .reg .b16 l, h; mov.b32 {{l, h}}, {a}; sub.rn.f32.f16 {d}, l, {c}; }}",
                 a = in(reg32) a, c = in(reg32) c, d = lateout(reg32) d,
                 options(pure, nomem, nostack, preserves_flags));
        } else {
            asm!("{{ .reg .b16 l, h; mov.b32 {{l, h}}, {a}; sub.rn.f32.f16 {d}, h, {c}; }}",
                 a = in(reg32) a, c = in(reg32) c, d = lateout(reg32) d,
                 options(pure, nomem, nostack, preserves_flags));
        }
    }
    d
}

/// The lower (`HALF` 0) or upper FP16 number of a word less an FP32 number, rounded to nearest even.
#[cfg(all(fp4_kernels, not(f32_f16)))]
#[inline(always)]
pub(crate) fn sub_rn_f32_f16<const HALF: usize>(a: u32, c: f32) -> f32 {
    cvt_f32_f16x2(a)[HALF] - c
}

instruction! {
    /// The bits of `a` where `mask` is set, those of `b` elsewhere.
    select, "lop3.b32 {d}, {a}, {b}, {mask}, 0xE4;", (a: u32, b: u32, mask: u32) -> u32
}
instruction! {
    /// `a | b & mask`.
    #[cfg(not(fp4_kernels))]
    or_and, "lop3.b32 {d}, {a}, {b}, {mask}, 0xF8;", (a: u32, b: u32, mask: u32) -> u32
}

/// The same number, of which the compiler knows nothing before this point.
#[inline(always)]
pub(crate) fn opaque(n: u32) -> u32 {
    let d: u32;
    // SAFETY: copies a register.
    unsafe {
        asm!("mov.b32 {d}, {n};", d = lateout(reg32) d, n = in(reg32) n, options(nomem, nostack, preserves_flags))
    }
    d
}
