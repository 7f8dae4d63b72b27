//! Fast forms of [`soft`](super::soft)'s most used functions, on host floats. The tests compare each
//! with `soft`.
//!
//! Why each is exact:
//!
//! 1. A half-precision operand (11 or 8 bits of significand) is an `f64`; a product of two has at most
//!    22 bits and an exponent far inside `f64`'s range, so it is exact there.
//! 2. A sum of two halves rounded to 53 bits and then to p ≤ 11 is the sum rounded once, because
//!    53 ≥ 2p + 2 (S. Figueroa, "When is double rounding innocuous?", 1995).
//! 3. A fused operation of halves adds the exact product in `f64` *rounded to odd*: of the two neighbours of an
//!    inexact sum, the one with an odd last bit. Rounding that to p + 2 ≤ 53 bits or fewer gives the
//!    sum rounded once (S. Boldo and G. Melquiond, "Emulation of FMA and correctly rounded sums",
//!    2008). The error of the sum, which tells whether and where it is inexact, is Knuth's TwoSum.
//! 4. A fused operation of `f32` is the host's own, which rounds once.

use super::soft::{BF16, F16, F32, Format};

/// The exact value of a binary16 as an `f32`. NaN stays NaN.
pub(super) fn f16_to_f32(bits: u64) -> f32 {
    let magnitude = (bits as u32 & 0x7fff) << 13;
    // Rebiasing by a product normalizes subnormals; the largest exponent means ∞ or NaN.
    let scaled = (f32::from_bits(magnitude) * f32::from_bits(0x7780_0000)).to_bits();
    let special = magnitude | 0x7f80_0000;
    let magnitude = if magnitude >= 0x0f80_0000 { special } else { scaled };
    f32::from_bits(magnitude | (bits as u32 & 0x8000) << 16)
}

/// The exact value of a bfloat16. NaN stays NaN.
pub(super) fn bf16_to_f32(bits: u64) -> f32 {
    f32::from_bits((bits as u32) << 16)
}

/// An `f32` to binary16, nearest even.
pub(super) fn f16_from_f32(bits: u64) -> u64 {
    let magnitude = bits as u32 & 0x7fff_ffff;
    let sign = bits as u32 >> 16 & 0x8000;
    let odd = magnitude >> 13 & 1;
    let normal = magnitude.wrapping_add(0xc800_0fff + odd) >> 13;
    // Below 2^-14 the last place is 2^-24: adding 0.5 in f32, whose last place there is the same,
    // rounds to it.
    let subnormal = (f32::from_bits(magnitude) + 0.5).to_bits().wrapping_sub(0x3f00_0000);
    let finite = if magnitude < 0x3880_0000 { subnormal } else { normal };
    let large = if magnitude > 0x7f80_0000 { F16.nan as u32 } else { 0x7c00 | sign };
    u64::from(if magnitude >= 0x477f_f000 { large } else { finite | sign })
}

/// An `f32` to bfloat16, nearest even.
pub(super) fn bf16_from_f32(bits: u64) -> u64 {
    let x = bits as u32;
    let rounded = (u64::from(x) + 0x7fff + u64::from(x >> 16 & 1)) >> 16;
    if x & 0x7fff_ffff > 0x7f80_0000 { BF16.nan } else { rounded }
}

/// An `f64` to a half format, nearest even.
fn narrow(format: Format, x: f64) -> u64 {
    let bits = x.to_bits();
    let sign = bits >> 63 << (format.exponent_bits + format.fraction_bits);
    if x.is_nan() {
        return format.nan;
    }
    let infinity = ((1 << format.exponent_bits) - 1) << format.fraction_bits;
    let field = (bits >> 52 & 0x7ff) as i32;
    if field == 0 {
        return sign;
    }
    let bias = (1 << (format.exponent_bits - 1)) - 1;
    let smallest = 1 - bias - format.fraction_bits as i32;
    let top = field - 1023;
    let last = (top - format.fraction_bits as i32).max(smallest);
    let shift = last - top + 52;
    if shift > 54 {
        return sign;
    }
    let significand = bits & ((1 << 52) - 1) | 1 << 52;
    let half = (1u64 << shift >> 1) - 1 + (significand >> shift & 1);
    let kept = (significand + half) >> shift;
    sign | ((((last - smallest) as u64) << format.fraction_bits) + kept).min(infinity)
}

