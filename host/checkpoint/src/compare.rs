//! Two checkpoints side by side.

use std::collections::BTreeMap;
use std::ops::Range;

use fouroversix_core::Element;
use serde::Serialize;

use super::encoding::Encoding;
use super::error::CheckpointError;
use super::file::TensorFile;
use super::format::{StoredTensor, Values};
use super::header::{TensorEntry, element_count};
use super::nvfp4::StoredName;
use super::panel::chunks;
use super::prepare::as_floats;
use super::roles::{Quantization, Role};
use super::scan::values;
use super::source::Checkpoint;
use super::view::View;

/// Elements compared at a time, about.
const CHUNK: usize = 1 << 20;

/// How a tensor of two checkpoints differs.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Difference {
    /// Same type, shape and bytes; of quantized tensors, same codes, scales and global scale.
    Identical,
    /// The second does not have it.
    OnlyInFirst,
    /// The first does not have it.
    OnlyInSecond,
    /// The shapes differ, or the types do and one of them has no values to compare.
    Incomparable {
        /// Type and shape in the first.
        first: String,
        /// Type and shape in the second.
        second: String,
    },
    /// Values were compared, dequantized to FP32 where they are quantized.
    Values {
        /// Elements in each.
        elements: u64,
        /// Elements whose FP32 bits differ.
        differing: u64,
        /// Squared differences over the first's power; `null` in JSON when not finite.
        relative_mse: f64,
        /// Largest absolute difference.
        max_error: f64,
        /// Bytes of codes, where both are quantized.
        differing_code_bytes: Option<u64>,
        /// Bytes of block scales, where both are quantized.
        differing_scales: Option<u64>,
    },
}

/// The result of [`compare`]: each tensor by its name before quantization.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Comparison {
    /// How each differs.
    pub tensors: BTreeMap<String, Difference>,
}

impl Comparison {
    /// Whether nothing differs.
    #[must_use]
    pub fn identical(&self) -> bool {
        self.tensors.values().all(|difference| *difference == Difference::Identical)
    }
}

/// Compares every tensor of two checkpoints, quantized or not, of whichever format. Experts of a stack
/// are compared one by one where the other checkpoint holds them so.
///
/// # Errors
/// [`CheckpointError::Malformed`] when the parts of a quantized tensor don't fit together.
pub fn compare(first: &Checkpoint, second: &Checkpoint) -> Result<Comparison, CheckpointError> {
    let (first, second) = (&as_floats(first, second)?, &as_floats(second, first)?);
    let (a, b) = (logical(first)?, logical(second)?);
    let mut comparison = Comparison::default();
    for (name, tensor) in &a {
        let difference = match b.get(name) {
            Some(other) => tensor.compare(other)?,
            None => Difference::OnlyInFirst,
        };
        comparison.tensors.insert(name.clone(), difference);
        first.release();
        second.release();
    }
    for name in b.keys().filter(|name| !a.contains_key(*name)) {
        comparison.tensors.insert(name.clone(), Difference::OnlyInSecond);
    }
    Ok(comparison)
}

/// A tensor under its name before quantization.
enum Logical<'a> {
    Raw(&'a TensorFile, &'a TensorEntry, Role),
    /// Made of stored tensors as it is read.
    View(&'a Checkpoint, &'a View),
    Stored(StoredName, StoredTensor<'a>),
}

