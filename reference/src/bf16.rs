//! bfloat16, an input type: the upper half of an FP32.

use crate::minifloat;

const INFINITY: u16 = 0x7F80;
const QUIET_NAN: u16 = 0x7FC0;
const SMALLEST_EXPONENT: i32 = -126;
const FRACTION_BITS: u32 = 7;

/// A bfloat16: sign, 8 exponent bits (bias 127), 7 fraction bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Bf16(u16);

impl Bf16 {
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

    /// The value, exact. NaN stays NaN.
    #[must_use]
    pub const fn to_f32(self) -> f32 {
        f32::from_bits((self.0 as u32) << 16)
    }

    /// Rounds to nearest, ties to even, subnormals kept; overflows to ±∞.
    ///
    /// NaN gives a quiet NaN. Which one is no part of the contract.
    #[must_use]
    pub fn from_f32(value: f32) -> Self {
        let sign = if value.is_sign_negative() { 0x8000 } else { 0 };
        if value.is_nan() {
            return Self(sign | QUIET_NAN);
        }
        if value.is_infinite() {
            return Self(sign | INFINITY);
        }
        // A carry past the largest finite number is the code of infinity.
        let code = minifloat::nearest_code(value.abs(), SMALLEST_EXPONENT, FRACTION_BITS);
        Self(sign | code as u16)
    }
}