/// The exact value of a half format.
fn widen_f32(format: Format, bits: u64) -> f32 {
    if format == F16 { f16_to_f32(bits) } else { bf16_to_f32(bits) }
}

fn widen(format: Format, bits: u64) -> f64 {
    f64::from(widen_f32(format, bits))
}

/// The bits of an `f32` result, with the NaN that the hardware makes.
pub(super) fn f32_bits(x: f32) -> u64 {
    if x.is_nan() { F32.nan } else { u64::from(x.to_bits()) }
}

/// `a + b` of a half format and an `f32`, nearest even.
pub(super) fn add_mixed(format: Format, a: u64, b: u64) -> u64 {
    f32_bits(widen_f32(format, a) + f32::from_bits(b as u32))
}

/// `a · b + c` of a half format and an `f32`, rounded once to nearest even.
pub(super) fn fma_mixed(format: Format, a: u64, b: u64, c: u64) -> u64 {
    f32_bits(fma_f32(widen_f32(format, a), widen_f32(format, b), f32::from_bits(c as u32)))
}

/// `a + b` of a half format, nearest even.
pub(super) fn add(format: Format, a: u64, b: u64) -> u64 {
    narrow(format, widen(format, a) + widen(format, b))
}

/// `a · b` of a half format, nearest even.
pub(super) fn mul(format: Format, a: u64, b: u64) -> u64 {
    narrow(format, widen(format, a) * widen(format, b))
}

/// `a · b + c` of a half format, rounded once to nearest even.
pub(super) fn fma(format: Format, a: u64, b: u64, c: u64) -> u64 {
    let product = widen(format, a) * widen(format, b);
    narrow(format, add_to_odd(product, widen(format, c)))
}

/// `a · b + c` in `f32`, rounded once to nearest even.
pub(super) fn fma_f32(a: f32, b: f32, c: f32) -> f32 {
    a.mul_add(b, c)
}

/// `a + b` rounded to odd. Neither the sum nor a difference of these operands overflows.
fn add_to_odd(a: f64, b: f64) -> f64 {
    let sum = a + b;
    let back = sum - a;
    let error = (a - (sum - back)) + (b - back);
    let bits = sum.to_bits();
    // Away from zero if the error has the sum's sign, else toward it. A NaN error (∞) compares false.
    let outward = (error > 0.0) == (sum > 0.0);
    let moved = if outward { bits + 1 } else { bits.wrapping_sub(1) };
    let inexact = error.abs() > 0.0;
    f64::from_bits(if inexact && bits & 1 == 0 { moved } else { bits })
}

#[cfg(test)]
mod tests {
    use super::super::soft::{self, Rounding, Value};
    use super::*;

    const NEAR: Rounding = Rounding::Nearest;

    struct Random(u64);

    impl Random {
        fn next(&mut self) -> u64 {
            self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            self.0 ^ self.0 >> 31
        }
    }

    fn check_fma(a: u32, b: u32, c: u32) {
        let [x, y, z] = [a, b, c].map(|x| F32.unpack(u64::from(x)));
        let exact = F32.round(soft::add(soft::mul(x, y), z, NEAR), NEAR);
        let fast = fma_f32(f32::from_bits(a), f32::from_bits(b), f32::from_bits(c));
        let fast = if fast.is_nan() { F32.nan } else { u64::from(fast.to_bits()) };
        assert_eq!(fast, exact, "fma {a:#x} {b:#x} {c:#x}");
    }

