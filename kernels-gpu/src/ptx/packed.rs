//! FP32 arithmetic on pairs: one instruction with `f32x2`, two without.

#[cfg(f32x2)]
use core::arch::asm;

#[cfg(not(f32x2))]
use crate::ptx;

/// A pair of FP32 numbers: with `f32x2` one 64-bit register.
#[derive(Clone, Copy)]
pub(crate) struct F32x2(#[cfg(f32x2)] u64, #[cfg(not(f32x2))] [f32; 2]);

#[cfg(f32x2)]
impl F32x2 {
    #[inline(always)]
    pub(crate) fn new([lo, hi]: [f32; 2]) -> Self {
        let d: u64;
        // SAFETY: register-to-register, no side effects.
        unsafe {
            asm!("mov.b64 {d}, {{{lo}, {hi}}};", d = lateout(reg64) d, lo = in(reg32) lo,
                 hi = in(reg32) hi, options(pure, nomem, nostack, preserves_flags));
        }
        Self(d)
    }

    #[inline(always)]
    pub(crate) fn split(self) -> [f32; 2] {
        let (lo, hi): (f32, f32);
        // SAFETY: register-to-register, no side effects.
        unsafe {
            asm!("mov.b64 {{{lo}, {hi}}}, {a};", a = in(reg64) self.0, lo = lateout(reg32) lo,
                 hi = lateout(reg32) hi, options(pure, nomem, nostack, preserves_flags));
        }
        [lo, hi]
    }
}

#[cfg(not(f32x2))]
impl F32x2 {
    #[inline(always)]
    pub(crate) fn new(pair: [f32; 2]) -> Self {
        Self(pair)
    }

    #[inline(always)]
    pub(crate) fn split(self) -> [f32; 2] {
        self.0
    }
}

macro_rules! packed {
    ($(#[$doc:meta])* $name:ident, $text:literal, ($($arg:ident),*) -> $scalar:expr) => {
        $(#[$doc])*
        #[inline(always)]
        pub(crate) fn $name($($arg: F32x2),*) -> F32x2 {
            #[cfg(f32x2)]
            {
                let d: u64;
                // SAFETY: register-to-register, no side effects.
                unsafe {
                    asm!($text, d = lateout(reg64) d, $($arg = in(reg64) $arg.0,)*
                         options(pure, nomem, nostack, preserves_flags));
                }
                F32x2(d)
            }
            #[cfg(not(f32x2))]
            F32x2(core::array::from_fn(|i| {
                $(let $arg = $arg.0[i];)*
                $scalar
            }))
        }
    };
}

packed! {
    /// `a·b` for both of a pair, each rounded to nearest even.
    mul_rn_f32x2, "mul.rn.f32x2 {d}, {a}, {b};", (a, b) -> a * b
}
packed! {
    /// `a + b` for both of a pair, each rounded to nearest even.
    add_rn_f32x2, "add.rn.f32x2 {d}, {a}, {b};", (a, b) -> a + b
}
packed! {
    /// `a·b + c` for both of a pair, each rounded once, to nearest even.
    fma_rn_f32x2, "fma.rn.f32x2 {d}, {a}, {b}, {c};", (a, b, c) -> ptx::fma_rn(a, b, c)
}
