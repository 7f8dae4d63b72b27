//! E2M1: the 4-bit float of NVFP4's elements.

const SIGN: u8 = 0x8;
/// The values of codes 0 to 7.
const MAGNITUDES: [f32; 8] = [0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0];

/// A 4-bit float: sign, 2 exponent bits (bias 1), 1 fraction bit; no infinity and no NaN.
///
/// The eight magnitudes are 0, 0.5, 1, 1.5, 2, 3, 4 and 6 (Open Compute Project, *Microscaling
/// Formats*, FP4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct E2m1(u8);

impl E2m1 {
    /// The largest value.
    pub const MAX: f32 = 6.0;

    /// The number with a code: `sign << 3 | magnitude index`.
    ///
    /// # Panics
    /// If `bits` is above 15.
    #[must_use]
    pub const fn from_bits(bits: u8) -> Self {
        assert!(bits < 16, "an E2M1 code has 4 bits");
        Self(bits)
    }

    /// The code, 0 to 15.
    #[must_use]
    pub const fn to_bits(self) -> u8 {
        self.0
    }

    /// Rounds to nearest, ties to even, saturating at ±6 (also ±∞).
    ///
    /// The sign of zeros and of values that round to zero is kept: −0.0 gives code 8. NaN of either
    /// sign gives code 7, +6, as PTX `cvt.rn.satfinite.e2m1x2.f32` does.
    #[must_use]
    pub fn from_f32(value: f32) -> Self {
        if value.is_nan() {
            return Self(0x7);
        }
        let sign = if value.is_sign_negative() { SIGN } else { 0 };
        // One step up for every midpoint passed. On a midpoint the even code wins: the step from an
        // odd code is taken, that from an even one is not.
        let x = value.abs();
        let steps = [x > 0.25, x >= 0.75, x > 1.25, x >= 1.75, x > 2.5, x >= 3.5, x > 5.0];
        let code: u8 = steps.into_iter().map(u8::from).sum();
        Self(sign | code)
    }

    /// The value, exact.
    #[must_use]
    pub const fn to_f32(self) -> f32 {
        let magnitude = MAGNITUDES[(self.0 & !SIGN) as usize];
        if self.0 & SIGN == 0 { magnitude } else { -magnitude }
    }
}
