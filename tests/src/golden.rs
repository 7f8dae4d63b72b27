//! Reads golden files: what TransformerEngine's Python reference gave.
//!
//! A file is a pair, `NAME.json` and `NAME.safetensors`; the format is `nvfp4-golden-1`. Two of its
//! properties are resolved here, so that what leaves this module is the contract and nothing else:
//!
//! - **Signed zero.** The Python reference gives code 0 where a product is exactly −0.0; the GPU
//!   instruction and the contract keep the sign. Where the input's sign bit is set and the expected
//!   code is 0, code 8 is expected.
//! - **NaN.** Python spreads a NaN over everything that shares its amax; the contract drops it in
//!   maxima. Where it spreads over the tensor the case says nothing about the contract and is
//!   counted in [`GoldenFile::undefined`]; where it spreads over its row only, that row is dropped
//!   and the others are kept. NaN itself is tested by cases of our own (see [`crate::generate`]).

use std::collections::HashMap;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

use fouroversix_core::config::{
    Config, E4m3Max, ErrorPath, InputType, Metric, Outputs, Rule, ScaleLayout, Scaling,
};
use safetensors::{Dtype, SafeTensors};
use serde::{Deserialize, Serialize};

use crate::case::{Case, Input, Outcome, Output, SuppliedAmax};
use crate::oracle::lay_out;

/// The format that this module reads.
pub const FORMAT: &str = "nvfp4-golden-1";

/// `NAME.json` as it is.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Index {
    /// [`FORMAT`].
    pub format: String,
    /// The commit of TransformerEngine.
    pub te_commit: String,
    /// Name of the tensor file beside it.
    pub tensors: String,
    /// The cases.
    pub cases: Vec<Entry>,
}

/// One case of `NAME.json` as it is.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the keys are those of the format")]
pub struct Entry {
    pub mode: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metric: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fast: Option<bool>,
    pub e4m3_max: u32,
    pub scale_mode: String,
    pub dtype: String,
    pub shape: [usize; 2],
    pub dist: String,
    pub seed: u64,
    pub input: String,
    pub rowwise: TensorNames,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub columnwise: Option<TensorNames>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub amax_given: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub te_exact_test: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub neg_zero: Option<usize>,
    /// Where a carried case was taken from; absent in the files themselves.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub origin: Option<String>,
}

/// Names of the tensors of one output.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[expect(missing_docs, reason = "the keys are those of the format")]
pub struct TensorNames {
    pub qdata: String,
    pub scales: String,
    pub amax: String,
}

/// A case in the contract's terms.
#[derive(Clone, Debug)]
pub struct GoldenCase {
    /// File, number, distribution and seed.
    pub name: String,
    /// The rule.
    pub rule: Rule,
    /// The scaling.
    pub scaling: Scaling,
    /// The input.
    pub input: Arc<Input>,
    /// Whether the amax was supplied.
    pub amax_supplied: bool,
    /// The rowwise output, scales linear.
    pub rowwise: Output,
    /// The columnwise output, scales linear.
    pub columnwise: Option<Output>,
}

/// Inputs by name and element type, so that cases share them.
type InputCache = HashMap<(String, String), Arc<Input>>;

/// A file's cases.
#[derive(Clone, Debug, Default)]
pub struct GoldenFile {
    /// Those that the contract defines.
    pub cases: Vec<GoldenCase>,
    /// How many it does not, because a NaN was spread over everything.
    pub undefined: usize,
}

/// Why a golden file can't be read.
#[derive(Debug)]
pub struct GoldenError {
    file: String,
    problem: String,
}

impl GoldenError {
    pub(crate) fn new(file: impl fmt::Display, problem: impl fmt::Display) -> Self {
        Self { file: file.to_string(), problem: problem.to_string() }
    }
}

impl fmt::Display for GoldenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "can't use golden data {}: {}", self.file, self.problem)
    }
}

impl std::error::Error for GoldenError {}

/// Reads `NAME.json` and the tensors beside it.
///
/// # Errors
/// If a file can't be read or does not follow the format.
pub fn read(index_path: &Path) -> Result<GoldenFile, GoldenError> {
    let shown = index_path.display();
    let (index, tensors) = read_raw(index_path)?;
    let name = index_path.file_stem().unwrap_or_default().to_string_lossy();
    parse(&name, &index, &tensors).map_err(|problem| GoldenError::new(shown, problem))
}

