//! The 8- and 4-bit formats, stated from the PTX ISA ("alternate floating-point data formats").
//!
//! - `e4m3`: sign, 4 exponent bits (bias 7), 3 mantissa bits; no infinities; NaN is 0x7F and 0xFF, so
//!   the largest finite value is 0x7E = 448.
//! - `e5m2`: sign, 5 exponent bits (bias 15), 2 mantissa bits; infinities and NaN above 0x7B = 57344,
//!   the largest finite value, at which `.satfinite` stops; its NaN is 0x7F.
//! - `e2m1`: sign, 2 exponent bits (bias 1), 1 mantissa bit; no infinities, no NaN; the largest value
//!   is 0x7 = 6.
//!
//! `cvt.rn.satfinite` to either: round to nearest, ties to the even code; a magnitude above the
//! largest finite value (∞ included) gives the largest finite value with the input's sign. NaN gives
//! 0x7F in e4m3 and e5m2 and, there being no NaN in e2m1, positive MAX_NORM (0x7). Zero keeps its sign.
//!
//! Rounding is a search among the format's values, so nothing here resembles the shifts and masks
//! that kernels and the reference use. A midpoint between neighbouring values is exact in `f32`.

use std::sync::LazyLock;

/// The magnitudes of a format's non-negative finite codes, ascending, and the midpoints between.
struct Grid {
    values: Vec<f32>,
    midpoints: Vec<f32>,
}

impl Grid {
    /// `codes` finite codes with `mantissa_bits` bits of mantissa and the given exponent bias.
    fn new(codes: u32, mantissa_bits: i32, bias: i32) -> Self {
        let values: Vec<f32> = (0..codes)
            .map(|code| {
                let exponent = (code >> mantissa_bits) as i32;
                let mantissa = (code & ((1 << mantissa_bits) - 1)) as f32;
                let step = |e: i32| 2f32.powi(e - bias - mantissa_bits);
                if exponent == 0 {
                    mantissa * step(1)
                } else {
                    (mantissa + 2f32.powi(mantissa_bits)) * step(exponent)
                }
            })
            .collect();
        let midpoints = values.windows(2).map(|pair| (pair[0] + pair[1]) / 2.0).collect();
        Self { values, midpoints }
    }

    /// The code of the value nearest to `magnitude`, which is not NaN; of two, the even code.
    fn nearest(&self, magnitude: f32) -> u8 {
        let below = self.midpoints.partition_point(|&m| m < magnitude);
        let tie = self.midpoints.get(below) == Some(&magnitude);
        (below + usize::from(tie && below % 2 == 1)) as u8
    }
}

static E4M3: LazyLock<Grid> = LazyLock::new(|| Grid::new(0x7f, 3, 7));
static E5M2: LazyLock<Grid> = LazyLock::new(|| Grid::new(0x7c, 2, 15));
static E2M1: LazyLock<Grid> = LazyLock::new(|| Grid::new(8, 1, 1));

/// `cvt.rn.satfinite.e4m3x2.f32`, one element: the E4M3 byte of an `f32`.
#[must_use]
pub fn e4m3_from_f32(x: f32) -> u8 {
    if x.is_nan() {
        return 0x7f;
    }
    E4M3.nearest(x.abs()) | u8::from(x.is_sign_negative()) << 7
}

/// `cvt.rn.satfinite.e5m2x2.f32`, one element: the E5M2 byte of an `f32`.
#[must_use]
pub fn e5m2_from_f32(x: f32) -> u8 {
    if x.is_nan() {
        return 0x7f;
    }
    E5M2.nearest(x.abs()) | u8::from(x.is_sign_negative()) << 7
}

/// `cvt.rn.satfinite.e2m1x2.f32`, one element: the E2M1 nibble of an `f32`.
#[must_use]
pub fn e2m1_from_f32(x: f32) -> u8 {
    if x.is_nan() {
        return 0x7;
    }
    E2M1.nearest(x.abs()) | u8::from(x.is_sign_negative()) << 3
}

/// The value of an E4M3 byte; NaN for 0x7F and 0xFF.
#[must_use]
pub fn e4m3_to_f32(byte: u8) -> f32 {
    let magnitude = E4M3.values.get(usize::from(byte & 0x7f)).copied().unwrap_or(f32::NAN);
    if byte & 0x80 == 0 { magnitude } else { -magnitude }
}

/// The value of an E2M1 nibble.
#[must_use]
pub fn e2m1_to_f32(nibble: u8) -> f32 {
    let magnitude = E2M1.values[usize::from(nibble & 7)];
    if nibble & 8 == 0 { magnitude } else { -magnitude }
}

/// The codes of every `f32`, by its upper 16 bits and whether any lower bit is set.
///
/// Midpoints of all formats have at most 4 fraction bits, so that the lower 16 bits can only say
/// "above a tie or not", which the last of the upper bits then says as well.
pub(super) struct Table(Vec<u8>);

impl Table {
    fn new(code: fn(f32) -> u8) -> Self {
        Self((0..=u32::from(u16::MAX)).map(|high| code(f32::from_bits(high << 16))).collect())
    }

    pub(super) fn e4m3() -> &'static Self {
        static TABLE: LazyLock<Table> = LazyLock::new(|| Table::new(e4m3_from_f32));
        &TABLE
    }

    pub(super) fn e5m2() -> &'static Self {
        static TABLE: LazyLock<Table> = LazyLock::new(|| Table::new(e5m2_from_f32));
        &TABLE
    }

    pub(super) fn e2m1() -> &'static Self {
        static TABLE: LazyLock<Table> = LazyLock::new(|| Table::new(e2m1_from_f32));
        &TABLE
    }

    /// The code of the `f32` with these bits.
    pub(super) fn code(&self, bits: u64) -> u64 {
        let key = bits >> 16 & 0xffff | u64::from(bits & 0xffff != 0);
        u64::from(self.0[key as usize])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_equal_their_functions() {
        for high in 0..=u32::from(u16::MAX) {
            for low in [0, 1, 2, 0x7fff, 0x8000, 0xfffe, 0xffff] {
                let bits = high << 16 | low;
                let x = f32::from_bits(bits);
                let bits = u64::from(bits);
                assert_eq!(Table::e4m3().code(bits), u64::from(e4m3_from_f32(x)), "{x:e}");
                assert_eq!(Table::e5m2().code(bits), u64::from(e5m2_from_f32(x)), "{x:e}");
                assert_eq!(Table::e2m1().code(bits), u64::from(e2m1_from_f32(x)), "{x:e}");
            }
        }
    }
}
