//! What a quantization will do, before it does anything.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use fouroversix_core::{InputType, Scaling};
use serde_json::Value;

use super::configs;
use super::counts::Counts;
use super::decision::Decision;
use super::error::CheckpointError;
use super::execute::Job;
use super::families::Families;
use super::format::Format;
use super::fuse::is_expert;
use super::glob::Glob;
use super::groups::Groups;
use super::ignore::excluded;
use super::kind::Kind;
use super::modelopt::ModelOptQuantizer;
use super::options::QuantizeOptions;
use super::plan::{Layout, Plan};
use super::prepare::{prepare, source_notes};
use super::roles::{Quantization, Role};
use super::select::{Selection, notes};
use super::settings::{NonFinite, Settings};
use super::source::Checkpoint;
use super::summary::Summary;

/// The file that makes a folder an adapter to loaders.
const ADAPTER: &str = "adapter_config.json";

/// What a quantization will do.
pub(crate) struct Planned {
    /// The input as it is quantized.
    pub(crate) checkpoint: Checkpoint,
    pub(crate) plan: Plan,
    pub(crate) decisions: Vec<Decision>,
    pub(crate) settings: Settings,
    pub(crate) extra: Vec<(&'static str, Vec<u8>)>,
    /// Without what is known at the end.
    pub(crate) summary: Summary,
}

impl Planned {
    pub(crate) fn new(
        checkpoint: &Checkpoint,
        output: &Path,
        options: &QuantizeOptions,
    ) -> Result<Self, CheckpointError> {
        let (prepared, decisions) = decide(checkpoint, options)?;
        let left_out = left_out(checkpoint)?;
        let checkpoint = &prepared;
        let description = describe(options);
        let metadata = BTreeMap::from([
            ("format".to_owned(), "pt".to_owned()),
            ("fouroversix.rule".to_owned(), description["rule"].clone()),
        ]);
        let layout = layout(output, checkpoint, options.max_shard_bytes, metadata);
        let families = Families::of_checkpoint(checkpoint);
        let inputs = match &options.activations {
            Some(activations) => activations.of_tensors(checkpoint, &decisions, &families)?,
            None => HashMap::new(),
        };
        let (format, scaling) = (options.format, options.scaling);
        let plan = Plan::quantize(checkpoint, &decisions, format, scaling, &inputs, &layout)?;
        let settings = Settings {
            rule: options.rule,
            scaling: options.scaling,
            format: options.format,
            non_finite: options.non_finite,
            figures: options.figures,
            output: InputType::Bf16,
        };
        let kept = checkpoint
            .tensors()
            .zip(&decisions)
            .filter(|(_, decision)| !decision.quantize)
            .map(|((_, entry), decision)| (entry.name.clone(), decision.reason.to_string()))
            .collect();
        let ignore = excluded(checkpoint, &decisions, &families, options.format);
        let groups = Groups::of(checkpoint, &decisions, &families, !inputs.is_empty());
        let section = configs::quantization_config(options.format, &groups, &ignore);
        let mut extra = vec![config_file(checkpoint, Some(section))];
        if options.format == Format::ModelOpt {
            let text = configs::pretty(&configs::modelopt_config(&groups, &ignore));
            extra.push((configs::MODELOPT_CONFIG, text));
        }
        let mut counts = Counts::of_decisions(checkpoint, &decisions);
        counts.input += left_out.len();
        counts.left_out = left_out.len();
        let summary = Summary {
            producer: configs::producer(),
            format: options.format.name().to_owned(),
            options: description,
            recipe: options.recipe.clone(),
            counts,
            notes: notes_of(checkpoint, &decisions, left_out.len()),
            sources: if checkpoint.is_dir() { families.sources() } else { Vec::new() },
            tensors: Vec::new(),
            kept,
            left_out,
            input_bytes: plan.bytes(),
            output_bytes: 0,
            shards: Vec::new(),
            files: Vec::new(),
        };
        Ok(Self { checkpoint: prepared, plan, decisions, settings, extra, summary })
    }

