//! Quantization on the CPU: the public entry points.

use fouroversix_core::{
    Amax, Choices, Config, Element, Error, InputShape, Nvfp4Tensor, Quantized, QuantizedMut,
};
use fouroversix_cpu::{self as cpu, Path};

/// Quantizes a tensor.
///
/// `input` is row-major `[rows, cols]` of `shape`, in elements. Leading dimensions are flattened,
/// and rows may lie apart: see [`InputShape`]. Every step is an FP32 operation
/// rounded to nearest even, in the order of TransformerEngine's `quantize_4over6_nvfp4.cuh`; the
/// CPU path in use never changes a bit. NaN does not count in maxima and becomes code 7; with an
/// infinite element the global scale is 1; zeros keep their sign; a block of zeros has scale 0.
/// An empty tensor gives an empty output.
///
/// The output is the configured one: of the input, or with [`Outputs::Columnwise`](crate::Outputs::Columnwise) of its transpose.
///
/// # Errors
/// [`ShapeError::Dimension`](crate::ShapeError::Dimension) when `cols` is not a multiple of 16, or
/// `rows` is not and the scaling is [`Scaling::Tile`](crate::Scaling::Tile) or the output
/// columnwise. [`ShapeError::Length`](crate::ShapeError::Length) when `input` does not have
/// `rows·cols` elements, or with a row stride those and the gaps between rows;
/// [`ShapeError::Stride`](crate::ShapeError::Stride) when rows overlap. [`Error::Outputs`] when both outputs are configured: see [`quantize_both`].
///
/// # Examples
/// ```
/// use fouroversix::{Config, Rule};
///
/// let weights: Vec<f32> = (0..32).map(|i| (i as f32).sin()).collect();
/// let tensor = fouroversix::quantize(&weights, [2, 16], &Config::rowwise(Rule::MSE))?;
/// assert_eq!(tensor.codes().len(), 16);
/// let back: Vec<f32> = fouroversix::dequantize(&tensor)?;
/// assert!(back.iter().zip(&weights).all(|(b, w)| (b - w).abs() < 0.2));
/// # Ok::<(), fouroversix::Error>(())
/// ```
///
/// A batch, and the first 32 of 48 columns:
/// ```
/// use fouroversix::{Config, InputShape, quantize};
///
/// let (input, config) = (vec![1.0_f32; 2 * 3 * 48], Config::default());
/// let batch = quantize(&input, [2, 3, 48], &config)?;
/// assert_eq!(batch.shape(), [6, 48]);
/// let part = quantize(&input, InputShape::from([6, 32]).with_row_stride(48), &config)?;
/// assert_eq!(part.shape(), [6, 32]);
/// # Ok::<(), fouroversix::Error>(())
/// ```
pub fn quantize<T: Element>(
    input: &[T],
    shape: impl Into<InputShape>,
    config: &Config,
) -> Result<Nvfp4Tensor, Error> {
    config.outputs().expect_one()?;
    let quantized = quantize_outputs(input, shape, config, None)?;
    Ok(quantized.into_one().expect("one output is configured"))
}

/// [`quantize`] with the global amax supplied.
///
/// # Errors
/// As [`quantize`]; and [`Error::AmaxKind`], [`Error::Amax`] or
/// [`ShapeError::Length`](crate::ShapeError::Length) when `amax` does not suit the scaling, holds
/// NaN or a negative number, or has the wrong length.
pub fn quantize_with_amax<T: Element>(
    input: &[T],
    shape: impl Into<InputShape>,
    config: &Config,
    amax: Amax<'_>,
) -> Result<Nvfp4Tensor, Error> {
    config.outputs().expect_one()?;
    let quantized = quantize_outputs(input, shape, config, Some(amax))?;
    Ok(quantized.into_one().expect("one output is configured"))
}

/// Quantizes a tensor and its transpose: both outputs of a configuration with [`Outputs::Both`](crate::Outputs::Both).
///
/// The first is of the input, `[rows, cols]`, the second of its transpose, `[cols, rows]`: what
/// the products of a training step read.
///
/// # Errors
/// As [`quantize`]; but [`Error::Outputs`] unless both outputs are configured.
///
/// # Examples
/// ```
/// use fouroversix::{Config, Outputs, quantize_both};
///
/// let config = Config::builder().outputs(Outputs::Both).build()?;
/// let [rowwise, columnwise] = quantize_both(&[1.0_f32; 16 * 32], [16, 32], &config)?;
/// assert_eq!((rowwise.shape(), columnwise.shape()), ([16, 32], [32, 16]));
/// # Ok::<(), fouroversix::Error>(())
/// ```
pub fn quantize_both<T: Element>(
    input: &[T],
    shape: impl Into<InputShape>,
    config: &Config,
) -> Result<[Nvfp4Tensor; 2], Error> {
    config.outputs().expect_both()?;
    let quantized = quantize_outputs(input, shape, config, None)?;
    Ok(quantized.into_both().expect("both outputs are configured"))
}

/// The configured outputs, whichever they are: for callers that are generic over [`Outputs`](crate::Outputs).
/// The others have [`quantize`] and [`quantize_both`].
///
/// # Errors
/// As [`quantize_with_amax`], any outputs being right.
pub fn quantize_outputs<T: Element>(
    input: &[T],
    shape: impl Into<InputShape>,
    config: &Config,
    amax: Option<Amax<'_>>,
) -> Result<Quantized, Error> {
    cpu::quantize_outputs(Path::detect()?, input, shape, config, amax)
}

/// [`quantize`] into the caller's buffers, and how often map4 was chosen.
///
/// Allocates nothing of the input's size. With `amax` given, panels of rows of a larger tensor may
/// be quantized one after the other and give the bytes of the whole (a panel starts at a multiple
/// of 16 rows with [`Scaling::Tile`](crate::Scaling::Tile), of 128 with a swizzled scale layout). For
/// stochastic rounding a panel has to know its place: [`ConfigBuilder::panel`](crate::ConfigBuilder::panel).
///
/// # Errors
/// As [`quantize_outputs`]; and [`Error::Outputs`] when `out` does not have the configured
/// outputs, [`ShapeError::Length`](crate::ShapeError::Length) when one of its buffers has the wrong length.
pub fn quantize_into<T: Element>(
    input: &[T],
    shape: impl Into<InputShape>,
    config: &Config,
    amax: Option<Amax<'_>>,
    out: QuantizedMut<'_>,
) -> Result<Choices, Error> {
    cpu::quantize_into(Path::detect()?, input, shape, config, amax, out)
}

/// The largest magnitude in `input`, NaN ignored; 0 when there is none.
///
/// It takes the best path of the machine, whatever `FOUROVERSIX_CPU` says: a name in it that is no path
/// can't be an error here.
#[must_use]
pub fn amax<T: Element>(input: &[T]) -> f32 {
    cpu::amax(Path::best(), input).expect("the best path is available")
}

/// The largest magnitude in each row of `input`, `[rows, cols]` row-major, NaN ignored.
///
/// # Errors
/// [`ShapeError::Length`](crate::ShapeError::Length) when `input` or `out` does not have the length that `shape` asks for; as [`quantize`] for strides.
pub fn row_amax<T: Element>(
    input: &[T],
    shape: impl Into<InputShape>,
    out: &mut [f32],
) -> Result<(), Error> {
    cpu::row_amax(Path::detect()?, input, shape, out)
}
