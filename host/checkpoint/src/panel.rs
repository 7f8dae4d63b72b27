//! Panels: as many rows of a tensor as are in memory at a time.

use std::ops::Range;

use fouroversix_core::{
    Amax, Choices, Config, Deviation, Element, InputType, Nvfp4Mut, Nvfp4View, Rule, ScaleLayout,
};
use fouroversix_cpu::{Path, deviation};
use rayon::prelude::*;

use super::error::CheckpointError;
use super::format::{StoredTensor, Values};
use super::header::TensorEntry;
use super::plan::Task;
use super::quantizer::QuantizePanels;
use super::record::Histograms;
use super::source::Checkpoint;

/// Ranges of at most `size` that make up `0..len`.
pub(crate) fn chunks(len: usize, size: usize) -> impl Iterator<Item = Range<usize>> {
    (0..len).step_by(size).map(move |start| start..len.min(start + size))
}

/// Ranges of rows that make up `0..rows`: multiples of `step` rows of about `budget` bytes.
pub(crate) fn panels(
    rows: usize,
    row_bytes: usize,
    step: usize,
    budget: usize,
) -> impl Iterator<Item = Range<usize>> + use<> {
    chunks(rows, (budget / row_bytes.max(1) / step).max(1) * step)
}

/// The type of a tensor that is known to be of a float type.
pub(crate) fn float_type(entry: &TensorEntry) -> InputType {
    entry.dtype.input_type().expect("only floats are selected")
}

/// The bytes of some rows of a 2-D tensor of floats.
pub(crate) fn byte_range(entry: &TensorEntry, rows: &Range<usize>) -> Range<usize> {
    let row_bytes = entry.shape[1] * float_type(entry).bytes();
    rows.start * row_bytes..rows.end * row_bytes
}

/// The largest magnitude of each row, NaN ignored.
pub(crate) fn row_amax(floats: Values<'_>, shape: [usize; 2]) -> Result<Vec<f32>, CheckpointError> {
    let mut amax = vec![0.0; shape[0]];
    let path = Path::detect()?;
    match floats {
        Values::Bf16(input) => fouroversix_cpu::row_amax(path, input, shape, &mut amax)?,
        Values::F16(input) => fouroversix_cpu::row_amax(path, input, shape, &mut amax)?,
        Values::F32(input) => fouroversix_cpu::row_amax(path, input, shape, &mut amax)?,
    }
    Ok(amax)
}

/// The weights of the rows from `first` on that fit `out`, little-endian.
pub(crate) fn fill_dequantized<T: Element + bytemuck::Pod>(
    stored: &StoredTensor<'_>,
    first: usize,
    out: &mut [u8],
) {
    let cols = stored.shape[1];
    if cols == 0 {
        return;
    }
    out.par_chunks_exact_mut(cols * size_of::<T>()).enumerate().for_each_init(
        || vec![T::zeroed(); cols],
        |row, (i, bytes)| {
            stored.dequantize_rows(first + i, row);
            bytes.copy_from_slice(bytemuck::cast_slice(row));
        },
    );
}

/// Refuses floats that are NaN or infinite; they are rows from `first` on of what `task` writes.
pub(crate) fn finite_at<T: Element>(
    checkpoint: &Checkpoint,
    task: &Task,
    floats: &[T],
    first: usize,
    cols: usize,
) -> Result<(), CheckpointError> {
    let odd = floats.par_iter().position_first(|value| !value.to_f32().is_finite());
    let Some(index) = odd else { return Ok(()) };
    let problem = format!(
        "the stack of {} would hold {} at [{}, {}]: use another type, fetch it again, or use the BF16 \
         model that it was made from",
        task.source,
        floats[index].to_f32(),
        first + index / cols,
        index % cols
    );
    Err(CheckpointError::malformed(checkpoint.root(), problem))
}

/// What adds up over the panels of a tensor.
#[derive(Default)]
pub(crate) struct Totals {
    pub(crate) chosen: (Deviation, Choices),
    pub(crate) plain: (Deviation, Choices),
    pub(crate) histograms: Histograms,
}

impl Totals {
    pub(crate) fn add_chosen(&mut self, (deviation, choices): (Deviation, Choices)) {
        self.chosen = (self.chosen.0 + deviation, self.chosen.1 + choices);
    }

    pub(crate) fn add_plain(&mut self, (deviation, choices): (Deviation, Choices)) {
        self.plain = (self.plain.0 + deviation, self.plain.1 + choices);
    }
}

/// Some rows of a tensor and the amax to quantize them with.
pub(crate) struct Panel<'a> {
    pub(crate) floats: Values<'a>,
    pub(crate) shape: [usize; 2],
    pub(crate) amax: PanelAmax<'a>,
}

impl Panel<'_> {
    pub(crate) fn quantize(
        &self,
        quantizer: &mut dyn QuantizePanels,
        config: &Config,
        codes: &mut [u8],
        scales: &mut [u8],
    ) -> Result<Choices, CheckpointError> {
        let mut echoed = vec![0.0; self.amax.slice().len()];
        let out = Nvfp4Mut { codes, scales, global_amax: &mut echoed };
        Ok(quantizer.quantize(self.floats, self.shape, config, self.amax.amax(), out)?)
    }

    pub(crate) fn deviation(
        &self,
        codes: &[u8],
        scales: &[u8],
        rule: Rule,
    ) -> Result<Deviation, CheckpointError> {
        let view = Nvfp4View {
            codes,
            scales,
            global_amax: self.amax.slice(),
            shape: self.shape,
            scale_layout: ScaleLayout::Linear,
            e4m3_max: rule.e4m3_max(),
        };
        Ok(match self.floats {
            Values::Bf16(input) => deviation(view, input)?,
            Values::F16(input) => deviation(view, input)?,
            Values::F32(input) => deviation(view, input)?,
        })
    }
}

/// The amax of a panel's rows.
pub(crate) enum PanelAmax<'a> {
    Tensor([f32; 1]),
    Rows(&'a [f32]),
}

impl PanelAmax<'_> {
    const fn amax(&self) -> Amax<'_> {
        match self {
            Self::Tensor([amax]) => Amax::Tensor(*amax),
            Self::Rows(amax) => Amax::Rows(amax),
        }
    }

    const fn slice(&self) -> &[f32] {
        match self {
            Self::Tensor(amax) => amax,
            Self::Rows(amax) => amax,
        }
    }
}
