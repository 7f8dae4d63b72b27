//! What holds for all tensors of a run, and what a run tells.

use fouroversix_core::{
    Config, InputType, Outputs, Rule, ScaleLayout, Scaling, named, serde_by_name,
};

use super::error::CheckpointError;
use super::format::Format;
use super::header::TensorEntry;
use super::record::TensorRecord;
use super::scan::Extent;

/// What a run tells while it goes on.
pub trait Observer {
    /// `bytes` more of the input are done.
    fn advance(&mut self, bytes: u64);

    /// A tensor was quantized.
    fn tensor(&mut self, record: &TensorRecord);

    /// Something worth a line.
    fn note(&mut self, text: &str);
}

/// What to do with NaN and infinities in the input.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum NonFinite {
    /// Stop with [`CheckpointError::NonFinite`].
    #[default]
    Error,
    /// Quantize by the numeric contract: NaN does not count in maxima and becomes 6 (code 7);
    /// with an infinity the global scale is 1, infinities become ±6 and scales clamp at 448.
    Saturate,
}

impl NonFinite {
    /// `error` or `saturate`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Saturate => "saturate",
        }
    }
}

named!(NonFinite, "policy for NaN and infinities", [Error, Saturate]);
serde_by_name!(NonFinite);

/// What holds for every tensor of a run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Settings {
    pub(crate) rule: Rule,
    pub(crate) scaling: Scaling,
    pub(crate) format: Format,
    pub(crate) non_finite: NonFinite,
    /// Whether the error of the chosen rule and of plain NVFP4 is measured.
    pub(crate) figures: bool,
    /// What dequantized tensors become.
    pub(crate) output: InputType,
}

impl Settings {
    pub(crate) fn config(&self, rule: Rule) -> Result<Config, CheckpointError> {
        Config::new(rule, self.scaling, Outputs::Rowwise, ScaleLayout::Linear)
            .map_err(|error| CheckpointError::Quantize(error.into()))
    }

    /// Refuses rows of `entry`, the first of them `first`, that hold what is not finite, unless they
    /// are to saturate.
    pub(crate) fn check_finite(
        &self,
        extent: &Extent,
        entry: &TensorEntry,
        first: usize,
    ) -> Result<(), CheckpointError> {
        let (Some((index, value)), NonFinite::Error) = (extent.non_finite, self.non_finite) else {
            return Ok(());
        };
        let cols = entry.shape[1];
        let position = [first + index / cols, index % cols];
        Err(CheckpointError::NonFinite { tensor: entry.name.clone(), position, value })
    }

    /// Rows that must stay together.
    pub(crate) const fn row_step(&self) -> usize {
        if matches!(self.scaling, Scaling::Tile) { 16 } else { 1 }
    }
}
