//! How many tensors of an input became what.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::decision::Decision;
use super::header::TensorEntry;
use super::kind::Kind;
use super::roles::Role;
use super::source::Checkpoint;

/// How many tensors of an input became what. `quantized`, `parts`, `kept`, `copied` and `left_out`
/// add up to `input`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Counts {
    /// Tensors of the input.
    pub input: usize,
    /// Quantized.
    pub quantized: usize,
    /// Of those the ones that became FP8.
    #[serde(skip_serializing_if = "is_zero")]
    pub fp8: usize,
    /// Tensors that codes and scales of the input were turned back into.
    pub dequantized: usize,
    /// Tensors of the input that held those codes and scales.
    pub parts: usize,
    /// BF16, F16 and F32 tensors written as they were.
    pub kept: usize,
    /// Tensors of other types, written as they were.
    pub copied: usize,
    /// Scales of inputs and of the KV cache, which floats have no place for.
    pub left_out: usize,
    /// Why tensors were not quantized, and how many for each reason.
    pub reasons: BTreeMap<String, usize>,
}

#[allow(clippy::trivially_copy_pass_by_ref)] // serde's signature
fn is_zero(count: &usize) -> bool {
    *count == 0
}

impl Counts {
    /// Of a quantization with these decisions, one for each tensor.
    #[must_use]
    pub fn of_decisions(checkpoint: &Checkpoint, decisions: &[Decision]) -> Self {
        let mut counts = Self { input: checkpoint.tensors().count(), ..Self::default() };
        for ((_, entry), decision) in checkpoint.tensors().zip(decisions) {
            if decision.quantize {
                counts.quantized += 1;
                counts.fp8 += usize::from(decision.becomes(Kind::Fp8));
            } else {
                counts.unchanged(entry);
                *counts.reasons.entry(decision.reason.to_string()).or_default() += 1;
            }
        }
        counts
    }

    /// Of a dequantization of tensors with these roles, one for each.
    pub(crate) fn of_dequantization(checkpoint: &Checkpoint, roles: &[Role]) -> Self {
        let mut counts = Self { input: checkpoint.tensors().count(), ..Self::default() };
        for ((_, entry), role) in checkpoint.tensors().zip(roles) {
            match role {
                Role::Codes(_) | Role::Encoded(_) => {
                    counts.dequantized += 1;
                    counts.parts += 1;
                }
                Role::Part(_) => counts.parts += 1,
                Role::InputScale | Role::CacheScale => counts.left_out += 1,
                Role::Plain | Role::Foreign(_) => counts.unchanged(entry),
            }
        }
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
