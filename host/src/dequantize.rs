//! Dequantization on the CPU: the public entry points.

use fouroversix_core::{Deviation, Element, Error, Nvfp4Tensor, Nvfp4View};
use fouroversix_cpu::{self as cpu, Path};

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
/// [`ShapeError::Dimension`](crate::ShapeError::Dimension) or [`ShapeError::Length`](crate::ShapeError::Length) when a buffer of `tensor` does not suit its shape, or
/// `out` has another length than `rows·cols`.
pub fn dequantize_into<T: Element>(tensor: Nvfp4View<'_>, out: &mut [T]) -> Result<(), Error> {
    cpu::dequantize_into(Path::detect()?, tensor, out)
}

/// Compares a quantized tensor with the input it was made from, without holding its values.
///
/// # Errors
/// As [`dequantize_into`], `input` taking the place of `out`.
pub fn deviation<T: Element>(tensor: Nvfp4View<'_>, input: &[T]) -> Result<Deviation, Error> {
    cpu::deviation(tensor, input)
}