    pub(crate) fn job<'a>(&'a self, output: &'a Path, force: bool) -> Job<'a> {
        let checkpoint = &self.checkpoint;
        Job { checkpoint, output, plan: &self.plan, force, extra: &self.extra }
    }
}

/// `checkpoint` as it would be quantized, a matrix for each expert that lies in a stack, and what would
/// be done to each of its tensors, in the order of [`Checkpoint::tensors`].
///
/// # Errors
/// Those of [`super::Selection::decide`], and [`CheckpointError::Option`] for options that do not go
/// together.
pub fn decide(
    checkpoint: &Checkpoint,
    options: &QuantizeOptions,
) -> Result<(Checkpoint, Vec<Decision>), CheckpointError> {
    if options.activations.is_some() && !checkpoint.is_dir() {
        return Err(option_error(
            "activations belong to modules of a model: pass a model directory, or leave them out",
        ));
    }
    if options.as_modelopt
        && (options.rule != ModelOptQuantizer::RULE
            || options.scaling != Scaling::Tensor
            || options.non_finite != NonFinite::Error)
    {
        return Err(option_error(
            "Model-Optimizer's 4/6 has one rule, tensor scaling, and no meaning for NaN and \
             infinities: leave out the options that say otherwise",
        ));
    }
    if checkpoint.is_dir() && options.scaling == Scaling::Row {
        return Err(option_error(
            "row scaling has no place in a checkpoint that serving stacks load (one global scale \
             for each tensor): use tensor or tile scaling, or quantize single files",
        ));
    }
    if checkpoint.is_dir() && checkpoint.root().join(ADAPTER).symlink_metadata().is_ok() {
        return Err(CheckpointError::malformed(
            checkpoint.root(),
            format!(
                "it is an adapter (it has {ADAPTER}), which loaders add to a base model: merge both \
                 (peft's merge_and_unload) and quantize the merged model"
            ),
        ));
    }
    let quantization = Quantization::of(checkpoint)?;
    quantization.refuse(checkpoint)?;
    if checkpoint.is_dir() && checkpoint.config().is_none() {
        return Err(CheckpointError::malformed(
            checkpoint.root(),
            "it has no config.json, without which nothing loads it: fetch that, or pass the \
             .safetensors file itself",
        ));
    }
    let (prepared, decisions) = prepare(checkpoint, options, &quantization.roles)?;
    if let Some(activations) = &options.activations {
        let families = Families::of_checkpoint(&prepared);
        activations.of_tensors(&prepared, &decisions, &families)?;
    }
    if options.format == Format::ModelOpt && checkpoint.is_dir() {
        refuse_fp8_experts(&prepared, &decisions)?;
    }
    Ok((prepared, decisions))
}

/// vLLM 0.33 (`modelopt.py` `get_quant_method`) loads experts of `FP8_PER_CHANNEL_PER_TOKEN` as if
/// they were not quantized.
fn refuse_fp8_experts(
    checkpoint: &Checkpoint,
    decisions: &[Decision],
) -> Result<(), CheckpointError> {
    let mut fp8 =
        checkpoint.tensors().zip(decisions).filter(|(_, decision)| decision.becomes(Kind::Fp8));
    let Some(((_, entry), _)) = fp8.find(|((_, entry), _)| is_expert(&entry.name)) else {
        return Ok(());
    };
    Err(option_error(&format!(
        "{} is an expert's, and no consumer of modelopt's format loads experts in FP8 with a scale \
         for each channel: use --format compressed-tensors or a pattern without experts",
        entry.name
    )))
}

/// The tensors of a quantized source that have no place beside floats, and what they are.
fn left_out(checkpoint: &Checkpoint) -> Result<BTreeMap<String, String>, CheckpointError> {
    let quantization = Quantization::of(checkpoint)?;
    let tensors = checkpoint.tensors().zip(&quantization.roles);
    let scales = tensors.filter(|(_, role)| matches!(role, Role::InputScale | Role::CacheScale));
    Ok(scales.map(|((_, entry), role)| (entry.name.clone(), role.describe())).collect())
}

/// What a reader should know of the choice of tensors and of where they come from.
fn notes_of(prepared: &Checkpoint, decisions: &[Decision], left_out: usize) -> Vec<String> {
    let mut notes = notes(prepared, decisions);
    notes.extend(source_notes(prepared, decisions));
    if left_out > 0 {
        notes.push(format!("{left_out} scales of inputs and of the KV cache are left out"));
    }
    notes
}

fn option_error(problem: &str) -> CheckpointError {
    CheckpointError::Option { problem: problem.to_owned() }
}

fn config_file(checkpoint: &Checkpoint, section: Option<Value>) -> (&'static str, Vec<u8>) {
    let config = configs::with_quantization(checkpoint.config(), section);
    ("config.json", configs::pretty(&config))
}

pub(super) fn layout(
    output: &Path,
    checkpoint: &Checkpoint,
    max_shard_bytes: u64,
    metadata: BTreeMap<String, String>,
) -> Layout {
    if checkpoint.is_dir() {
        let single = format!("{}.safetensors", checkpoint.stem());
        return Layout { max_shard_bytes, single, metadata };
    }
    let single = output.file_name().unwrap_or_default().to_string_lossy().into_owned();
    Layout { max_shard_bytes: u64::MAX, single, metadata }
}

/// The options that decide the bits.
fn describe(options: &QuantizeOptions) -> BTreeMap<String, String> {
    let rule = match options.as_modelopt {
        true => "modelopt 4o6".to_owned(),
        false => options.rule.to_string().replace('-', " "),
    };
    let mut described = BTreeMap::from([
        ("rule".to_owned(), rule),
        ("scaling".to_owned(), options.scaling.to_string()),
        ("fuse".to_owned(), options.fuse.to_string()),
        ("non-finite".to_owned(), options.non_finite.to_string()),
    ]);
    let Selection { include, linear, exclude, fp8 } = &options.selection;
    for (name, globs) in [("include", include), ("nvfp4", linear), ("keep", exclude), ("fp8", fp8)]
    {
        if !globs.is_empty() {
            let globs: Vec<&str> = globs.iter().map(Glob::as_str).collect();
            described.insert(name.to_owned(), globs.join(" "));
        }
    }
    if let Some(activations) = &options.activations {
        described.insert("activations".to_owned(), activations.digest());
    }
    described
}
