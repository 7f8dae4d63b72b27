//! The 8- and 4-bit formats, stated from the PTX ISA ("alternate floating-point data formats").
//!
//! - `e4m3`: sign, 4 exponent bits (bias 7), 3 mantissa bits; no infinities; NaN is 0x7F and 0xFF, so
//!   the largest finite value is 0x7E = 448.
//! - `e2m1`: sign, 2 exponent bits (bias 1), 1 mantissa bit; no infinities, no NaN; the largest value
//!   is 0x7 = 6.
//!
//! `cvt.rn.satfinite` to either: round to nearest, ties to the even code; a magnitude above the
//! largest finite value (∞ included) gives the largest finite value with the input's sign. NaN gives
//! 0x7F in e4m3 and, there being no NaN in e2m1, positive MAX_NORM (0x7). Zero keeps its sign.
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
static E2M1: LazyLock<Grid> = LazyLock::new(|| Grid::new(8, 1, 1));

/// `cvt.rn.satfinite.e4m3x2.f32`, one element: the E4M3 byte of an `f32`.
#[must_use]
pub fn e4m3_from_f32(x: f32) -> u8 {
    if x.is_nan() {
        return 0x7f;
    }
    E4M3.nearest(x.abs()) | u8::from(x.is_sign_negative()) << 7
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