/// Tensors by their names before quantization. NVFP4 whose parts don't fit together, or whose name
/// is taken, is compared as it lies, part by part.
fn logical(checkpoint: &Checkpoint) -> Result<BTreeMap<String, Logical<'_>>, CheckpointError> {
    let quantization = Quantization::of(checkpoint)?;
    let mut tensors: BTreeMap<String, Logical<'_>> = checkpoint
        .tensors()
        .zip(&quantization.roles)
        .map(|((file, entry), role)| {
            let logical = match checkpoint.view(&entry.name) {
                Some(view) => Logical::View(checkpoint, view),
                None => Logical::Raw(file, entry, role.clone()),
            };
            (entry.name.clone(), logical)
        })
        .collect();
    for role in quantization.roles {
        let Role::Codes(name) = role else { continue };
        let Ok(stored) = checkpoint.stored(&name) else { continue };
        let parts = name.format.part_names(&name.tensor);
        if parts.codes != name.tensor && tensors.contains_key(&name.tensor) {
            continue;
        }
        for part in [&parts.codes, &parts.scales, &parts.global] {
            tensors.remove(part);
        }
        tensors.insert(name.tensor.clone(), Logical::Stored(name, stored));
    }
    Ok(tensors)
}

impl Logical<'_> {
    fn shape(&self) -> Vec<usize> {
        match self {
            Self::Raw(_, entry, _) => entry.shape.clone(),
            Self::View(_, view) => view.entry.shape.clone(),
            Self::Stored(_, stored) => stored.dimensions(),
        }
    }

    fn describe(&self) -> String {
        let shape = self.shape();
        match self {
            Self::Raw(_, entry, Role::Plain) => format!("{} {shape:?}", entry.dtype),
            Self::Raw(_, entry, role) => {
                format!("{} {shape:?} ({})", entry.dtype, role.describe())
            }
            Self::View(_, view) => {
                format!("{} {shape:?}", view.label().unwrap_or(view.entry.dtype.name()))
            }
            Self::Stored(name, _) => format!("NVFP4 ({}) {shape:?}", name.format),
        }
    }

    fn has_values(&self) -> bool {
        match self {
            Self::Raw(_, entry, _) => entry.dtype.input_type().is_some(),
            Self::Stored(..) | Self::View(..) => true,
        }
    }

    fn compare(&self, other: &Self) -> Result<Difference, CheckpointError> {
        if self.same_bytes(other) {
            return Ok(Difference::Identical);
        }
        if self.shape() != other.shape() || !self.has_values() || !other.has_values() {
            return Ok(Difference::Incomparable {
                first: self.describe(),
                second: other.describe(),
            });
        }
        let parts = match (self, other) {
            (Self::Stored(_, a), Self::Stored(_, b)) => {
                Some((differing_bytes(a.codes, b.codes), differing_bytes(a.scales, b.scales)))
            }
            _ => None,
        };
        let difference = self.compare_values(other, parts)?;
        let same = matches!(difference, Difference::Values { differing: 0, .. });
        if same && self.dtype().is_some() && self.dtype() == other.dtype() {
            return Ok(Difference::Identical);
        }
        Ok(difference)
    }

    /// The type of floats that are not encoded otherwise.
    fn dtype(&self) -> Option<&str> {
        match self {
            Self::Raw(_, entry, _) => Some(entry.dtype.name()),
            Self::View(_, view) if view.label().is_none() => Some(view.entry.dtype.name()),
            Self::View(..) | Self::Stored(..) => None,
        }
    }

    fn same_bytes(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Raw(file, entry, _), Self::Raw(other_file, other, _)) => {
                entry.dtype == other.dtype
                    && entry.shape == other.shape
                    && file.bytes(entry) == other_file.bytes(other)
            }
            (Self::Stored(_, a), Self::Stored(_, b)) => {
                a.shape == b.shape
                    && a.codes == b.codes
                    && a.scales == b.scales
                    && a.global.same_bits(&b.global)
            }
            (Self::View(checkpoint, view), Self::View(other_checkpoint, other)) => {
                let (a, b) = (sources(checkpoint, view), sources(other_checkpoint, other));
                view.entry.shape == other.entry.shape
                    && view.entry.dtype == other.entry.dtype
                    && view.label() == other.label()
                    && view.cut.same_place(&other.cut)
                    && a == b
            }
            _ => false,
        }
    }

    fn compare_values(
        &self,
        other: &Self,
        parts: Option<(u64, u64)>,
    ) -> Result<Difference, CheckpointError> {
        let shape = self.shape();
        let elements = element_count(&shape).unwrap_or(0) as usize;
        let cols = if shape.len() > 1 { shape[shape.len() - 1].max(1) } else { 1 };
        let (mut a, mut b) = (Vec::new(), Vec::new());
        let (mut differing, mut error, mut power, mut largest) = (0, 0.0, 0.0, 0.0_f64);
        for range in chunks(elements, (CHUNK / cols).max(1) * cols) {
            a.resize(range.len(), 0.0);
            b.resize(range.len(), 0.0);
            self.fill(range.start, &mut a)?;
            other.fill(range.start, &mut b)?;
            for (&a, &b) in a.iter().zip(&b) {
                let difference = f64::from(b) - f64::from(a);
                differing += u64::from(a.to_bits() != b.to_bits());
                error += difference * difference;
                power += f64::from(a) * f64::from(a);
                largest = largest.max(difference.abs());
            }
        }
        Ok(Difference::Values {
            elements: elements as u64,
            differing,
            relative_mse: if error == 0.0 { 0.0 } else { error / power },
            max_error: largest,
            differing_code_bytes: parts.map(|(codes, _)| codes),
            differing_scales: parts.map(|(_, scales)| scales),
        })
    }

    /// Elements from `start` on, as FP32; whole rows of a quantized tensor.
    fn fill(&self, start: usize, out: &mut [f32]) -> Result<(), CheckpointError> {
        match self {
            Self::Raw(file, entry, _) => {
                let input = entry.dtype.input_type().expect("it has values");
                let bytes = start * input.bytes()..(start + out.len()) * input.bytes();
                let mut unaligned = Vec::new();
                match values(&file.bytes(entry)[bytes.clone()], input, &mut unaligned) {
                    Values::Bf16(floats) => widen(floats, out),
                    Values::F16(floats) => widen(floats, out),
                    Values::F32(floats) => widen(floats, out),
                }
                file.release(entry, bytes.start, bytes.end);
            }
            Self::View(checkpoint, view) => {
                let cols = view.rows_and_cols()[1];
                let (first, mut scratch) = (start / cols, Vec::new());
                let rows = first..first + out.len() / cols;
                match checkpoint.rows(&view.entry, &rows, &mut scratch)? {
                    Values::Bf16(floats) => widen(floats, out),
                    Values::F16(floats) => widen(floats, out),
                    Values::F32(floats) => widen(floats, out),
                }
            }
            Self::Stored(_, stored) => stored.dequantize_rows(start / stored.shape[1], out),
        }
        Ok(())
    }
}

