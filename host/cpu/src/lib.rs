//! The CPU path of fouroversix: which instruction set runs, and functions that let a caller choose
//! it.
//!
//! Those of the crate `fouroversix` use [`Path::detect`]. All paths give the same bits.

#[cfg(target_endian = "big")]
compile_error!(
    "fouroversix-cpu has run on little-endian machines alone, and packs codes as they do: \
     build it for a little-endian target"
);

mod amax;
mod areas;
mod block;
mod bound;
mod candidate;
mod decode;
mod elements;
mod encode;
#[cfg(test)]
mod exhaustive;
pub mod formats;
mod group;
mod groups;
mod lane_scale;
mod lines;
mod map4;
mod measure;
mod method;
mod output;
mod path;
mod random;
mod rounding;
mod rules;
mod scale;
mod signs;
mod simd;
mod stochastic;
mod strip;
mod strips;
mod tasks;
#[cfg(test)]
mod tests;
mod tiles;
mod transform;
mod transformed_amax;
mod values;

use fouroversix_core::check_shape;
use fouroversix_core::shape::expect_length;
use fouroversix_core::{
    Amax, Choices, Config, Deviation, Element, Error, InputShape, Nvfp4Mut, Nvfp4View, Quantized,
    QuantizedMut, Scaling, Transforms, Values, ValuesMut,
};

use areas::Areas;
use group::Load;
use lines::Lines;
pub use map4::map4;
use method::Method;
pub use path::Path;
use rounding::Rounding;
use strip::Source;
use transform::Transform;
use transformed_amax::transformed;
use values::with_values;

/// `fouroversix::quantize_outputs` on a chosen path.
///
/// # Errors
/// As `fouroversix::quantize_outputs`; and [`Error::CpuPath`] when the path does not run here.
pub fn quantize_outputs<T: Element>(
    path: Path,
    input: &[T],
    shape: impl Into<InputShape>,
    config: &Config,
    amax: Option<Amax<'_>>,
) -> Result<Quantized, Error> {
    let shape = shape.into();
    check_shape(input.len(), shape, config)?;
    let mut quantized = Quantized::zeroed(shape.matrix(), config);
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
    shape: impl Into<InputShape>,
    config: &Config,
    amax: Option<Amax<'_>>,
    out: QuantizedMut<'_>,
) -> Result<Choices, Error> {
    let shape = shape.into();
    check_shape(input.len(), shape, config)?;
    let input = T::values(&input[..shape.extent()]);
    quantize_values(path, input, shape, config, amax, out)
}

fn quantize_values(
    path: Path,
    input: Values<'_>,
    shape: InputShape,
    config: &Config,
    amax: Option<Amax<'_>>,
    out: QuantizedMut<'_>,
) -> Result<Choices, Error> {
    path.check()?;
    let [rows, cols] = shape.matrix();
    let QuantizedMut { mut rowwise, mut columnwise } = out;
    check_outputs(config, rowwise.as_ref(), columnwise.as_ref())?;
    check_buffers(rowwise.as_ref(), [rows, cols], config)?;
    check_buffers(columnwise.as_ref(), [cols, rows], config)?;

    let amax_given = fill_amax(path, input, shape, config, amax, &mut rowwise, &mut columnwise)?;
    let run = Run { path, config, amax_given };
    Ok(with_values!(input, |input| run.outputs(input, shape, rowwise, columnwise)))
}

/// A quantization whose buffers are checked.
struct Run<'a> {
    path: Path,
    config: &'a Config,
    /// Whether the outputs' `global_amax` is filled in already.
    amax_given: bool,
}

impl Run<'_> {
    fn outputs<T: Load>(
        &self,
        input: &[T],
        shape: InputShape,
        rowwise: Option<Nvfp4Mut<'_>>,
        columnwise: Option<Nvfp4Mut<'_>>,
    ) -> Choices {
        let Self { path, config, amax_given } = *self;
        let rule = config.rule();
        let rounding = [false, true].map(|columns| Rounding::new(config.rounding(), columns));
        let transform = [false, true].map(|columns| transform(config, columns));
        let [of_rows, of_columns] = [0, 1].map(|side| {
            let (rounding, transform) = (&rounding[side], transform[side].as_ref());
            Method { path, rule, rounding, transform }
        });
        let rows = Source::rows(input, shape, config.panel());
        let Some(columnwise) = columnwise else {
            let quantize = |out| Lines { method: of_rows, config, amax_given }.quantize(rows, out);
            return rowwise.map_or_else(Choices::default, quantize);
        };
        let columns = Source::columns(input, shape, config.panel());
        let rowwise = rowwise.map(|out| (of_rows, rows, out));
        Areas { config, amax_given }.quantize(rowwise, (of_columns, columns, columnwise))
    }
}

