//! E4M3: the 8-bit float of NVFP4's block scales.

use crate::minifloat;

const SIGN: u8 = 0x80;
const NAN: u8 = 0x7F;
const SMALLEST_EXPONENT: i32 = -6;
const FRACTION_BITS: u32 = 3;

/// An 8-bit float: sign, 4 exponent bits (bias 7), 3 fraction bits; no infinity, 0x7F and 0xFF are
/// NaN, the largest value is 448, subnormals are multiples of 2⁻⁹.
///
/// The format is the "FN" variant of Open Compute Project, *8-bit Floating Point Specification*.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct E4m3(u8);

impl E4m3 {
    /// The largest value.
    pub const MAX: f32 = 448.0;

    /// The number with a code.
    #[must_use]
    pub const fn from_bits(bits: u8) -> Self {
        Self(bits)
    }

    /// The code.
    #[must_use]
    pub const fn to_bits(self) -> u8 {
        self.0
    }

    /// Whether the number is NaN.
    #[must_use]
    pub const fn is_nan(self) -> bool {
        self.0 & !SIGN == NAN
    }

    /// Rounds to nearest, ties to even, saturating at ±448 (also ±∞), subnormals kept.
    ///
    /// The sign of zeros and of values that round to zero is kept. NaN of either sign gives 0x7F, as
    /// PTX `cvt.rn.satfinite.e4m3x2.f32` does.
    #[must_use]
    pub fn from_f32(value: f32) -> Self {
        if value.is_nan() {
            return Self(NAN);
        }
        let sign = if value.is_sign_negative() { SIGN } else { 0 };
        let magnitude = value.abs().min(Self::MAX);
        let code = minifloat::nearest_code(magnitude, SMALLEST_EXPONENT, FRACTION_BITS);
        Self(sign | code as u8)
    }

    /// The value, exact; NaN for 0x7F and 0xFF.
    #[must_use]
    pub fn to_f32(self) -> f32 {
        if self.is_nan() {
            return f32::NAN;
        }
        let magnitude =
            minifloat::value(u32::from(self.0 & !SIGN), SMALLEST_EXPONENT, FRACTION_BITS);
        if self.0 & SIGN == 0 { magnitude } else { -magnitude }
    }
}