/// What a view is made of: the shape and the bytes of its matrices in each tensor that it takes.
fn sources<'a>(checkpoint: &'a Checkpoint, view: &View) -> Vec<(&'a [usize], &'a [u8])> {
    let count = view.base.shape[0];
    let scales = match &view.base.encoding {
        Encoding::Floats(_) => None,
        Encoding::Fp8 { scales, .. } | Encoding::Mxfp4 { scales } => Some(scales),
    };
    let tensors = [Some(&view.base.codes), scales].into_iter().flatten();
    let own = |name: &String| {
        let (file, entry) = checkpoint.stored_tensor(name);
        let bytes = file.bytes(entry);
        // A stack has as much of each tensor for one matrix as for another.
        let each = bytes.len() / count.max(1);
        let is_stack = entry.shape.first() == Some(&count) && count > 1;
        let Range { start, end } = view.cut.matrices;
        let bytes = if is_stack { &bytes[start * each..end * each] } else { bytes };
        (if is_stack { &entry.shape[1..] } else { &entry.shape[..] }, bytes)
    };
    tensors.map(own).collect()
}

fn widen<T: Element>(floats: &[T], out: &mut [f32]) {
    for (out, &value) in out.iter_mut().zip(floats) {
        *out = value.to_f32();
    }
}

fn differing_bytes(a: &[u8], b: &[u8]) -> u64 {
    a.iter().zip(b).filter(|(a, b)| a != b).count() as u64
}
