//! Dequantization on the CPU: the public entry points.

use crate::cpu::{self, Path};
use crate::element::Element;
use crate::error::Error;
use crate::tensor::{Nvfp4Tensor, Nvfp4View};

/// The values of a quantized tensor, `[rows, cols]` row-major.
///
/// `cast(fl(q · fl(fl(s · amax) · fl(1/(6·A)))))` for element code `q` and block scale `s`, each
/// step FP32 rounded to nearest even, the cast to `T` to nearest even: the order of
/// TransformerEngine's `dequantize_nvfp4.cuh`. A scale byte of 0x7F or 0xFF is NaN and gives NaN.
///
/// # Errors
/// None for a tensor in hand today; kept so that later layouts can refuse.
pub fn dequantize<T: Element>(tensor: &Nvfp4Tensor) -> Result<Vec<T>, Error> {
    let [rows, cols] = tensor.shape();
    let mut out = vec![T::from_f32(0.0); rows * cols];
    dequantize_into(tensor.view(), &mut out)?;
    Ok(out)
}

/// [`dequantize`] into the caller's buffer of `rows·cols` elements.
///
/// # Errors
/// [`Error::Dimension`] or [`Error::Length`] when a buffer of `tensor` does not suit its shape, or
/// `out` has another length than `rows·cols`.
pub fn dequantize_into<T: Element>(tensor: Nvfp4View<'_>, out: &mut [T]) -> Result<(), Error> {
    cpu::dequantize_into(Path::detect(), tensor, out)
}

/// How far a quantized tensor is from its input.
///
/// Sums are taken in FP64 over FP32 dequantized values; those of panels of a tensor add up.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Deviation {
    /// Sum of squared differences.
    pub squared_error: f64,
    /// Sum of the squared inputs.
    pub input_power: f64,
    /// Largest absolute difference.
    pub max_error: f64,
}

impl Deviation {
    /// Squared error over input power; 0 for an input of zeros that came back as zeros.
    #[must_use]
    pub fn relative_mse(self) -> f64 {
        if self.squared_error == 0.0 { 0.0 } else { self.squared_error / self.input_power }
    }

    /// Signal to quantization noise in decibels; infinite when nothing was lost.
    #[must_use]
    pub fn sqnr_db(self) -> f64 {
        -10.0 * self.relative_mse().log10()
    }
}

impl std::ops::Add for Deviation {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            squared_error: self.squared_error + other.squared_error,
            input_power: self.input_power + other.input_power,
            max_error: self.max_error.max(other.max_error),
        }
    }
}

impl std::iter::Sum for Deviation {
    fn sum<I: Iterator<Item = Self>>(parts: I) -> Self {
        parts.fold(Self::default(), |sum, part| sum + part)
    }
}

/// Compares a quantized tensor with the input it was made from, without holding its values.
///
/// # Errors
/// As [`dequantize_into`], `input` taking the place of `out`.
pub fn deviation<T: Element>(tensor: Nvfp4View<'_>, input: &[T]) -> Result<Deviation, Error> {
    cpu::deviation(tensor, input)
}
