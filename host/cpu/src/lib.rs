//! The CPU path of fouroversix: which instruction set runs, and functions that let a caller choose
//! it.
//!
//! Those of the crate `fouroversix` use [`Path::detect`]. All paths give the same bits.

mod amax;
#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
pub(crate) mod block_scale;
pub(crate) mod decision;
mod decode;
pub(crate) mod dispatch;
mod element;
mod formats;
pub(crate) mod group;
pub(crate) mod kernel;
mod lines;
mod map4;
#[cfg(target_arch = "aarch64")]
mod neon;
mod panels;
mod portable;
mod scalar;
mod scale;
#[cfg(test)]
mod tests;
pub(crate) mod tile;
pub(crate) mod vector;

use std::sync::OnceLock;

use fouroversix_core::shape::{check_shape, expect_length};
use fouroversix_core::{
    Amax, Choices, Config, Deviation, Element, Error, Nvfp4Mut, Nvfp4View, Quantized, QuantizedMut,
    Scaling, ValuesMut,
};

use element::{CpuElement, with_values};
use lines::{Lines, Source};
pub use map4::map4;

/// An implementation of the CPU kernels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Path {
    /// One element at a time, the contract's steps as they stand.
    Scalar,
    /// The vector kernel in plain Rust.
    Portable,
    /// AVX2 and FMA.
    #[cfg(target_arch = "x86_64")]
    Avx2,
    /// AVX-512 F and BW.
    #[cfg(target_arch = "x86_64")]
    Avx512,
    /// NEON, little-endian.
    #[cfg(target_arch = "aarch64")]
    Neon,
}

impl Path {
    /// The best path of this machine, or the one named by the environment variable
    /// `FOUROVERSIX_CPU` if it is available. Found out once.
    #[must_use]
    pub fn detect() -> Self {
        static PATH: OnceLock<Path> = OnceLock::new();
        *PATH.get_or_init(|| {
            let paths = Self::available();
            let named = std::env::var("FOUROVERSIX_CPU").ok();
            let named = paths.iter().find(|path| named.as_deref() == Some(path.name()));
            *named.unwrap_or(&paths[0])
        })
    }

    /// Every path that runs on this machine, best first.
    #[must_use]
    pub fn available() -> Vec<Self> {
        let mut paths = Vec::new();
        #[cfg(target_arch = "x86_64")]
        if is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512bw") {
            paths.push(Self::Avx512);
        }
        #[cfg(target_arch = "x86_64")]
        if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
            paths.push(Self::Avx2);
        }
        #[cfg(target_arch = "aarch64")]
        if cfg!(target_endian = "little") {
            paths.push(Self::Neon);
        }
        // The kernel takes pairs of 16-bit elements apart as little-endian words.
        if cfg!(target_endian = "little") {
            paths.push(Self::Portable);
        }
        paths.push(Self::Scalar);
        paths
    }

    fn check(self) -> Result<(), Error> {
        if Self::available().contains(&self) {
            Ok(())
        } else {
            Err(Error::CpuPath { path: self.name() })
        }
    }

    /// Its name in lower case.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Scalar => "scalar",
            Self::Portable => "portable",
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => "avx2",
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => "avx512",
            #[cfg(target_arch = "aarch64")]
            Self::Neon => "neon",
        }
    }

    /// Lanes of the vector kernel.
    const fn lanes(self) -> usize {
        match self {
            Self::Scalar => 1,
            Self::Portable => 8,
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => 8,
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => 16,
            #[cfg(target_arch = "aarch64")]
            Self::Neon => 4,
        }
    }
}

/// `fouroversix::quantize_outputs` on a chosen path.
///
/// # Errors
/// As `fouroversix::quantize_outputs`; and [`Error::CpuPath`] when the path does not run here.
pub fn quantize_outputs<T: Element>(
    path: Path,
    input: &[T],
    shape: [usize; 2],
    config: &Config,
    amax: Option<Amax<'_>>,
) -> Result<Quantized, Error> {
    check_shape(input.len(), shape, config)?;
    let mut quantized = Quantized::zeroed(shape, config);
    quantize_into(path, input, shape, config, amax, quantized.parts_mut())?;
    Ok(quantized)
}

/// `fouroversix::quantize_into` on a chosen path.
///
/// # Errors
/// As `fouroversix::quantize_into`; and [`Error::CpuPath`] when the path does not run here.
pub fn quantize_into<T: Element>(
    path: Path,
    input: &[T],
    shape: [usize; 2],
    config: &Config,
    amax: Option<Amax<'_>>,
    out: QuantizedMut<'_>,
) -> Result<Choices, Error> {
    with_values!(input, |input| quantize_values(path, input, shape, config, amax, out))
}

fn quantize_values<T: CpuElement>(
    path: Path,
    input: &[T],
    shape: [usize; 2],
    config: &Config,
    amax: Option<Amax<'_>>,
    out: QuantizedMut<'_>,
) -> Result<Choices, Error> {
    path.check()?;
    check_shape(input.len(), shape, config)?;
    let [rows, cols] = shape;
    let QuantizedMut { mut rowwise, mut columnwise } = out;
    check_outputs(config, rowwise.as_ref(), columnwise.as_ref())?;
    check_buffers(rowwise.as_ref(), [rows, cols], config)?;
    check_buffers(columnwise.as_ref(), [cols, rows], config)?;

    let given = fill_amax(path, input, config, amax, &mut rowwise, &mut columnwise)?;
    let lines = Lines { path, config, amax_given: given };
    let mut choices = Choices::default();
    if let Some(out) = rowwise {
        choices = choices + lines.quantize(Source::rows(input, shape), out);
    }
    if let Some(out) = columnwise {
        choices = choices + lines.quantize(Source::columns(input, shape), out);
    }
    Ok(choices)
}

