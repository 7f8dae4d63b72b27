//! The Hadamard transform of an output's rows before they are quantized (steps T1 and T2).
//!
//! An outlier spreads over its group of 16, so that it no longer sets the scale of its neighbours
//! alone. The group is the block of 1x16 that is quantized afterwards.

use crate::bf16::Bf16;
use crate::candidate::Row16;
use crate::fp16::Fp16;

/// The type of an input's elements. Transformed values are rounded to it, and nothing else is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Element {
    /// bfloat16.
    Bf16,
    /// IEEE binary16.
    Fp16,
    /// IEEE binary32.
    Fp32,
}

impl Element {
    /// The value of this type nearest to `value`, ties to even; binary16 and bfloat16 overflow to ∞.
    #[must_use]
    pub fn round(self, value: f32) -> f32 {
        match self {
            Self::Bf16 => Bf16::from_f32(value).to_f32(),
            Self::Fp16 => Fp16::from_f32(value).to_f32(),
            Self::Fp32 => value,
        }
    }
}

/// Which elements of a group change their sign before the transform: bit i is element i's.
///
/// No bit set is a transform too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SignMask(pub u16);

impl SignMask {
    /// The signs that TransformerEngine uses unless told otherwise.
    pub const TRANSFORMER_ENGINE: Self = Self(0xD7E8);

    /// Whether element `i` of a group changes its sign.
    #[must_use]
    pub const fn flips(self, i: usize) -> bool {
        self.0 >> i & 1 == 1
    }
}

/// Step T1: `T(H16/4 · diag(signs) · row)`, H16 being Sylvester's matrix in natural order.
///
/// Four rounds of sums and differences, 1, 2, 4 and 8 apart, each rounded in FP32; then a quarter,
/// which rounds subnormals only; then one rounding to the input's type. Sums that overflow go on as ∞
/// and NaN.
#[must_use]
pub fn transform_row(row: &Row16, signs: SignMask, element: Element) -> Row16 {
    let mut z: Row16 = std::array::from_fn(|i| if signs.flips(i) { -row[i] } else { row[i] });
    for distance in [1, 2, 4, 8] {
        for i in (0..16).filter(|i| i & distance == 0) {
            let (low, high) = (z[i], z[i + distance]);
            z[i] = low + high;
            z[i + distance] = low - high;
        }
    }
    z.map(|sum| {
        let quarter = sum * 0.25;
        element.round(quarter)
    })
}

/// Step T1 on every group of 16 of a row-major tensor whose rows are a multiple of 16 long.
///
/// What follows sees these values in place of the input, the amax too (step T2).
///
/// # Panics
/// If the number of elements is not a multiple of 16.
#[must_use]
pub fn transform(x: &[f32], signs: SignMask, element: Element) -> Vec<f32> {
    let (rows, rest) = x.as_chunks::<16>();
    assert!(rest.is_empty(), "groups have 16 elements");
    rows.iter().flat_map(|row| transform_row(row, signs, element)).collect()
}
