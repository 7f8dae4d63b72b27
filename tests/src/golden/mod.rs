//! Reads golden files: what TransformerEngine's Python reference gave, and what the oracles of scale
//! search gave.
//!
//! A file is a pair, `NAME.json` and `NAME.safetensors`; the format is `nvfp4-golden-1`, or
//! `nvfp4-golden-search-1` with the same keys; [`training`] reads a third. Two properties of the first
//! are resolved here, so that what leaves this module is the contract and nothing else:
//!
//! - **Signed zero.** The Python reference gives code 0 where a product is exactly −0.0; the GPU
//!   instruction and the contract keep the sign. Where the input's sign bit is set and the expected
//!   code is 0, code 8 is expected.
//! - **NaN.** Python spreads a NaN over everything that shares its amax; the contract drops it in
//!   maxima. Where it spreads over the tensor the case says nothing about the contract and is
//!   counted in [`GoldenFile::undefined`]; where it spreads over its row only, that row is dropped
//!   and the others are kept. NaN itself is tested by cases of our own (see [`crate::generate`]).

mod fields;
pub mod training;

use std::collections::HashMap;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

use fouroversix_core::config::{Config, Outputs, Rule, ScaleLayout, Scaling};
use safetensors::SafeTensors;
use serde::{Deserialize, Serialize};

use crate::case::{Case, Input, Outcome, Output, SuppliedAmax};
use crate::oracle::lay_out;
pub use fields::TensorNames;
use fields::{elements, read_output, restore_signed_zeros, rule, scaling};

/// The format of TransformerEngine's answers.
pub const FORMAT: &str = "nvfp4-golden-1";
/// The format of scale search: follows the contract to the bit, also in NaN and signed zeros.
pub const SEARCH_FORMAT: &str = "nvfp4-golden-search-1";

/// `NAME.json` as it is.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Index {
    /// [`FORMAT`] or [`SEARCH_FORMAT`].
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

/// The format that `NAME.json` says it has.
///
/// # Errors
/// If it can't be read, or says nothing.
pub fn format(index_path: &Path) -> Result<String, GoldenError> {
    #[derive(Deserialize)]
    struct Format {
        format: String,
    }
    let shown = index_path.display();
    let text = std::fs::read(index_path).map_err(|error| GoldenError::new(&shown, error))?;
    let format: Format = serde_json::from_slice(&text).map_err(|e| GoldenError::new(shown, e))?;
    Ok(format.format)
}

/// Reads `NAME.json` and the tensors beside it.
///
/// # Errors
/// If a file can't be read or does not follow the format.
pub fn read(index_path: &Path) -> Result<GoldenFile, GoldenError> {
    let shown = index_path.display();
    let (index, tensors): (Index, _) = read_raw(index_path, |index: &Index| &index.tensors)?;
    let name = index_path.file_stem().unwrap_or_default().to_string_lossy();
    parse(&name, &index, &tensors).map_err(|problem| GoldenError::new(shown, problem))
}

/// The two files as they are; `name` says what the index calls the other.
pub(crate) fn read_raw<T: serde::de::DeserializeOwned>(
    index_path: &Path,
    name: impl Fn(&T) -> &str,
) -> Result<(T, Vec<u8>), GoldenError> {
    let text =
        std::fs::read(index_path).map_err(|error| GoldenError::new(index_path.display(), error))?;
    let index: T = serde_json::from_slice(&text)
        .map_err(|error| GoldenError::new(index_path.display(), error))?;
    let tensor_path = index_path.with_file_name(name(&index));
    let tensors = std::fs::read(&tensor_path)
        .map_err(|error| GoldenError::new(tensor_path.display(), error))?;
    Ok((index, tensors))
}

/// Builds the cases of an index from the bytes of its tensor file.
///
/// # Errors
/// The first thing that does not follow the format.
pub fn parse(name: &str, index: &Index, tensors: &[u8]) -> Result<GoldenFile, String> {
    if ![FORMAT, SEARCH_FORMAT].contains(&index.format.as_str()) {
        let known = format!("{FORMAT:?} and {SEARCH_FORMAT:?}");
        return Err(format!("format is {:?}, this reader knows {known}", index.format));
    }
    let spreads_nan = index.format == FORMAT;
    let tensors = SafeTensors::deserialize(tensors).map_err(|error| error.to_string())?;
    let mut inputs = HashMap::new();
    let mut file = GoldenFile::default();
    for (number, entry) in index.cases.iter().enumerate() {
        let origin = entry.origin.clone().unwrap_or_else(|| format!("{name}/{number}"));
        let case = GoldenCase::new(&origin, entry, &tensors, &mut inputs)
            .map_err(|problem| format!("case {number} ({origin}): {problem}"))?;
        let case = if spreads_nan { case.without_spread_nan() } else { Some(case) };
        match case {
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
                let (element, bits) = elements(&entry.dtype, &entry.input, entry.shape, tensors)?;
                let input = Arc::new(Input { element, shape: entry.shape, bits });
                inputs.insert(key, Arc::clone(&input));
                input
            }
        };
        let scaling = scaling(&entry.scale_mode)?;
        let rule = rule(&entry.mode, entry.metric.as_deref(), entry.fast, entry.e4m3_max)?;
        let drops_signs = !matches!(rule, Rule::Search { .. });
        let [rows, cols] = entry.shape;
        let mut rowwise = read_output(&entry.rowwise, tensors, [rows, cols], scaling)?;
        let signs = |row: usize, col: usize| drops_signs && input.is_negative(row * cols + col);
        let changed = restore_signed_zeros(&mut rowwise.codes, cols, signs);
        if changed != entry.neg_zero.unwrap_or(0) {
            return Err(format!("neg_zero is {:?}, {changed} found", entry.neg_zero));
        }
        let columnwise = entry.columnwise.as_ref().map(|names| {
            let mut output = read_output(names, tensors, [cols, rows], scaling)?;
            let signs = |row: usize, col: usize| drops_signs && input.is_negative(col * cols + row);
            restore_signed_zeros(&mut output.codes, rows, signs);
            Ok::<_, String>(output)
        });
        Ok(Self {
            name: format!("{origin} {} seed {}", entry.dist, entry.seed),
            rule,
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