/// The two files as they are.
pub(crate) fn read_raw(index_path: &Path) -> Result<(Index, Vec<u8>), GoldenError> {
    let text =
        std::fs::read(index_path).map_err(|error| GoldenError::new(index_path.display(), error))?;
    let index: Index = serde_json::from_slice(&text)
        .map_err(|error| GoldenError::new(index_path.display(), error))?;
    let tensor_path = index_path.with_file_name(&index.tensors);
    let tensors = std::fs::read(&tensor_path)
        .map_err(|error| GoldenError::new(tensor_path.display(), error))?;
    Ok((index, tensors))
}

/// Builds the cases of an index from the bytes of its tensor file.
///
/// # Errors
/// The first thing that does not follow the format.
pub fn parse(name: &str, index: &Index, tensors: &[u8]) -> Result<GoldenFile, String> {
    if index.format != FORMAT {
        return Err(format!("format is {:?}, this reader knows {FORMAT:?}", index.format));
    }
    let tensors = SafeTensors::deserialize(tensors).map_err(|error| error.to_string())?;
    let mut inputs = HashMap::new();
    let mut file = GoldenFile::default();
    for (number, entry) in index.cases.iter().enumerate() {
        let origin = entry.origin.clone().unwrap_or_else(|| format!("{name}/{number}"));
        let case = GoldenCase::new(&origin, entry, &tensors, &mut inputs)
            .map_err(|problem| format!("case {number} ({origin}): {problem}"))?;
        match case.without_spread_nan() {
            Some(case) => file.cases.push(case),
            None => file.undefined += 1,
        }
    }
    Ok(file)
}

impl GoldenCase {
    fn new(
        origin: &str,
        entry: &Entry,
        tensors: &SafeTensors<'_>,
        inputs: &mut InputCache,
    ) -> Result<Self, String> {
        let key = (entry.input.clone(), entry.dtype.clone());
        let input = match inputs.get(&key) {
            Some(input) if input.shape == entry.shape => Arc::clone(input),
            _ => {
                let input = Arc::new(read_input(entry, tensors)?);
                inputs.insert(key, Arc::clone(&input));
                input
            }
        };
        let scaling = scaling(entry)?;
        let [rows, cols] = entry.shape;
        let mut rowwise = read_output(&entry.rowwise, tensors, [rows, cols], scaling)?;
        let signs = |row: usize, col: usize| input.is_negative(row * cols + col);
        let changed = restore_signed_zeros(&mut rowwise.codes, cols, signs);
        if changed != entry.neg_zero.unwrap_or(0) {
            return Err(format!("neg_zero is {:?}, {changed} found", entry.neg_zero));
        }
        let columnwise = entry.columnwise.as_ref().map(|names| {
            let mut output = read_output(names, tensors, [cols, rows], scaling)?;
            let signs = |row: usize, col: usize| input.is_negative(col * cols + row);
            restore_signed_zeros(&mut output.codes, rows, signs);
            Ok::<_, String>(output)
        });
        Ok(Self {
            name: format!("{origin} {} seed {}", entry.dist, entry.seed),
            rule: rule(entry)?,
            scaling,
            input,
            amax_supplied: entry.amax_given.is_some(),
            rowwise,
            columnwise: columnwise.transpose()?,
        })
    }

    /// The part of the case that a NaN did not reach; none if it reached everything.
    fn without_spread_nan(mut self) -> Option<Self> {
        let [rows, cols] = self.input.shape;
        let has_nan = |row: usize| (0..cols).any(|col| self.input.value(row * cols + col).is_nan());
        let kept: Vec<usize> = (0..rows).filter(|&row| !has_nan(row)).collect();
        if kept.len() == rows {
            return Some(self);
        }
        if self.scaling != Scaling::Row || kept.is_empty() {
            return None;
        }
        let take = |bytes: &[u8], width: usize| -> Vec<u8> {
            kept.iter().flat_map(|row| bytes[row * width..(row + 1) * width].to_vec()).collect()
        };
        let rowwise = Output {
            codes: take(&self.rowwise.codes, cols / 2),
            scales: take(&self.rowwise.scales, cols / 16),
            global_amax: kept.iter().map(|&row| self.rowwise.global_amax[row]).collect(),
        };
        let bits = kept.iter().flat_map(|row| self.input.bits[row * cols..][..cols].to_vec());
        let bits = bits.collect();
        let shape = [kept.len(), cols];
        self.input = Arc::new(Input { element: self.input.element, shape, bits });
        self.name += ", rows without NaN";
        Some(Self { rowwise, columnwise: None, ..self })
    }

