//! What the keys and tensors of a golden file say.

use fouroversix_core::config::{E4m3Max, ErrorPath, InputType, Metric, Rule, Scaling};
use safetensors::{Dtype, SafeTensors};
use serde::{Deserialize, Serialize};

use crate::case::Output;

/// Names of the tensors of one output.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[expect(missing_docs, reason = "the keys are those of the format")]
pub struct TensorNames {
    pub qdata: String,
    pub scales: String,
    pub amax: String,
}

pub(super) fn rule(
    mode: &str,
    metric: Option<&str>,
    fast: Option<bool>,
    e4m3_max: u32,
) -> Result<Rule, String> {
    let bound = match e4m3_max {
        448 => E4m3Max::M448,
        256 => E4m3Max::M256,
        other => return Err(format!("e4m3_max is {other}")),
    };
    let metric_of = |name: &str| match name {
        "MAE" => Ok(Metric::Mae),
        "MSE" => Ok(Metric::Mse),
        other => Err(format!("metric is {other:?}")),
    };
    match (mode, metric, fast) {
        ("nvfp4", None, None) if e4m3_max == 448 => Ok(Rule::Plain),
        ("4over6", Some(metric), Some(fast)) => Ok(Rule::FourOverSix {
            metric: metric_of(metric)?,
            error_path: if fast { ErrorPath::Fast } else { ErrorPath::Strict },
            e4m3_max: bound,
        }),
        ("search", Some(metric), Some(true)) => {
            Ok(Rule::Search { metric: metric_of(metric)?, e4m3_max: bound })
        }
        other => Err(format!("mode, metric and fast are {other:?}")),
    }
}

pub(super) fn scaling(scale_mode: &str) -> Result<Scaling, String> {
    match scale_mode {
        "tensor_1d" => Ok(Scaling::Tensor),
        "row_1d" => Ok(Scaling::Row),
        "tensor_2d" => Ok(Scaling::Tile),
        other => Err(format!("scale_mode is {other:?}")),
    }
}

/// The raw bits of an input's elements, and their type.
pub(super) fn elements(
    dtype: &str,
    name: &str,
    shape: [usize; 2],
    tensors: &SafeTensors<'_>,
) -> Result<(InputType, Vec<u32>), String> {
    let (element, dtype) = match dtype {
        "bf16" => (InputType::Bf16, Dtype::U16),
        "fp16" => (InputType::F16, Dtype::U16),
        "fp32" => (InputType::F32, Dtype::U32),
        other => return Err(format!("dtype is {other:?}")),
    };
    let bytes = tensor(tensors, name, dtype, &shape)?;
    let bits = bytes
        .chunks_exact(element.bytes())
        .map(|element| element.iter().rev().fold(0, |bits, &byte| bits << 8 | u32::from(byte)));
    Ok((element, bits.collect()))
}

pub(super) fn read_output(
    names: &TensorNames,
    tensors: &SafeTensors<'_>,
    [rows, cols]: [usize; 2],
    scaling: Scaling,
) -> Result<Output, String> {
    Ok(Output {
        codes: tensor(tensors, &names.qdata, Dtype::U8, &[rows, cols / 2])?.to_vec(),
        scales: tensor(tensors, &names.scales, Dtype::U8, &[rows, cols / 16])?.to_vec(),
        global_amax: amaxes(&names.amax, tensors, rows, scaling)?,
    })
}

/// One amax, or one for each row.
pub(super) fn amaxes(
    name: &str,
    tensors: &SafeTensors<'_>,
    rows: usize,
    scaling: Scaling,
) -> Result<Vec<f32>, String> {
    let count = if scaling == Scaling::Row { rows } else { 1 };
    let amax = tensor(tensors, name, Dtype::F32, &[count])?;
    Ok(amax.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect())
}

pub(super) fn tensor<'a>(
    tensors: &SafeTensors<'a>,
    name: &str,
    dtype: Dtype,
    shape: &[usize],
) -> Result<&'a [u8], String> {
    let view = tensors.tensor(name).map_err(|error| format!("tensor {name:?}: {error}"))?;
    if view.dtype() != dtype || view.shape() != shape {
        let (actual, actual_shape) = (view.dtype(), view.shape());
        return Err(format!(
            "tensor {name:?} is {actual:?} {actual_shape:?}, expected {dtype:?} {shape:?}"
        ));
    }
    Ok(view.data())
}

/// Sets the sign of zero codes whose input is negative; returns how many there were.
pub(super) fn restore_signed_zeros(
    codes: &mut [u8],
    cols: usize,
    is_negative: impl Fn(usize, usize) -> bool,
) -> usize {
    let mut changed = 0;
    for (index, byte) in codes.iter_mut().enumerate() {
        for (nibble, shift) in [0, 4].into_iter().enumerate() {
            let element = 2 * index + nibble;
            let zero = *byte >> shift & 0xF == 0;
            if zero && is_negative(element / cols, element % cols) {
                *byte |= 8 << shift;
                changed += 1;
            }
        }
    }
    changed
}
