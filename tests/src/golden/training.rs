//! Reads golden files of stochastic rounding and transforms: `nvfp4-golden-training-1`.
//!
//! A group of tensors becomes a case for each of them, with the random state that the contract gives
//! it. Where a file holds a window of an output's rows, the rest of the expectation is the
//! reference's: whoever differs from either is wrong.

use std::path::Path;
use std::sync::Arc;

use fouroversix_core::config::{
    Config, ConfigBuilder, InputType, Outputs, RandomState, Rounding, ScaleLayout, Scaling,
    SignMask, Transforms,
};
use safetensors::{Dtype, SafeTensors};
use serde::Deserialize;

use super::GoldenError;
use super::fields::{amaxes, elements, rule, scaling, tensor};
use crate::case::{Case, Input, Outcome, Output, SuppliedAmax};
use crate::oracle::{self, lay_out};

/// The format that this module reads.
pub const FORMAT: &str = "nvfp4-golden-training-1";

/// `NAME.json` as it is.
#[derive(Clone, Debug, Deserialize)]
#[expect(missing_docs, reason = "the keys are those of the format")]
pub struct Index {
    pub format: String,
    pub tensors: String,
    pub cases: Vec<Entry>,
}

/// One case of `NAME.json` as it is: either the keys of one tensor, or a group of them.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the keys are those of the format")]
pub struct Entry {
    pub mode: String,
    pub metric: Option<String>,
    pub fast: Option<bool>,
    pub e4m3_max: u32,
    pub scale_mode: String,
    pub dtype: String,
    pub dist: String,
    pub input_seed: u64,
    pub rounding: Option<RandomEntry>,
    pub transform: Option<TransformEntry>,
    pub amax_given: Option<f64>,
    pub group: Option<Vec<TensorEntry>>,
    pub shape: Option<[usize; 2]>,
    pub input: Option<String>,
    pub repeat: Option<[usize; 2]>,
    pub rowwise: Option<OutputEntry>,
    pub columnwise: Option<OutputEntry>,
    /// Where a carried case was taken from; absent in the files themselves.
    pub origin: Option<String>,
}

/// A tensor of a group.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the keys are those of the format")]
pub struct TensorEntry {
    pub shape: [usize; 2],
    pub input: String,
    pub repeat: Option<[usize; 2]>,
    pub rowwise: Option<OutputEntry>,
    pub columnwise: Option<OutputEntry>,
}

/// Seed and offset, `0x` and 16 hexadecimal digits each.
#[derive(Clone, Debug, Deserialize)]
#[expect(missing_docs, reason = "the keys are those of the format")]
pub struct RandomEntry {
    pub seed: String,
    pub offset: String,
}

/// The masks of the outputs' transforms.
#[derive(Clone, Copy, Debug, Deserialize)]
#[expect(missing_docs, reason = "the keys are those of the format")]
pub struct TransformEntry {
    pub rowwise: Option<u16>,
    pub columnwise: Option<u16>,
}

/// Names of an output's tensors, and the rows that they hold if not all.
#[derive(Clone, Debug, Deserialize)]
#[expect(missing_docs, reason = "the keys are those of the format")]
pub struct OutputEntry {
    pub qdata: String,
    pub scales: String,
    pub amax: String,
    pub window: Option<[usize; 2]>,
}

/// Reads `NAME.json` and the tensors beside it.
///
/// # Errors
/// If a file can't be read or does not follow the format.
pub fn read(index_path: &Path) -> Result<Vec<Case>, GoldenError> {
    let (index, tensors): (Index, _) = super::read_raw(index_path, |index: &Index| &index.tensors)?;
    let name = index_path.file_stem().unwrap_or_default().to_string_lossy();
    let shown = index_path.display();
    parse(&name, &index, &tensors).map_err(|problem| GoldenError::new(shown, problem))
}

/// Builds the cases of an index from the bytes of its tensor file.
///
/// # Errors
/// The first thing that does not follow the format.
pub fn parse(name: &str, index: &Index, tensors: &[u8]) -> Result<Vec<Case>, String> {
    if index.format != FORMAT {
        return Err(format!("format is {:?}, this reader knows {FORMAT:?}", index.format));
    }
    let tensors = SafeTensors::deserialize(tensors).map_err(|error| error.to_string())?;
    let mut cases = Vec::new();
    for (number, entry) in index.cases.iter().enumerate() {
        let origin = entry.origin.clone().unwrap_or_else(|| format!("{name}/{number}"));
        let problem = |problem| format!("case {number} ({origin}): {problem}");
        for (place, one) in members(entry).map_err(problem)?.iter().enumerate() {
            let name = match entry.group {
                None => format!("{origin} {} seed {}", entry.dist, entry.input_seed),
                Some(_) => format!("{origin}.{place} {} group", entry.dist),
            };
            let golden = Golden::new(name, entry, one, place, &tensors).map_err(problem)?;
            cases.extend(golden.cases().map_err(problem)?);
        }
    }
    Ok(cases)
}

