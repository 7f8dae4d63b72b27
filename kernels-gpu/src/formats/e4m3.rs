//! E4M3 conversions: instructions (`fp8_cvt`), or integer arithmetic.

#[cfg(fp8_cvt)]
use core::arch::asm;

/// The E4M3 bytes of two non-negative numbers, `hi << 8 | lo`: nearest even, at most 448.
#[cfg(fp8_cvt)]
#[inline(always)]
pub(crate) fn encode(hi: f32, lo: f32) -> u16 {
    let bytes: u16;
    // SAFETY: register-to-register, no side effects.
    unsafe {
        asm!("cvt.rn.satfinite.e4m3x2.f32 {d}, {hi}, {lo};", d = lateout(reg16) bytes,
             hi = in(reg32) hi, lo = in(reg32) lo, options(pure, nomem, nostack, preserves_flags));
    }
    bytes
}

/// The E4M3 byte of a non-negative number.
#[inline(always)]
pub(crate) fn byte(v: f32) -> u16 {
    encode(0.0, v)
}

/// The values of two E4M3 bytes, the low one first. Exact.
#[cfg(fp8_cvt)]
#[inline(always)]
pub(crate) fn decode(bytes: u16) -> [f32; 2] {
    let pair: u32;
    // SAFETY: register-to-register, no side effects.
    unsafe {
        asm!("cvt.rn.f16x2.e4m3x2 {d}, {b};", d = lateout(reg32) pair, b = in(reg16) bytes,
             options(pure, nomem, nostack, preserves_flags));
    }
    crate::ptx::cvt_f32_f16x2(pair)
}

/// The E4M3 bytes of two non-negative numbers, `hi << 8 | lo`: nearest even, at most 448.
#[cfg(not(fp8_cvt))]
#[inline(always)]
pub(crate) fn encode(hi: f32, lo: f32) -> u16 {
    #[inline(always)]
    fn one(v: f32) -> u32 {
        let v = crate::ptx::min(v, 448.0);
        // Normal: drop 20 bits of the significand, nearest even, and rebias 127 to 7.
        let bits = v.to_bits();
        let normal = ((bits + 0x7_FFFF + ((bits >> 20) & 1)) >> 20).wrapping_sub(120 << 3);
        // Below 2⁻⁶ the step is 2⁻⁹: adding 2¹⁴ rounds to it.
        let subnormal = (v + 16384.0).to_bits() & 0xFF;
        if v < 1.0 / 64.0 { subnormal } else { normal }
    }
    (one(hi) << 8 | one(lo)) as u16
}

/// The values of two E4M3 bytes, the low one first. Exact.
#[cfg(not(fp8_cvt))]
#[inline(always)]
pub(crate) fn decode(bytes: u16) -> [f32; 2] {
    let bytes = u32::from(bytes);
    [magnitude(bytes & 0x7F), magnitude((bytes >> 8) & 0x7F)]
}

/// Moved to the top of an f32 a byte is 2⁻¹²⁰ times its value, subnormals included.
#[cfg(not(fp8_cvt))]
#[inline(always)]
fn magnitude(byte: u32) -> f32 {
    f32::from_bits(byte << 20) * f32::from_bits((127 + 120) << 23)
}

/// The value of any byte. Scales of files may be negative or NaN, those of encoded blocks are neither.
#[cfg(not(fp8_cvt))]
#[inline(always)]
pub(crate) fn value(byte: u16) -> f32 {
    let byte = u32::from(byte);
    let magnitude = if byte & 0x7F == 0x7F { f32::NAN } else { magnitude(byte & 0x7F) };
    f32::from_bits(magnitude.to_bits() | (byte & 0x80) << 24)
}

/// The value of any byte.
#[cfg(fp8_cvt)]
#[inline(always)]
pub(crate) fn value(byte: u16) -> f32 {
    decode(byte)[0]
}
