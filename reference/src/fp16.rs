//! IEEE binary16: an input type, and the arithmetic of the fast error path.

use crate::e2m1::E2m1;
use crate::e4m3::E4m3;
use crate::minifloat;

const SIGN: u16 = 0x8000;
const INFINITY: u16 = 0x7C00;
const QUIET_NAN: u16 = 0x7E00;
const SMALLEST_EXPONENT: i32 = -14;
const FRACTION_BITS: u32 = 10;
/// The exponent of the format's smallest step, 2⁻²⁴.
const SMALLEST_STEP: i32 = SMALLEST_EXPONENT - FRACTION_BITS as i32;
/// 0, 0.5, 1, 1.5, 2, 3, 4 and 6.
const E2M1_MAGNITUDES: [u16; 8] = [0x0000, 0x3800, 0x3C00, 0x3E00, 0x4000, 0x4200, 0x4400, 0x4600];

/// An IEEE binary16: sign, 5 exponent bits (bias 15), 10 fraction bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Fp16(u16);

impl Fp16 {
    /// The number with these bits.
    #[must_use]
    pub const fn from_bits(bits: u16) -> Self {
        Self(bits)
    }

    /// The bits.
    #[must_use]
    pub const fn to_bits(self) -> u16 {
        self.0
    }

    /// Whether the number is NaN.
    #[must_use]
    pub const fn is_nan(self) -> bool {
        self.0 & !SIGN > INFINITY
    }

    /// The value, exact. NaN stays NaN.
    #[must_use]
    pub fn to_f32(self) -> f32 {
        let magnitude = match self.0 & !SIGN {
            INFINITY => f32::INFINITY,
            bits if bits > INFINITY => f32::NAN,
            bits => minifloat::value(u32::from(bits), SMALLEST_EXPONENT, FRACTION_BITS),
        };
        if self.0 & SIGN == 0 { magnitude } else { -magnitude }
    }

    /// Rounds to nearest, ties to even, subnormals kept; overflows to ±∞.
    ///
    /// NaN gives a quiet NaN. Which one is no part of the contract.
    #[must_use]
    pub fn from_f32(value: f32) -> Self {
        let sign = if value.is_sign_negative() { SIGN } else { 0 };
        if value.is_nan() {
            return Self(sign | QUIET_NAN);
        }
        // 65536 is where the code of infinity lies on the grid; everything past it is ∞ as well.
        let magnitude = value.abs().min(65536.0);
        let code = minifloat::nearest_code(magnitude, SMALLEST_EXPONENT, FRACTION_BITS);
        Self(sign | code as u16)
    }

    /// The value of an E2M1 code: every one is a binary16.
    #[must_use]
    pub const fn from_e2m1(code: E2m1) -> Self {
        let sign = if code.to_bits() < 8 { 0 } else { SIGN };
        Self(sign | E2M1_MAGNITUDES[(code.to_bits() & 7) as usize])
    }

    /// The value of an E4M3 code: every one is a binary16, NaN among them.
    #[must_use]
    pub fn from_e4m3(code: E4m3) -> Self {
        Self::from_f32(code.to_f32())
    }

    /// The product, rounded to nearest, ties to even, as PTX `mul.rn.f16` computes it.
    ///
    /// From sign, exponent and significand, with integers only: the significands multiply exactly,
    /// the exponents add, and the sum of both is rounded once to the steps of binary16.
    #[must_use]
    pub fn product(self, other: Self) -> Self {
        let sign = (self.0 ^ other.0) & SIGN;
        let (a, b) = (self.0 & !SIGN, other.0 & !SIGN);
        if a > INFINITY || b > INFINITY {
            return Self(sign | QUIET_NAN);
        }
        if a == INFINITY || b == INFINITY {
            let zero = a == 0 || b == 0;
            return Self(sign | if zero { QUIET_NAN } else { INFINITY });
        }
        let (significand_a, exponent_a) = unpack(a);
        let (significand_b, exponent_b) = unpack(b);
        Self(sign | pack(significand_a * significand_b, exponent_a + exponent_b))
    }
}

/// Splits a finite magnitude into integers: the value is `significand · 2^exponent`.
fn unpack(magnitude: u16) -> (u32, i32) {
    let field = i32::from(magnitude >> FRACTION_BITS);
    let fraction = u32::from(magnitude) & ((1 << FRACTION_BITS) - 1);
    if field == 0 {
        (fraction, SMALLEST_STEP)
    } else {
        (fraction + (1 << FRACTION_BITS), SMALLEST_STEP + field - 1)
    }
}

/// Rounds `significand · 2^exponent` to the nearest magnitude, ties to even.
fn pack(significand: u32, exponent: i32) -> u16 {
    if significand == 0 {
        return 0;
    }
    let length = (u32::BITS - significand.leading_zeros()) as i32;
    // The result's last place: 11 significant bits, but never finer than the smallest step.
    let step = (exponent + length - (FRACTION_BITS as i32 + 1)).max(SMALLEST_STEP);
    let steps = if step <= exponent {
        significand << (exponent - step)
    } else {
        shift_right_to_nearest_even(significand, (step - exponent) as u32)
    };
    let code = (((step - SMALLEST_STEP) as u32) << FRACTION_BITS) + steps;
    code.min(u32::from(INFINITY)) as u16
}

/// `value / 2^shift`, rounded to nearest, ties to even.
fn shift_right_to_nearest_even(value: u32, shift: u32) -> u32 {
    if shift > u32::BITS - 1 {
        // `value` has at most 22 bits here, less than half of 2^32.
        return 0;
    }
    let quotient = value >> shift;
    let remainder = value - (quotient << shift);
    let half = 1 << (shift - 1);
    if remainder > half || (remainder == half && quotient % 2 == 1) {
        quotient + 1
    } else {
        quotient
    }
}