    #[test]
    fn fused_f32_equals_soft() {
        let mut random = Random(1);
        for _ in 0..300_000 {
            let (r, s) = (random.next(), random.next());
            let (a, b) = (r as u32, (r >> 32) as u32);
            // An addend near the product's magnitude, or far below it, or any.
            let product = (f32::from_bits(a) * f32::from_bits(b)).to_bits();
            let near = product ^ (s as u32 & 0x87ff_ffff);
            check_fma(a, b, near);
            check_fma(a, b, s as u32);
            // Short significands make ties and exact cancellations.
            check_fma(a & 0xfff0_0000, b & 0xffe0_0000, s as u32 & 0xffff_0000);
            check_fma(a & 0xffff_f000, b & 0xffff_f000, (product ^ 1 << 31) & !(s as u32 & 7));
        }
    }

    #[test]
    fn conversions_equal_soft() {
        let mut random = Random(2);
        let check = |bits: u32| {
            let value = F32.unpack(u64::from(bits));
            assert_eq!(f16_from_f32(u64::from(bits)), F16.round(value, NEAR), "{bits:#x}");
            assert_eq!(bf16_from_f32(u64::from(bits)), BF16.round(value, NEAR), "{bits:#x}");
        };
        for high in 0..=u16::MAX {
            for low in [0, 1, 0xfff, 0x1000, 0x1001, 0x2000, 0x7fff, 0x8000, 0x8001, 0xffff] {
                check(u32::from(high) << 16 | low);
            }
            for _ in 0..40 {
                check(u32::from(high) << 16 | random.next() as u32 & 0xffff);
            }
        }
        for bits in 0..=u64::from(u16::MAX) {
            for (format, value) in [(F16, f16_to_f32(bits)), (BF16, bf16_to_f32(bits))] {
                let exact = format.unpack(bits);
                if exact == Value::Nan {
                    assert!(value.is_nan(), "{bits:#x}");
                } else {
                    assert_eq!(u64::from(value.to_bits()), F32.round(exact, NEAR), "{bits:#x}");
                }
            }
        }
    }

    #[test]
    fn half_arithmetic_equals_soft() {
        let mut random = Random(3);
        for i in 0..600_000u64 {
            let r = random.next();
            let format = if i % 2 == 0 { F16 } else { BF16 };
            // Half of the time exponents near each other, for cancellations and ties.
            let mask = if i & 2 == 0 { 0xffff } else { 0x83ff };
            let [a, b, c] =
                [r, r >> 16, r >> 32].map(|x| x & mask | if mask == 0xffff { 0 } else { 0x3c00 });
            let [x, y, z] = [a, b, c].map(|x| format.unpack(x));
            assert_eq!(add(format, a, b), format.round(soft::add(x, y, NEAR), NEAR));
            assert_eq!(mul(format, a, b), format.round(soft::mul(x, y), NEAR));
            let exact = format.round(soft::add(soft::mul(x, y), z, NEAR), NEAR);
            assert_eq!(fma(format, a, b, c), exact, "{a:#x} {b:#x} {c:#x}");
        }
    }

    #[test]
    fn mixed_arithmetic_equals_soft() {
        let mut random = Random(4);
        for i in 0..600_000u64 {
            let (r, s) = (random.next(), random.next());
            let format = if i % 2 == 0 { F16 } else { BF16 };
            let [a, b] = [r & 0xffff, r >> 16 & 0xffff];
            // An addend near the product's or the operand's magnitude, or any.
            let product = widen_f32(format, a) * widen_f32(format, b);
            let near = |x: f32| u64::from(x.to_bits()) ^ s & 0x87ff_ffff;
            for c in [near(product), near(widen_f32(format, a)), s & 0xffff_ffff] {
                let [x, y, z] = [format.unpack(a), format.unpack(b), F32.unpack(c)];
                let sum = F32.round(soft::add(x, z, NEAR), NEAR);
                assert_eq!(add_mixed(format, a, c), sum, "{a:#x} + {c:#x}");
                let exact = F32.round(soft::add(soft::mul(x, y), z, NEAR), NEAR);
                assert_eq!(fma_mixed(format, a, b, c), exact, "{a:#x} {b:#x} {c:#x}");
            }
        }
    }
}
