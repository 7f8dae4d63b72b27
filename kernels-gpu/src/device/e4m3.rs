//! E4M3 conversions: native from sm_89 on, integer arithmetic below.

#[cfg(not(isa = "sm_80"))]
use core::arch::asm;

/// The E4M3 bytes of two non-negative numbers, `hi << 8 | lo`: nearest even, at most 448.
#[cfg(not(isa = "sm_80"))]
#[inline(always)]
pub(crate) fn encode(hi: f32, lo: f32) -> u32 {
    let bytes: u32;
    // SAFETY: register-to-register, no side effects.
    unsafe {
        asm!("{{ .reg .b16 t; cvt.rn.satfinite.e4m3x2.f32 t, {hi}, {lo}; mov.b32 {d}, {{t, t}}; }}",
             d = lateout(reg32) bytes, hi = in(reg32) hi, lo = in(reg32) lo,
             options(pure, nomem, nostack, preserves_flags));
    }
    bytes
}

/// The values of two E4M3 bytes, the low one first. Exact.
#[cfg(not(isa = "sm_80"))]
#[inline(always)]
pub(crate) fn decode(bytes: u32) -> [f32; 2] {
    let pair: u32;
    // SAFETY: register-to-register, no side effects.
    unsafe {
        asm!("{{ .reg .b16 t; cvt.u16.u32 t, {b}; cvt.rn.f16x2.e4m3x2 {d}, t; }}",
             d = lateout(reg32) pair, b = in(reg32) bytes,
             options(pure, nomem, nostack, preserves_flags));
    }
    super::ptx::cvt_f32_f16x2(pair)
}

/// The E4M3 bytes of two non-negative numbers, `hi << 8 | lo`: nearest even, at most 448.
#[cfg(isa = "sm_80")]
#[inline(always)]
pub(crate) fn encode(hi: f32, lo: f32) -> u32 {
    #[inline(always)]
    fn one(v: f32) -> u32 {
        let v = super::ptx::min(v, 448.0);
        // Normal: drop 20 bits of the significand, nearest even, and rebias 127 to 7.
        let bits = v.to_bits();
        let normal = ((bits + 0x7_FFFF + ((bits >> 20) & 1)) >> 20).wrapping_sub(120 << 3);
        // Below 2⁻⁶ the step is 2⁻⁹: adding 2¹⁴ rounds to it.
        let subnormal = (v + 16384.0).to_bits() & 0xFF;
        if v < 1.0 / 64.0 { subnormal } else { normal }
    }
    one(hi) << 8 | one(lo)
}

/// The values of two E4M3 bytes, the low one first. Exact.
#[cfg(isa = "sm_80")]
#[inline(always)]
pub(crate) fn decode(bytes: u32) -> [f32; 2] {
    // Moved to the top of an f32 a byte is 2⁻¹²⁰ times its value, subnormals included.
    #[inline(always)]
    fn one(byte: u32) -> f32 {
        f32::from_bits(byte << 20) * f32::from_bits((127 + 120) << 23)
    }
    [one(bytes & 0x7F), one((bytes >> 8) & 0x7F)]
}
