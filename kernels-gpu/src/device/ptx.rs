//! One wrapper for each PTX instruction that Rust has no spelling for, named after it.
//!
//! All are pure functions of their operands, so the compiler may share, move and drop them.

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
    /// `|a|·b`, rounded to nearest even. One machine instruction: magnitudes are free in a product.
    mul_abs_rn, "{{ .reg .f32 t; abs.f32 t, {a}; mul.rn.f32 {d}, t, {b}; }}", (a: f32, b: f32) -> f32
}

/// Four FP32 values to E5M2, rounded to nearest even: the first to the upper byte.
#[cfg(not(isa = "sm_80"))]
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
                #[cfg(not(isa = "sm_80"))]
                asm!(concat!("max", $t, " {d}, {a}, {b};"), d = lateout(reg32) d,
                     a = in(reg32) a, b = in(reg32) b, options(pure, nomem, nostack, preserves_flags));
                // sm_80 has the maximum but not of magnitudes.
                #[cfg(isa = "sm_80")]
                asm!(concat!("max", $t, " {d}, {a}, {b};"), d = lateout(reg32) d,
                     a = in(reg32) a & 0x7FFF_7FFF, b = in(reg32) b & 0x7FFF_7FFF,
                     options(pure, nomem, nostack, preserves_flags));
            }
            d
        }
    };
}

#[cfg(not(isa = "sm_80"))]
mod max_abs_instructions {
    use core::arch::asm;
    max_abs!(max_nan_abs_bf16x2, ".NaN.xorsign.abs.bf16x2", "NaN if either is.");
    max_abs!(max_nan_abs_f16x2, ".NaN.xorsign.abs.f16x2", "NaN if either is.");
    max_abs!(max_abs_bf16x2, ".xorsign.abs.bf16x2", "a NaN loses.");
    max_abs!(max_abs_f16x2, ".xorsign.abs.f16x2", "a NaN loses.");
}
#[cfg(isa = "sm_80")]
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

/// A pair times a number, each product rounded to nearest even. One instruction on Blackwell.
#[cfg(any(isa = "sm_100f", isa = "sm_120f"))]
#[inline(always)]
pub(crate) fn mul_rn_f32x2([a0, a1]: [f32; 2], b: f32) -> [f32; 2] {
    let (d0, d1): (f32, f32);
    // SAFETY: register-to-register, no side effects.
    unsafe {
        asm!("{{ .reg .b64 a, b, d; mov.b64 a, {{{a0}, {a1}}}; mov.b64 b, {{{b}, {b}}};",
             "mul.rn.f32x2 d, a, b; mov.b64 {{{d0}, {d1}}}, d; }}",
             a0 = in(reg32) a0, a1 = in(reg32) a1, b = in(reg32) b, d0 = out(reg32) d0,
             d1 = out(reg32) d1, options(pure, nomem, nostack, preserves_flags));
    }
    [d0, d1]
}

/// `a·a + c` for both of a pair, each rounded once.
#[cfg(any(isa = "sm_100f", isa = "sm_120f"))]
#[inline(always)]
pub(crate) fn fma_square_f32x2([a0, a1]: [f32; 2], [c0, c1]: [f32; 2]) -> [f32; 2] {
    let (d0, d1): (f32, f32);
    // SAFETY: register-to-register, no side effects.
    unsafe {
        asm!("{{ .reg .b64 a, c, d; mov.b64 a, {{{a0}, {a1}}}; mov.b64 c, {{{c0}, {c1}}};",
             "fma.rn.f32x2 d, a, a, c; mov.b64 {{{d0}, {d1}}}, d; }}",
             a0 = in(reg32) a0, a1 = in(reg32) a1, c0 = in(reg32) c0, c1 = in(reg32) c1,
             d0 = out(reg32) d0, d1 = out(reg32) d1,
             options(pure, nomem, nostack, preserves_flags));
    }
    [d0, d1]
}

/// Both FP16 numbers of a word less the FP32 numbers of a pair, rounded to nearest even.
#[cfg(any(isa = "sm_100f", isa = "sm_120f"))]
#[inline(always)]
pub(crate) fn sub_rn_f32_f16x2(a: u32, [c0, c1]: [f32; 2]) -> [f32; 2] {
    let (d0, d1): (f32, f32);
    // SAFETY: register-to-register, no side effects.
    unsafe {
        asm!("{{ .reg .b16 l, h; mov.b32 {{l, h}}, {a}; sub.rn.f32.f16 {d0}, l, {c0};",
             "sub.rn.f32.f16 {d1}, h, {c1}; }}",
             a = in(reg32) a, c0 = in(reg32) c0, c1 = in(reg32) c1, d0 = out(reg32) d0,
             d1 = out(reg32) d1, options(pure, nomem, nostack, preserves_flags));
    }
    [d0, d1]
}

/// A pair times a number, each product rounded to nearest even.
#[cfg(not(any(isa = "sm_100f", isa = "sm_120f")))]
#[inline(always)]
pub(crate) fn mul_rn_f32x2([a0, a1]: [f32; 2], b: f32) -> [f32; 2] {
    [a0 * b, a1 * b]
}

/// `a·a + c` for both of a pair, each rounded once.
#[cfg(not(any(isa = "sm_100f", isa = "sm_120f")))]
#[inline(always)]
pub(crate) fn fma_square_f32x2([a0, a1]: [f32; 2], [c0, c1]: [f32; 2]) -> [f32; 2] {
    [fma_rn(a0, a0, c0), fma_rn(a1, a1, c1)]
}

/// Both FP16 numbers of a word less the FP32 numbers of a pair, rounded to nearest even.
#[cfg(isa = "sm_90_as_blackwell")]
#[inline(always)]
pub(crate) fn sub_rn_f32_f16x2(a: u32, [c0, c1]: [f32; 2]) -> [f32; 2] {
    let [a0, a1] = cvt_f32_f16x2(a);
    [a0 - c0, a1 - c1]
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
