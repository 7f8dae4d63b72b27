//! FP8 tensors as they are written: E4M3 codes and one scale for each row (output channel), as
//! compressed-tensors' `float-quantized` and ModelOpt's `FP8_PER_CHANNEL_PER_TOKEN` have them.
//!
//! The scale of a row is `s = fl32(amax / 448)`, its codes are `E4M3(fl32(w / s))`, rounded to nearest
//! even and saturated at ±448. A row of zeros has scale 1; another scale is at least 2^-126, so that
//! no consumer that flushes subnormal numbers divides by zero. NaN and infinities, where they are
//! allowed, count in no maximum: NaN becomes +448, infinities ±448.

use fouroversix_core::{Deviation, Element};
use fouroversix_cpu::formats::{self, E4M3};
use rayon::prelude::*;

use super::format::{Format, Values};
use super::header::{Dtype, TensorEntry};

/// The largest E4M3 number.
const LARGEST: f32 = 448.0;

/// The tensors that replace `entry`, a matrix: its codes under its own name, and its scales.
pub(crate) fn entries(entry: &TensorEntry, format: Format) -> Vec<TensorEntry> {
    let rows = entry.shape[0];
    let part = |name: String, dtype: &str, shape: Vec<usize>| TensorEntry {
        name,
        dtype: Dtype::new(dtype),
        shape,
        range: 0..0,
    };
    let scales = match format {
        Format::CompressedTensors => vec![rows, 1],
        Format::ModelOpt => vec![rows],
    };
    vec![
        part(entry.name.clone(), "F8_E4M3", entry.shape.clone()),
        part(format!("{}_scale", entry.name), "F32", scales),
    ]
}

/// Quantizes rows of `cols` elements: a byte of `codes` for each, four little-endian bytes of `scales`
/// for each row. What was lost, if `figures` are wanted.
///
/// # Panics
/// If `codes` or `scales` are not as long as that.
pub(crate) fn quantize_rows(
    values: Values<'_>,
    cols: usize,
    codes: &mut [u8],
    scales: &mut [u8],
    figures: bool,
) -> Deviation {
    match values {
        Values::Bf16(values) => rows_of(values, cols, codes, scales, figures),
        Values::F16(values) => rows_of(values, cols, codes, scales, figures),
        Values::F32(values) => rows_of(values, cols, codes, scales, figures),
    }
}

fn rows_of<T: Element>(
    values: &[T],
    cols: usize,
    codes: &mut [u8],
    scales: &mut [u8],
    figures: bool,
) -> Deviation {
    assert_eq!((codes.len(), scales.len() * cols), (values.len(), values.len() * 4));
    let rows = values.par_chunks_exact(cols).zip(codes.par_chunks_exact_mut(cols));
    let deviations: Vec<Deviation> = rows
        .zip(scales.par_chunks_exact_mut(4))
        .map(|((row, codes), stored)| {
            let scale = scale(row);
            stored.copy_from_slice(&scale.to_le_bytes());
            for (code, value) in codes.iter_mut().zip(row) {
                *code = e4m3(value.to_f32() / scale);
            }
            if figures { deviation(row, codes, scale) } else { Deviation::default() }
        })
        .collect();
    // In the rows' order, so that the sums are the same every time.
    deviations.into_iter().fold(Deviation::default(), |sum, row| sum + row)
}

/// The scale of a row.
fn scale<T: Element>(row: &[T]) -> f32 {
    let finite = |value: f32| if value.is_finite() { value.abs() } else { 0.0 };
    let amax = row.iter().fold(0.0_f32, |amax, value| amax.max(finite(value.to_f32())));
    if amax == 0.0 { 1.0 } else { (amax / LARGEST).max(f32::MIN_POSITIVE) }
}

/// E4M3 of a number, to nearest even, saturated; +448 of NaN.
pub(crate) fn e4m3(value: f32) -> u8 {
    let magnitude = if value.is_nan() { LARGEST } else { value.abs().min(LARGEST) };
    let sign = if value.is_sign_negative() && !value.is_nan() { 0x80 } else { 0 };
    sign | formats::e4m3(magnitude)
}