/// The tensors of a case.
fn members(entry: &Entry) -> Result<Vec<TensorEntry>, String> {
    if let Some(group) = &entry.group {
        return Ok(group.clone());
    }
    Ok(vec![TensorEntry {
        shape: entry.shape.ok_or("neither shape nor group")?,
        input: entry.input.clone().ok_or("neither input nor group")?,
        repeat: entry.repeat,
        rowwise: entry.rowwise.clone(),
        columnwise: entry.columnwise.clone(),
    }])
}

/// An output, and the rows that the file has of it.
struct Expected {
    output: Output,
    window: Option<[usize; 2]>,
}

/// One tensor in the contract's terms.
struct Golden {
    name: String,
    /// Outputs, layout and transforms differ between the forms.
    builder: ConfigBuilder,
    transforms: Transforms,
    input: Arc<Input>,
    supplied: Option<Arc<SuppliedAmax>>,
    rowwise: Option<Expected>,
    columnwise: Option<Expected>,
}

impl Golden {
    fn new(
        name: String,
        entry: &Entry,
        one: &TensorEntry,
        place: usize,
        tensors: &SafeTensors<'_>,
    ) -> Result<Self, String> {
        let scaling = scaling(&entry.scale_mode)?;
        let rule = rule(&entry.mode, entry.metric.as_deref(), entry.fast, entry.e4m3_max)?;
        let rounding = match &entry.rounding {
            None => Rounding::Nearest,
            Some(state) => {
                let [seed, offset] = [hexadecimal(&state.seed)?, hexadecimal(&state.offset)?];
                Rounding::Stochastic(RandomState { seed, offset }.of_tensor(place as u64))
            }
        };
        let masks = entry.transform.map(|masks| Transforms {
            rowwise: masks.rowwise.map(SignMask),
            columnwise: masks.columnwise.map(SignMask),
        });
        let [rows, cols] = one.shape;
        let read = |names: &Option<OutputEntry>, shape| {
            names.as_ref().map(|names| read_output(names, tensors, shape, scaling)).transpose()
        };
        let rowwise = read(&one.rowwise, [rows, cols])?;
        let columnwise = read(&one.columnwise, [cols, rows])?;
        let amax = |expected: &Option<Expected>| {
            expected.as_ref().map(|e| e.output.global_amax.clone()).unwrap_or_default()
        };
        let supplied = entry.amax_given.map(|_| {
            Arc::new(SuppliedAmax { rowwise: amax(&rowwise), columnwise: amax(&columnwise) })
        });
        Ok(Self {
            name,
            builder: Config::builder().rule(rule).scaling(scaling).rounding(rounding),
            transforms: masks.unwrap_or_default(),
            input: Arc::new(read_input(&entry.dtype, one, tensors)?),
            supplied,
            rowwise,
            columnwise,
        })
    }

    /// Each output alone with linear scales, and all of them at once with swizzled scales.
    fn cases(&self) -> Result<Vec<Case>, String> {
        use ScaleLayout::{Linear, Swizzled128x4};
        let forms = match (&self.rowwise, &self.columnwise) {
            (Some(_), Some(_)) => vec![
                (Outputs::Rowwise, Linear),
                (Outputs::Columnwise, Linear),
                (Outputs::Both, Swizzled128x4),
            ],
            (Some(_), None) => vec![(Outputs::Rowwise, Linear), (Outputs::Rowwise, Swizzled128x4)],
            (None, Some(_)) => {
                vec![(Outputs::Columnwise, Linear), (Outputs::Columnwise, Swizzled128x4)]
            }
            (None, None) => return Err("no output".to_owned()),
        };
        forms.into_iter().map(|(outputs, layout)| self.case(outputs, layout)).collect()
    }

