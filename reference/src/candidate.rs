//! What a block scale makes of 16 elements, and how far from them it is.

use crate::e2m1::E2m1;
use crate::e4m3::E4m3;
use crate::fp16::Fp16;
use crate::rule::{ErrorPath, Metric};
use crate::scale::{GlobalScale, block_encode_scale};

/// Sixteen consecutive elements of a row.
pub type Row16 = [f32; 16];

/// A scale that a block could take, and the error it would make.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Candidate {
    /// The block scale.
    pub scale: E4m3,
    /// The error, in the metric and domain of the rule.
    pub error: f32,
}

/// Step 5: the codes of 16 elements under a block scale.
#[must_use]
pub fn encode_row(row: &Row16, scale: E4m3, global: &GlobalScale) -> [E2m1; 16] {
    let encode = block_encode_scale(scale, global);
    row.map(|x| E2m1::from_f32(x * encode))
}

/// Steps 6 and 7: the error of 16 elements under a block scale, the terms added in element order, from 0.
///
/// NaN where a difference is NaN, ∞ where one overflows.
#[must_use]
pub fn row_error(
    row: &Row16,
    scale: E4m3,
    global: &GlobalScale,
    metric: Metric,
    error_path: ErrorPath,
) -> f32 {
    let codes = encode_row(row, scale, global);
    let (scale, half_scale) = (scale.to_f32(), Fp16::from_e4m3(scale));
    let mut error = 0.0;
    for (&x, code) in row.iter().zip(codes) {
        let difference = match error_path {
            ErrorPath::Strict => strict_difference(x, code, scale, global),
            ErrorPath::Fast => fast_difference(x, code, half_scale, global),
        };
        let term = match metric {
            Metric::Mae => difference.abs(),
            Metric::Mse => difference * difference,
        };
        error += term;
    }
    error
}

/// Step 6, strict: the dequantized value less the input, in FP32.
fn strict_difference(x: f32, code: E2m1, scale: f32, global: &GlobalScale) -> f32 {
    let product = code.to_f32() * scale;
    let scaled = product * global.amax;
    let value = scaled / global.range();
    value - x
}

/// Step 6, fast: the FP16 product of code and scale less the input in the scaled domain.
fn fast_difference(x: f32, code: E2m1, scale: Fp16, global: &GlobalScale) -> f32 {
    let product = Fp16::from_e2m1(code).product(scale);
    let target = x * global.encode;
    product.to_f32() - target
}

/// Step 8: the sum of a tile's 16 row errors: halves added to each other, 8, 4, 2, 1.
#[must_use]
pub fn tile_error(rows: [f32; 16]) -> f32 {
    let eight: [f32; 8] = std::array::from_fn(|i| rows[i] + rows[i + 8]);
    let four: [f32; 4] = std::array::from_fn(|i| eight[i] + eight[i + 4]);
    let two: [f32; 2] = std::array::from_fn(|i| four[i] + four[i + 2]);
    two[0] + two[1]
}