/// `fouroversix::amax` on a chosen path.
///
/// # Errors
/// [`Error::CpuPath`] when the path does not run here.
pub fn amax<T: Element>(path: Path, input: &[T]) -> Result<f32, Error> {
    path.check()?;
    Ok(with_values!(input, |input| amax::tensor(path, input)))
}

/// `fouroversix::row_amax` on a chosen path.
///
/// # Errors
/// As `fouroversix::row_amax`; and [`Error::CpuPath`].
pub fn row_amax<T: Element>(
    path: Path,
    input: &[T],
    shape: [usize; 2],
    out: &mut [f32],
) -> Result<(), Error> {
    path.check()?;
    let [rows, cols] = shape;
    expect_length("the input", input.len(), rows.saturating_mul(cols))?;
    expect_length("the row amax buffer", out.len(), rows)?;
    with_values!(input, |input| amax::rows(path, input, cols, out));
    Ok(())
}

/// `fouroversix::dequantize_into` on a chosen path.
///
/// # Errors
/// As `fouroversix::dequantize_into`; and [`Error::CpuPath`].
pub fn dequantize_into<T: Element>(
    path: Path,
    tensor: Nvfp4View<'_>,
    out: &mut [T],
) -> Result<(), Error> {
    path.check()?;
    tensor.check()?;
    expect_length("the output", out.len(), tensor.shape[0] * tensor.shape[1])?;
    match T::values_mut(out) {
        ValuesMut::Bf16(out) => decode::dequantize(path, &tensor, out),
        ValuesMut::F16(out) => decode::dequantize(path, &tensor, out),
        ValuesMut::F32(out) => decode::dequantize(path, &tensor, out),
    }
    Ok(())
}

/// Compares a quantized tensor with the input it was made from, without holding its values.
///
/// # Errors
/// As [`dequantize_into`], `input` taking the place of `out`.
pub fn deviation<T: Element>(tensor: Nvfp4View<'_>, input: &[T]) -> Result<Deviation, Error> {
    tensor.check()?;
    expect_length("the input", input.len(), tensor.shape[0] * tensor.shape[1])?;
    Ok(with_values!(input, |input| decode::deviation(&tensor, input)))
}

fn check_outputs(
    config: &Config,
    rowwise: Option<&Nvfp4Mut<'_>>,
    columnwise: Option<&Nvfp4Mut<'_>>,
) -> Result<(), Error> {
    let configured = config.outputs();
    let passed = match (rowwise.is_some(), columnwise.is_some()) {
        found if found == (configured.rowwise(), configured.columnwise()) => return Ok(()),
        (true, false) => "rowwise",
        (false, true) => "columnwise",
        (true, true) => "both outputs",
        (false, false) => "none",
    };
    Err(Error::Outputs { configured, passed })
}

fn check_buffers(
    out: Option<&Nvfp4Mut<'_>>,
    [rows, cols]: [usize; 2],
    config: &Config,
) -> Result<(), Error> {
    let Some(out) = out else { return Ok(()) };
    expect_length("the code buffer", out.codes.len(), rows * cols / 2)?;
    let scale_bytes = config.scale_layout().bytes(rows, cols);
    expect_length("the scale buffer", out.scales.len(), scale_bytes)?;
    let amax_count = if config.scaling() == Scaling::Row { rows } else { 1 };
    Ok(expect_length("the global amax buffer", out.global_amax.len(), amax_count)?)
}

/// Puts the supplied amax, or with one amax for the tensor the computed one, into the outputs.
/// Returns whether they hold it: with row scaling each row's is left to be computed with the row.
fn fill_amax<T: CpuElement>(
    path: Path,
    input: &[T],
    config: &Config,
    supplied: Option<Amax<'_>>,
    rowwise: &mut Option<Nvfp4Mut<'_>>,
    columnwise: &mut Option<Nvfp4Mut<'_>>,
) -> Result<bool, Error> {
    let by_row = config.scaling() == Scaling::Row;
    let (one_for_rows, one_for_columns);
    let (rows, columns): (&[f32], Option<&[f32]>) = match supplied {
        None if by_row => return Ok(false),
        None => {
            one_for_rows = [amax::tensor(path, input)];
            (&one_for_rows, Some(&one_for_rows))
        }
        Some(Amax::Tensor(value)) if !by_row => {
            one_for_columns = [value];
            (&one_for_columns, Some(&one_for_columns))
        }
        Some(Amax::Rows(rows)) if by_row => (rows, None),
        Some(Amax::RowsAndColumns { rows, columns }) if by_row => (rows, Some(columns)),
        Some(_) if by_row => return Err(Error::AmaxKind { expected: "one for each row" }),
        Some(_) => return Err(Error::AmaxKind { expected: "one for the tensor" }),
    };
    if let Some(out) = rowwise {
        copy_amax("the supplied row amax", rows, out.global_amax)?;
    }
    if let Some(out) = columnwise {
        let columns =
            columns.ok_or(Error::AmaxKind { expected: "one for each row and each column" })?;
        copy_amax("the supplied column amax", columns, out.global_amax)?;
    }
    Ok(true)
}

fn copy_amax(buffer: &'static str, from: &[f32], to: &mut [f32]) -> Result<(), Error> {
    expect_length(buffer, from.len(), to.len())?;
    match from.iter().position(|value| value.is_nan() || *value < 0.0) {
        Some(index) => Err(Error::Amax { index, value: from[index] }),
        None => {
            to.copy_from_slice(from);
            Ok(())
        }
    }
}
