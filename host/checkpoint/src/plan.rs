//! What a run will write: which tensors go where, laid out before the first is computed.

use std::collections::{BTreeMap, HashMap, HashSet};

use fouroversix_core::Scaling;

use super::activations::{input_scale, input_scale_name};
use super::decision::Decision;
use super::error::CheckpointError;
use super::format::Format;
use super::fp8;
use super::header::{Dtype, Header, TensorEntry};
use super::join::{Join, JoinBiases};
use super::kind::Kind;
use super::nvfp4::StoredName;
use super::source::Checkpoint;

/// How the bytes of some output tensors come about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Work {
    /// The source's bytes, unchanged.
    Copy,
    /// Codes, scales and global scale, in this order.
    Quantize {
        /// Whose amax it takes; its own name when it stands alone.
        group: String,
        /// Whether others take the same.
        shared: bool,
    },
    /// FP8 codes and scales, in this order.
    Fp8,
    /// These bytes.
    Given(Vec<u8>),
    /// The weights of a stored tensor.
    Dequantize(StoredName),
    /// The weights of experts, in a stack.
    Join(Join),
    /// The biases of experts, in one tensor.
    JoinBiases(JoinBiases),
}

/// Some output tensors that are computed together.
#[derive(Clone, Debug)]
pub(crate) struct Task {
    /// The source tensor; for [`Work::Dequantize`] its codes.
    pub(crate) source: String,
    pub(crate) work: Work,
    /// Indices into the header's entries.
    pub(crate) regions: Vec<usize>,
    /// Input bytes, for progress.
    pub(crate) bytes: u64,
}

/// One output file.
#[derive(Clone, Debug)]
pub(crate) struct ShardPlan {
    pub(crate) name: String,
    pub(crate) header: Header,
    /// The header's bytes.
    pub(crate) encoded: Vec<u8>,
    pub(crate) tasks: Vec<Task>,
}

/// All output files.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) shards: Vec<ShardPlan>,
}

impl Plan {
    /// Input bytes of all tasks.
    pub(crate) fn bytes(&self) -> u64 {
        self.shards.iter().flat_map(|shard| &shard.tasks).map(|task| task.bytes).sum()
    }

    /// Tasks and their future shards when `decisions` are carried out; `inputs` are the amaxes of inputs
    /// that are quantized too, by tensors.
    pub(crate) fn quantize(
        checkpoint: &Checkpoint,
        decisions: &[Decision],
        format: Format,
        scaling: Scaling,
        inputs: &HashMap<String, f32>,
        layout: &Layout,
    ) -> Result<Self, CheckpointError> {
        let mut drafts = Vec::new();
        for ((_, entry), decision) in checkpoint.tensors().zip(decisions) {
            if decision.becomes(Kind::Fp8) {
                drafts.push(Draft::new(entry, Work::Fp8, fp8::entries(entry, format)));
            } else if decision.quantize {
                let group = decision.group.clone();
                let work = Work::Quantize {
                    shared: group.is_some(),
                    group: group.unwrap_or_else(|| entry.name.clone()),
                };
                drafts.push(Draft::new(entry, work, quantized_entries(entry, format, scaling)));
                if let Some(&amax) = inputs.get(&entry.name) {
                    drafts.push(input_scale_of(entry, format, amax));
                }
            } else {
                drafts.push(Draft::new(entry, Work::Copy, vec![entry.clone()]));
            }
        }
        layout.shards(drafts)
    }
}

fn quantized_entries(entry: &TensorEntry, format: Format, scaling: Scaling) -> Vec<TensorEntry> {
    let names = format.part_names(&entry.name);
    let (rows, cols) = (entry.shape[0], entry.shape[1]);
    let globals = if scaling == Scaling::Row { rows } else { 1 };
    let part = |name: String, dtype: &str, shape: Vec<usize>| TensorEntry {
        name,
        dtype: Dtype::new(dtype),
        shape,
        range: 0..0,
    };
    vec![
        part(names.codes, "U8", vec![rows, cols / 2]),
        part(names.scales, "F8_E4M3", vec![rows, cols / 16]),
        part(names.global, "F32", format.global_shape(globals)),
    ]
}

