//! From codes and scales back to numbers.

use crate::bf16::Bf16;
use crate::e2m1::E2m1;
use crate::e4m3::E4m3;
use crate::fp16::Fp16;
use crate::quantize::Quantized;
use crate::rule::E4m3Max;

/// Step 12: the value of one code, `fl(q · fl(fl(s · amax) · fl(1 / (6·A))))`.
///
/// The order is TransformerEngine's. It is not that of the strict error, which divides by 6·A.
#[must_use]
pub fn dequantize(code: E2m1, scale: E4m3, amax: f32, e4m3_max: E4m3Max) -> f32 {
    let inverse_range = 1.0 / (6.0 * e4m3_max.value());
    let scaled = scale.to_f32() * amax;
    let factor = scaled * inverse_range;
    code.to_f32() * factor
}

impl Quantized {
    /// Every element in FP32, row-major `[rows, cols]`.
    #[must_use]
    pub fn dequantize(&self) -> Vec<f32> {
        let positions = (0..self.rows).flat_map(|row| (0..self.cols).map(move |col| (row, col)));
        positions
            .map(|(row, col)| {
                let amax = self.row_amax(row);
                dequantize(self.code(row, col), self.scale(row, col), amax, self.e4m3_max)
            })
            .collect()
    }

    /// Every element in bfloat16: the FP32 value, rounded to nearest, ties to even.
    #[must_use]
    pub fn dequantize_bf16(&self) -> Vec<Bf16> {
        self.dequantize().into_iter().map(Bf16::from_f32).collect()
    }

    /// Every element in binary16: the FP32 value, rounded to nearest, ties to even.
    #[must_use]
    pub fn dequantize_fp16(&self) -> Vec<Fp16> {
        self.dequantize().into_iter().map(Fp16::from_f32).collect()
    }
}
