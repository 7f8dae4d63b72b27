//! How many tensors of an input became what.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::header::TensorEntry;
use super::plan::{Plan, Work};
use super::select::Decision;
use super::source::Checkpoint;

/// How many tensors of an input became what. `quantized`, `parts`, `converted`, `kept` and `copied`
/// add up to `input`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Counts {
    /// Tensors of the input.
    pub input: usize,
    /// Quantized.
    pub quantized: usize,
    /// Tensors that codes and scales of the input were turned back into.
    pub dequantized: usize,
    /// Tensors of the input that held those codes and scales.
    pub parts: usize,
    /// Floats written in another type.
    pub converted: usize,
    /// BF16, F16 and F32 tensors written as they were.
    pub kept: usize,
    /// Tensors of other types, written as they were.
    pub copied: usize,
    /// Why tensors were not quantized, and how many for each reason.
    pub reasons: BTreeMap<String, usize>,
}

impl Counts {
    /// Of a quantization with these decisions, one for each tensor.
    #[must_use]
    pub fn of_decisions(checkpoint: &Checkpoint, decisions: &[Decision]) -> Self {
        let mut counts = Self { input: checkpoint.tensors().count(), ..Self::default() };
        for ((_, entry), decision) in checkpoint.tensors().zip(decisions) {
            if decision.quantize {
                counts.quantized += 1;
            } else {
                counts.unchanged(entry);
                *counts.reasons.entry(decision.reason.to_string()).or_default() += 1;
            }
        }
        counts
    }

    /// Of a dequantization with this plan.
    pub(crate) fn of_dequantization(checkpoint: &Checkpoint, plan: &Plan) -> Self {
        let mut counts = Self { input: checkpoint.tensors().count(), ..Self::default() };
        for task in plan.shards.iter().flat_map(|shard| &shard.tasks) {
            match &task.work {
                Work::Dequantize(_) => counts.dequantized += 1,
                Work::Convert => counts.converted += 1,
                _ => counts
                    .unchanged(checkpoint.get(&task.source).expect("the plan was made from it").1),
            }
        }
        counts.parts = counts.input - counts.converted - counts.kept - counts.copied;
        counts
    }

    fn unchanged(&mut self, entry: &TensorEntry) {
        if entry.dtype.input_type().is_some() {
            self.kept += 1;
        } else {
            self.copied += 1;
        }
    }
}