    /// The case in every form that it has expectations for: each output alone with linear scales,
    /// and all of them at once with swizzled scales.
    #[must_use]
    pub fn cases(&self) -> Vec<Case> {
        use ScaleLayout::{Linear, Swizzled128x4};
        let mut forms = vec![(Outputs::Rowwise, Linear)];
        if self.columnwise.is_some() {
            forms.push((Outputs::Columnwise, Linear));
            forms.push((Outputs::Both, Swizzled128x4));
        } else {
            forms.push((Outputs::Rowwise, Swizzled128x4));
        }
        forms.into_iter().map(|(outputs, layout)| self.case(outputs, layout)).collect()
    }

    fn case(&self, outputs: Outputs, layout: ScaleLayout) -> Case {
        let [rows, cols] = self.input.shape;
        let laid_out = |output: &Output, rows, cols| Output {
            scales: lay_out(output.scales.clone(), rows, cols / 16, layout),
            ..output.clone()
        };
        let rowwise = outputs.rowwise().then(|| laid_out(&self.rowwise, rows, cols));
        let columnwise = self.columnwise.as_ref().filter(|_| outputs.columnwise());
        let supplied = self.amax_supplied.then(|| {
            let columnwise = self.columnwise.as_ref().map(|output| output.global_amax.clone());
            Arc::new(SuppliedAmax {
                rowwise: self.rowwise.global_amax.clone(),
                columnwise: columnwise.unwrap_or_default(),
            })
        });
        Case {
            name: self.name.clone(),
            config: Config::new(self.rule, self.scaling, outputs, layout)
                .expect("golden cases are defined by the contract"),
            input: Arc::clone(&self.input),
            supplied_amax: supplied,
            expected: Outcome {
                rowwise,
                columnwise: columnwise.map(|output| laid_out(output, cols, rows)),
            },
        }
    }
}

fn rule(entry: &Entry) -> Result<Rule, String> {
    let e4m3_max = match entry.e4m3_max {
        448 => E4m3Max::M448,
        256 => E4m3Max::M256,
        other => return Err(format!("e4m3_max is {other}")),
    };
    match (entry.mode.as_str(), entry.metric.as_deref(), entry.fast) {
        ("nvfp4", None, None) if entry.e4m3_max == 448 => Ok(Rule::Plain),
        ("4over6", Some(metric), Some(fast)) => Ok(Rule::FourOverSix {
            metric: match metric {
                "MAE" => Metric::Mae,
                "MSE" => Metric::Mse,
                other => return Err(format!("metric is {other:?}")),
            },
            error_path: if fast { ErrorPath::Fast } else { ErrorPath::Strict },
            e4m3_max,
        }),
        other => Err(format!("mode, metric and fast are {other:?}")),
    }
}

fn scaling(entry: &Entry) -> Result<Scaling, String> {
    match entry.scale_mode.as_str() {
        "tensor_1d" => Ok(Scaling::Tensor),
        "row_1d" => Ok(Scaling::Row),
        "tensor_2d" => Ok(Scaling::Tile),
        other => Err(format!("scale_mode is {other:?}")),
    }
}

fn read_input(entry: &Entry, tensors: &SafeTensors<'_>) -> Result<Input, String> {
    let (element, dtype) = match entry.dtype.as_str() {
        "bf16" => (InputType::Bf16, Dtype::U16),
        "fp16" => (InputType::F16, Dtype::U16),
        "fp32" => (InputType::F32, Dtype::U32),
        other => return Err(format!("dtype is {other:?}")),
    };
    let bytes = tensor(tensors, &entry.input, dtype, &entry.shape)?;
    let bits = bytes
        .chunks_exact(element.bytes())
        .map(|element| element.iter().rev().fold(0, |bits, &byte| bits << 8 | u32::from(byte)));
    Ok(Input { element, shape: entry.shape, bits: bits.collect() })
}

fn read_output(
    names: &TensorNames,
    tensors: &SafeTensors<'_>,
    [rows, cols]: [usize; 2],
    scaling: Scaling,
) -> Result<Output, String> {
    let amaxes = if scaling == Scaling::Row { rows } else { 1 };
    let amax = tensor(tensors, &names.amax, Dtype::F32, &[amaxes])?;
    let amax = amax.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes));
    Ok(Output {
        codes: tensor(tensors, &names.qdata, Dtype::U8, &[rows, cols / 2])?.to_vec(),
        scales: tensor(tensors, &names.scales, Dtype::U8, &[rows, cols / 16])?.to_vec(),
        global_amax: amax.collect(),
    })
}

fn tensor<'a>(
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
fn restore_signed_zeros(
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