/// The transform of the rowwise output, or of the columnwise one.
fn transform(config: &Config, columnwise: bool) -> Option<Transform> {
    let Transforms { rowwise: of_rows, columnwise: of_columns } = config.transforms();
    if columnwise { of_columns } else { of_rows }.map(Transform::new)
}

/// `fouroversix::amax` on a chosen path.
///
/// # Errors
/// [`Error::CpuPath`] when the path does not run here.
pub fn amax<T: Element>(path: Path, input: &[T]) -> Result<f32, Error> {
    path.check()?;
    Ok(tensor_amax(path, T::values(input), [input.len()].into()))
}

fn tensor_amax(path: Path, input: Values<'_>, shape: InputShape) -> f32 {
    with_values!(input, |input| amax::tensor(path, input, shape))
}

/// `fouroversix::row_amax` on a chosen path.
///
/// # Errors
/// As `fouroversix::row_amax`; and [`Error::CpuPath`].
pub fn row_amax<T: Element>(
    path: Path,
    input: &[T],
    shape: impl Into<InputShape>,
    out: &mut [f32],
) -> Result<(), Error> {
    path.check()?;
    let shape = shape.into();
    shape.check(input.len())?;
    expect_length("the row amax buffer", out.len(), shape.matrix()[0])?;
    rows_amax(path, T::values(&input[..shape.extent()]), shape, out);
    Ok(())
}

fn rows_amax(path: Path, input: Values<'_>, shape: InputShape, out: &mut [f32]) {
    with_values!(input, |input| amax::rows(path, input, shape, out));
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
    dequantize_values(path, &tensor, T::values_mut(out));
    Ok(())
}

fn dequantize_values(path: Path, tensor: &Nvfp4View<'_>, out: ValuesMut<'_>) {
    match out {
        ValuesMut::Bf16(out) => decode::dequantize(path, tensor, out),
        ValuesMut::F16(out) => decode::dequantize(path, tensor, out),
        ValuesMut::F32(out) => decode::dequantize(path, tensor, out),
    }
}

/// Compares a quantized tensor with the input it was made from, without holding its values.
///
/// # Errors
/// As [`dequantize_into`], `input` taking the place of `out`.
pub fn deviation<T: Element>(tensor: Nvfp4View<'_>, input: &[T]) -> Result<Deviation, Error> {
    tensor.check()?;
    expect_length("the input", input.len(), tensor.shape[0] * tensor.shape[1])?;
    Ok(deviation_of(&tensor, T::values(input)))
}

fn deviation_of(tensor: &Nvfp4View<'_>, input: Values<'_>) -> Deviation {
    with_values!(input, |input| decode::deviation(tensor, input))
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
fn fill_amax(
    path: Path,
    input: Values<'_>,
    shape: InputShape,
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
            let [of_rows, of_columns] = output_amaxes(path, input, shape, config);
            (one_for_rows, one_for_columns) = ([of_rows], [of_columns]);
            (&one_for_rows, Some(&one_for_columns))
        }
        Some(Amax::Tensor(value)) if !by_row => {
            one_for_rows = [value];
            (&one_for_rows, Some(&one_for_rows))
        }
        Some(Amax::Outputs { rowwise, columnwise }) if !by_row => {
            (one_for_rows, one_for_columns) = ([rowwise], [columnwise]);
            (&one_for_rows, Some(&one_for_columns))
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

/// Of the rowwise and of the columnwise output, where they are asked for.
fn output_amaxes(path: Path, input: Values<'_>, shape: InputShape, config: &Config) -> [f32; 2] {
    let outputs = config.outputs();
    let [of_rows, of_columns] = [transform(config, false), transform(config, true)];
    let as_it_is =
        outputs.rowwise() && of_rows.is_none() || outputs.columnwise() && of_columns.is_none();
    let amax = if as_it_is { tensor_amax(path, input, shape) } else { 0.0 };
    with_values!(input, |input| {
        let [rows, columns] =
            [Source::rows(input, shape, None), Source::columns(input, shape, None)];
        let of = |source, transform: Option<Transform>| {
            transform.map_or(amax, |transform| transformed(path, &source, &transform))
        };
        [of(rows, of_rows), of(columns, of_columns)]
    })
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