/// The scale of the input of `entry`'s module.
fn input_scale_of(entry: &TensorEntry, format: Format, amax: f32) -> Draft {
    let output = TensorEntry {
        name: input_scale_name(format, &entry.name),
        dtype: Dtype::new("F32"),
        shape: format.global_shape(1),
        range: 0..0,
    };
    let work = Work::Given(input_scale(format, amax).to_le_bytes().to_vec());
    Draft { source: entry.name.clone(), work, outputs: vec![output], bytes: 0 }
}

/// A task before its shard is known.
pub(super) struct Draft {
    source: String,
    work: Work,
    outputs: Vec<TensorEntry>,
    bytes: u64,
}

impl Draft {
    pub(super) fn new(entry: &TensorEntry, work: Work, outputs: Vec<TensorEntry>) -> Self {
        Self { source: entry.name.clone(), work, outputs, bytes: entry.bytes() }
    }

    /// A task that takes `bytes` of several tensors, the first of them `source`.
    pub(super) fn joined(source: String, work: Work, output: TensorEntry, bytes: u64) -> Self {
        Self { source, work, outputs: vec![output], bytes }
    }

    fn output_bytes(&self) -> u64 {
        self.outputs
            .iter()
            .map(|entry| match entry.dtype.bits() {
                Some(bits) => super::header::element_count(&entry.shape).unwrap_or(0) * bits / 8,
                None => entry.bytes(),
            })
            .sum()
    }
}

/// How output files are cut and named.
#[derive(Clone, Debug)]
pub(crate) struct Layout {
    /// Bytes of tensors a shard may hold; a task that is larger gets a shard of its own.
    pub(crate) max_shard_bytes: u64,
    /// The name when there is one file: `model.safetensors`; otherwise the files are called
    /// `model-00001-of-00002.safetensors` and so on.
    pub(crate) single: String,
    pub(crate) metadata: BTreeMap<String, String>,
}

impl Layout {
    pub(super) fn shards(&self, drafts: Vec<Draft>) -> Result<Plan, CheckpointError> {
        check_names(&drafts)?;
        let mut groups: Vec<Vec<Draft>> = vec![Vec::new()];
        let mut filled = 0_u64;
        for draft in drafts {
            let bytes = draft.output_bytes();
            let current = groups.last().expect("there is always one");
            if !current.is_empty() && filled.saturating_add(bytes) > self.max_shard_bytes {
                groups.push(Vec::new());
                filled = 0;
            }
            filled = filled.saturating_add(bytes);
            groups.last_mut().expect("there is always one").push(draft);
        }
        let count = groups.len();
        let stem = self.single.strip_suffix(".safetensors").unwrap_or("model");
        let name = |i: usize| match count {
            1 => self.single.clone(),
            _ => format!("{stem}-{:05}-of-{count:05}.safetensors", i + 1),
        };
        let groups = groups.into_iter().enumerate();
        Ok(Plan { shards: groups.map(|(i, drafts)| self.shard(name(i), drafts)).collect() })
    }

    fn shard(&self, name: String, drafts: Vec<Draft>) -> ShardPlan {
        let outputs: Vec<TensorEntry> =
            drafts.iter().flat_map(|draft| draft.outputs.iter().cloned()).collect();
        let (header, encoded) = Header::layout(outputs, self.metadata.clone());
        let named = header.entries.iter().enumerate();
        let region_of: HashMap<String, usize> =
            named.map(|(i, entry)| (entry.name.clone(), i)).collect();
        let tasks = drafts
            .into_iter()
            .map(|draft| Task {
                regions: draft.outputs.iter().map(|entry| region_of[&entry.name]).collect(),
                source: draft.source,
                work: draft.work,
                bytes: draft.bytes,
            })
            .collect();
        ShardPlan { name, header, encoded, tasks }
    }
}

/// Refuses outputs of the same name, in whatever shard: loaders see one of them.
fn check_names(drafts: &[Draft]) -> Result<(), CheckpointError> {
    let mut seen = HashSet::new();
    let names = drafts.iter().flat_map(|draft| &draft.outputs).map(|entry| &entry.name);
    let Some(twice) = names.into_iter().find(|name| !seen.insert(*name)) else { return Ok(()) };
    let problem = format!("the output would hold two tensors called {twice}: exclude one of them");
    Err(CheckpointError::Option { problem })
}