    fn case(&self, outputs: Outputs, layout: ScaleLayout) -> Result<Case, String> {
        let transforms = Transforms {
            rowwise: self.transforms.rowwise.filter(|_| outputs.rowwise()),
            columnwise: self.transforms.columnwise.filter(|_| outputs.columnwise()),
        };
        let builder = self.builder.outputs(outputs).scale_layout(layout).transforms(transforms);
        let config = builder.build().map_err(|error| error.to_string())?;
        let mut case = Case {
            name: self.name.clone(),
            config,
            input: Arc::clone(&self.input),
            supplied_amax: self.supplied.clone(),
            expected: Outcome::default(),
        };
        let [rows, cols] = self.input.shape;
        let mut whole = Outcome::default();
        if self.has_windows() {
            let quantized = oracle::quantize(config, &self.input, self.supplied.as_deref());
            whole = quantized.map_err(|error| error.to_string())?;
        }
        if let Some(expected) = self.rowwise.as_ref().filter(|_| outputs.rowwise()) {
            case.expected.rowwise = Some(expected.laid_out([rows, cols], layout, whole.rowwise));
        }
        if let Some(expected) = self.columnwise.as_ref().filter(|_| outputs.columnwise()) {
            let whole = whole.columnwise;
            case.expected.columnwise = Some(expected.laid_out([cols, rows], layout, whole));
        }
        Ok(case)
    }

    fn has_windows(&self) -> bool {
        [&self.rowwise, &self.columnwise].into_iter().flatten().any(|e| e.window.is_some())
    }
}

impl Expected {
    /// The output in a layout: of a window, put into what the reference made of the whole.
    fn laid_out(
        &self,
        [rows, cols]: [usize; 2],
        layout: ScaleLayout,
        whole: Option<Output>,
    ) -> Output {
        let global_amax = self.output.global_amax.clone();
        let Some([first, end]) = self.window else {
            let scales = lay_out(self.output.scales.clone(), rows, cols / 16, layout);
            return Output { codes: self.output.codes.clone(), scales, global_amax };
        };
        let mut whole = whole.unwrap_or_else(|| unreachable!("made where there is a window"));
        whole.codes[first * cols / 2..end * cols / 2].copy_from_slice(&self.output.codes);
        for (index, scale) in self.output.scales.iter().enumerate() {
            let (row, block) = (first + index / (cols / 16), index % (cols / 16));
            whole.scales[layout.offset(cols, row, block)] = *scale;
        }
        Output { global_amax, ..whole }
    }
}

fn hexadecimal(text: &str) -> Result<u64, String> {
    let digits = text.strip_prefix("0x").filter(|digits| digits.len() == 16);
    let value = digits.and_then(|digits| u64::from_str_radix(digits, 16).ok());
    value.ok_or_else(|| format!("{text:?} is not 0x and 16 hexadecimal digits"))
}

/// The input, repeated as the case says.
fn read_input(dtype: &str, one: &TensorEntry, tensors: &SafeTensors<'_>) -> Result<Input, String> {
    let [down, across] = one.repeat.unwrap_or([1, 1]);
    let [rows, cols] = one.shape;
    if down == 0 || across == 0 || rows % down != 0 || cols % across != 0 {
        return Err(format!("shape {:?} is no multiple of repeat {:?}", one.shape, one.repeat));
    }
    let [part_rows, part_cols] = [rows / down, cols / across];
    let (element, part): (InputType, Vec<u32>) =
        elements(dtype, &one.input, [part_rows, part_cols], tensors)?;
    let mut bits = Vec::with_capacity(rows * cols);
    for row in 0..rows {
        let from = &part[row % part_rows.max(1) * part_cols..][..part_cols];
        bits.extend(from.iter().cycle().take(cols));
    }
    Ok(Input { element, shape: one.shape, bits })
}

fn read_output(
    names: &OutputEntry,
    tensors: &SafeTensors<'_>,
    [rows, cols]: [usize; 2],
    scaling: Scaling,
) -> Result<Expected, String> {
    let held = match names.window {
        None => rows,
        Some([first, end]) if first < end && end <= rows => end - first,
        Some(window) => return Err(format!("window {window:?} of {rows} rows")),
    };
    let output = Output {
        codes: tensor(tensors, &names.qdata, Dtype::U8, &[held, cols / 2])?.to_vec(),
        scales: tensor(tensors, &names.scales, Dtype::U8, &[held, cols / 16])?.to_vec(),
        global_amax: amaxes(&names.amax, tensors, rows, scaling)?,
    };
    Ok(Expected { output, window: names.window })
}