/// What a row lost, by the values that loaders compute: `fl32(code · scale)`.
fn deviation<T: Element>(row: &[T], codes: &[u8], scale: f32) -> Deviation {
    let mut sum = Deviation::default();
    for (value, &code) in row.iter().zip(codes) {
        let value = f64::from(value.to_f32());
        let error = f64::from(E4M3[usize::from(code)] * scale) - value;
        sum.squared_error += error * error;
        sum.input_power += value * value;
        sum.max_error = sum.max_error.max(error.abs());
    }
    sum
}

#[cfg(test)]
mod tests {
    use half::bf16;

    use super::*;

    /// The nearest E4M3 number by trying all, ties to the even code.
    fn nearest(value: f32) -> u8 {
        let sign = if value.is_sign_negative() { 0x80 } else { 0 };
        let distance =
            |code: u8| (f64::from(E4M3[usize::from(code)]) - f64::from(value.abs())).abs();
        let codes = 0..=0x7E_u8;
        let least = codes.clone().map(distance).fold(f64::INFINITY, f64::min);
        let nearest: Vec<u8> = codes.filter(|&code| distance(code) == least).collect();
        sign | *nearest.iter().find(|&code| code % 2 == 0).unwrap_or(&nearest[0])
    }

    #[test]
    fn codes_are_the_nearest_numbers() {
        let mut state = 1_u32;
        for _ in 0..200_000 {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            // Exponents from 2^-13 to 2^10.
            let bits = (state & 0x807F_FFFF) | ((114 + (state >> 23) % 24) << 23);
            let value = f32::from_bits(bits);
            assert_eq!(e4m3(value), nearest(value), "{value:e}");
        }
        for code in 0..0x7E_u8 {
            let [low, high] = [code, code + 1].map(|code| E4M3[usize::from(code)]);
            let middle = (low + high) / 2.0;
            for value in [low, middle, middle.next_down(), middle.next_up(), -low, -middle] {
                assert_eq!(e4m3(value), nearest(value), "{value:e}");
            }
        }
        for (value, code) in [
            (0.0, 0),
            (-0.0, 0x80),
            (1e-30, 0),
            (464.1, 0x7E),
            (f32::INFINITY, 0x7E),
            (f32::NEG_INFINITY, 0xFE),
            (f32::NAN, 0x7E),
            (-f32::NAN, 0x7E),
        ] {
            assert_eq!(e4m3(value), code, "{value}");
        }
    }

    #[test]
    fn rows_have_scales_of_their_own() {
        let row = |values: [f32; 4]| {
            let (mut codes, mut scale) = ([0; 4], [0; 4]);
            let lost = quantize_rows(Values::F32(&values), 4, &mut codes, &mut scale, true);
            (codes, f32::from_le_bytes(scale), lost)
        };
        // 448 · 2^-10 · {1, 1/2, −1/448, 0}: exact.
        let (codes, scale, lost) = row([0.4375, 0.21875, -0.000_976_562_5, 0.0]);
        assert_eq!((codes, scale), ([0x7E, 0x76, 0xB8, 0], 0.000_976_562_5));
        assert_eq!(lost.squared_error, 0.0);
        assert_eq!(row([0.0; 4]).1, 1.0);
        assert_eq!(row([1e-42, 0.0, 0.0, 0.0]).1, f32::MIN_POSITIVE);
        let (codes, scale, _) = row([f32::INFINITY, 448.0, f32::NAN, f32::NEG_INFINITY]);
        assert_eq!((codes, scale), ([0x7E, 0x7E, 0x7E, 0xFE], 1.0));
        assert_eq!(row([f32::INFINITY, 0.0, 0.0, 0.0]).1, 1.0);
    }

    #[test]
    fn the_figures_are_those_of_the_rows() {
        let values: Vec<bf16> =
            (0..96_i16).map(|i| bf16::from_f32(f32::from(i * 7 % 31))).collect();
        let (mut codes, mut scales) = (vec![0; 96], vec![0; 24]);
        let lost = quantize_rows(Values::Bf16(&values), 16, &mut codes, &mut scales, true);
        let power: f64 = values.iter().map(|v| f64::from(v.to_f32()).powi(2)).sum();
        assert_eq!(lost.input_power, power);
        // Half a step of three bits, relative to the number.
        assert!(lost.squared_error > 0.0 && lost.relative_mse() < 1.0 / 256.0);
    }
}
