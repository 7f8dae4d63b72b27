//! Whole runs: a checkpoint in, a checkpoint out.

use std::collections::BTreeMap;
use std::collections::HashMap;
use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use xxhash_rust::xxh3::Xxh3;

use super::configs;
use super::copy::copy_others;
use super::counts::Counts;
use super::error::CheckpointError;
use super::format::Format;
use super::fuse::Fuse;
use super::plan::{Layout, Plan};
use super::quantizer::{CpuQuantizer, Quantizer};
use super::record::TensorRecord;
use super::run::{NonFinite, Observer, Runner, Settings};
use super::select::{Decision, Selection};
use super::source::{Checkpoint, INDEX};
use super::workdir::{Finished, SUMMARY, WorkDir, beside, check_output, lock};
use super::write::{digest_of, parent_of, sync_folder, write_file};
use crate::{InputType, Rule, Scaling};

/// How a checkpoint is quantized.
#[derive(Clone, Debug)]
pub struct QuantizeOptions {
    /// How block scales are chosen.
    pub rule: Rule,
    /// What shares a scale. A directory allows no row scaling: no serving stack's format has it.
    pub scaling: Scaling,
    /// The format written.
    pub format: Format,
    /// Which tensors.
    pub selection: Selection,
    /// Which of them share a global scale.
    pub fuse: Fuse,
    /// What to do with NaN and infinities.
    pub non_finite: NonFinite,
    /// Whether error figures of the rule and of plain NVFP4 are taken.
    pub figures: bool,
    /// Bytes of tensors a shard may hold.
    pub max_shard_bytes: u64,
    /// Whether an output that is there is replaced.
    pub force: bool,
}

/// What a run wrote, and about what.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// The program and its version.
    pub producer: Value,
    /// The format's name.
    pub format: String,
    /// The options that decide the bits, as text.
    pub options: BTreeMap<String, String>,
    /// How many tensors became what.
    #[serde(default)]
    pub counts: Counts,
    /// Every quantized tensor.
    pub tensors: Vec<TensorRecord>,
    /// Names of the tensors copied unchanged, and why.
    pub kept: BTreeMap<String, String>,
    /// Bytes of tensors read.
    pub input_bytes: u64,
    /// Bytes of files with tensors written.
    pub output_bytes: u64,
    /// The files with tensors.
    pub shards: Vec<String>,
}

/// What would be done to each tensor.
///
/// # Errors
/// Those of [`Selection::decide`], and [`CheckpointError::Option`] for options that do not go
/// together.
pub fn decide(
    checkpoint: &Checkpoint,
    options: &QuantizeOptions,
) -> Result<Vec<Decision>, CheckpointError> {
    if checkpoint.is_dir() && options.scaling == Scaling::Row {
        return Err(option_error(
            "row scaling has no place in a checkpoint that serving stacks load (one global scale \
             for each tensor): use --scaling tensor or tile, or quantize single files",
        ));
    }
    let quantized_before =
        checkpoint.config().is_some_and(|config| config.contains_key(configs::QUANTIZATION_CONFIG));
    if quantized_before {
        return Err(CheckpointError::malformed(
            checkpoint.root(),
            "its config.json says that it is quantized already: dequantize it first",
        ));
    }
    options.selection.decide(checkpoint, options.scaling, options.fuse)
}

/// Quantizes `checkpoint` to `output`: a file to a file, a directory to a directory.
///
/// The output appears when it is complete. A directory that was interrupted goes on where it
/// stopped; see [`super`].
///
/// # Errors
/// Those of [`decide`]; [`CheckpointError::Exists`]; [`CheckpointError::NonFinite`];
/// [`CheckpointError::Write`], after which a directory's finished shards are kept.
pub fn quantize_checkpoint(
    checkpoint: &Checkpoint,
    output: &Path,
    options: &QuantizeOptions,
    quantizer: &mut dyn Quantizer,
    observer: &mut dyn Observer,
) -> Result<Summary, CheckpointError> {
    let decisions = decide(checkpoint, options)?;
    let description = describe(options);
    let metadata = BTreeMap::from([
        ("format".to_owned(), "pt".to_owned()),
        ("fouroversix.rule".to_owned(), description["rule"].clone()),
    ]);
    let layout = layout(output, checkpoint, options.max_shard_bytes, metadata);
    let plan = Plan::quantize(checkpoint, &decisions, options.format, options.scaling, &layout)?;
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
    let ignore = configs::unquantized_modules(checkpoint, &decisions);
    let section = configs::quantization_config(options.format, &ignore);
    let mut extra = vec![config_file(checkpoint, Some(section))];
    if options.format == Format::ModelOpt {
        let text = configs::pretty(&configs::modelopt_config(&ignore));
        extra.push((configs::MODELOPT_CONFIG, text));
    }
    let job = Job { checkpoint, output, plan: &plan, force: options.force, extra };
    let summary = Summary {
        producer: configs::producer(),
        format: options.format.name().to_owned(),
        options: description,
        counts: Counts::of_decisions(checkpoint, &decisions),
        tensors: Vec::new(),
        kept,
        input_bytes: plan.bytes(),
        output_bytes: 0,
        shards: Vec::new(),
    };
    job.run(Runner::new(checkpoint, &plan, settings, quantizer, observer), summary)
}

/// Writes the weights that a quantized `checkpoint` stands for, as floats of type `element`.
///
/// Stored tensors are computed as [`super::StoredTensor::dequantize`] does, other floats rounded to
/// nearest even, everything else copied.
///
/// # Errors
/// [`CheckpointError::Malformed`] when nothing is quantized, or parts don't fit together;
/// [`CheckpointError::Exists`] and [`CheckpointError::Write`].
pub fn dequantize_checkpoint(
    checkpoint: &Checkpoint,
    output: &Path,
    element: InputType,
    max_shard_bytes: u64,
    force: bool,
    observer: &mut dyn Observer,
) -> Result<Summary, CheckpointError> {
    let metadata = BTreeMap::from([("format".to_owned(), "pt".to_owned())]);
    let layout = layout(output, checkpoint, max_shard_bytes, metadata);
    let plan = Plan::dequantize(checkpoint, element, &layout)?;
    let settings = Settings {
        rule: Rule::Plain,
        scaling: Scaling::Tensor,
        format: Format::CompressedTensors,
        non_finite: NonFinite::Error,
        figures: false,
        output: element,
    };
    let extra = checkpoint.config().map(|_| config_file(checkpoint, None)).into_iter().collect();
    let job = Job { checkpoint, output, plan: &plan, force, extra };
    let summary = Summary {
        producer: configs::producer(),
        format: "dequantized".to_owned(),
        options: BTreeMap::from([("dtype".to_owned(), format!("{element:?}"))]),
        counts: Counts::of_dequantization(checkpoint, &plan),
        tensors: Vec::new(),
        kept: BTreeMap::new(),
        input_bytes: plan.bytes(),
        output_bytes: 0,
        shards: Vec::new(),
    };
    let mut cpu = CpuQuantizer;
    job.run(Runner::new(checkpoint, &plan, settings, &mut cpu, observer), summary)
}

fn option_error(problem: &str) -> CheckpointError {
    CheckpointError::Option { problem: problem.to_owned() }
}

fn config_file(checkpoint: &Checkpoint, section: Option<Value>) -> (&'static str, Vec<u8>) {
    let config = configs::with_quantization(checkpoint.config(), section);
    ("config.json", configs::pretty(&config))
}

fn layout(
    output: &Path,
    checkpoint: &Checkpoint,
    max_shard_bytes: u64,
    metadata: BTreeMap<String, String>,
) -> Layout {
    if checkpoint.is_dir() {
        let single = "model.safetensors".to_owned();
        return Layout { max_shard_bytes, single, metadata };
    }
    let single = output.file_name().unwrap_or_default().to_string_lossy().into_owned();
    Layout { max_shard_bytes: u64::MAX, single, metadata }
}

/// The options that decide the bits.
fn describe(options: &QuantizeOptions) -> BTreeMap<String, String> {
    let rule = match options.rule {
        Rule::Plain => "plain".to_owned(),
        Rule::FourOverSix { metric, error_path, e4m3_max } => {
            format!("{metric:?} {error_path:?} {}", e4m3_max.value()).to_lowercase()
        }
    };
    BTreeMap::from([
        ("rule".to_owned(), rule),
        ("scaling".to_owned(), format!("{:?}", options.scaling).to_lowercase()),
        ("fuse".to_owned(), format!("{:?}", options.fuse).to_lowercase()),
        ("non-finite".to_owned(), format!("{:?}", options.non_finite).to_lowercase()),
    ])
}

/// A planned run.
struct Job<'a> {
    checkpoint: &'a Checkpoint,
    output: &'a Path,
    plan: &'a Plan,
    force: bool,
    /// A directory's files beside the shards: name and text.
    extra: Vec<(&'static str, Vec<u8>)>,
}

impl Job<'_> {
    fn run(&self, mut runner: Runner<'_>, summary: Summary) -> Result<Summary, CheckpointError> {
        if self.checkpoint.is_dir() {
            check_output(self.output, self.force)?;
            self.check_apart()?;
            self.directory(&mut runner, summary)
        } else {
            if !self.force && fs::symlink_metadata(self.output).is_ok() {
                return Err(CheckpointError::Exists { path: self.output.to_owned() });
            }
            self.file(&mut runner, summary)
        }
    }

    /// A directory that grew inside the one it is read from would be copied into itself.
    fn check_apart(&self) -> Result<(), CheckpointError> {
        let root = self.checkpoint.root();
        let resolve = |path: &Path| fs::canonicalize(path);
        let source = resolve(root).map_err(|error| CheckpointError::read(root, error))?;
        let parent = parent_of(self.output);
        let parent = resolve(parent).map_err(|error| CheckpointError::write(parent, error))?;
        let name = self.output.file_name().unwrap_or_default();
        if parent.join(name).starts_with(&source) {
            return Err(option_error(&format!(
                "{} lies in {}, which is being read: choose an output elsewhere",
                self.output.display(),
                root.display()
            )));
        }
        Ok(())
    }

    fn file(
        &self,
        runner: &mut Runner<'_>,
        mut summary: Summary,
    ) -> Result<Summary, CheckpointError> {
        let shard = &self.plan.shards[0];
        if self.output.is_dir() {
            return Err(option_error(&format!(
                "{} is a folder but the input is a file: name the output file",
                self.output.display()
            )));
        }
        let partial = beside(self.output, ".partial");
        let held = lock(&partial)?;
        let written = runner.shard(&partial, shard).and_then(|(_, records)| {
            fs::rename(&partial, self.output)
                .map_err(|error| CheckpointError::write(self.output, error))?;
            sync_folder(parent_of(self.output))?;
            Ok(records)
        });
        drop(held);
        if written.is_err() {
            // What is reported is why the run failed, not that its leftovers stayed.
            let _ = fs::remove_file(&partial);
        }
        summary.tensors = written?;
        summary.shards.push(shard.name.clone());
        summary.output_bytes = file_bytes(self.output)?;
        Ok(summary)
    }

    fn directory(
        &self,
        runner: &mut Runner<'_>,
        summary: Summary,
    ) -> Result<Summary, CheckpointError> {
        let mut work = WorkDir::open(self.output, &self.fingerprint(&summary.options)?)?;
        if work.restarted {
            runner.observer().note("an interrupted run with other options or input is discarded");
        }
        match self.fill(runner, summary, &mut work) {
            Ok(summary) => {
                work.finish()?;
                Ok(summary)
            }
            Err(error) => {
                // Bad input does not get better by going on; a full disk, a lost mount or a device
                // without memory does.
                if !error.may_pass() {
                    work.discard()?;
                }
                Err(error)
            }
        }
    }

    fn fill(
        &self,
        runner: &mut Runner<'_>,
        mut summary: Summary,
        work: &mut WorkDir,
    ) -> Result<Summary, CheckpointError> {
        let out = work.out();
        let earlier: HashMap<String, Finished> =
            work.finished.drain(..).map(|line| (line.shard.clone(), line)).collect();
        let mut weight_map = Map::new();
        let mut tensor_bytes = 0;
        for shard in &self.plan.shards {
            let path = out.join(&shard.name);
            let verified = earlier.get(&shard.name).filter(|line| {
                digest_of(&path, &shard.header, &shard.encoded)
                    .is_some_and(|digest| line.digest == format!("{digest:032x}"))
            });
            if let Some(line) = verified {
                runner.observer().note(&format!("{} was finished before: kept", shard.name));
                runner.observer().advance(shard.tasks.iter().map(|task| task.bytes).sum());
                summary.tensors.extend(line.tensors.iter().cloned());
            } else {
                let (digest, tensors) = runner.shard(&path, shard)?;
                let digest = format!("{digest:032x}");
                work.record(&Finished {
                    shard: shard.name.clone(),
                    digest,
                    tensors: tensors.clone(),
                })?;
                summary.tensors.extend(tensors);
            }
            for entry in &shard.header.entries {
                weight_map.insert(entry.name.clone(), shard.name.clone().into());
                tensor_bytes += entry.bytes();
            }
            summary.shards.push(shard.name.clone());
            summary.output_bytes += file_bytes(&path)?;
        }
        for (name, text) in &self.extra {
            write_file(&out.join(name), text)?;
        }
        if self.plan.shards.len() > 1 {
            let index = serde_json::json!({
                "metadata": {"total_size": tensor_bytes},
                "weight_map": weight_map,
            });
            write_file(&out.join(INDEX), &configs::pretty(&index))?;
        }
        write_file(&out.join(SUMMARY), &configs::pretty(&summary))?;
        for skipped in copy_others(self.checkpoint, &out)? {
            runner.observer().note(&format!("{skipped} is not copied"));
        }
        Ok(summary)
    }

    /// Identifies what a run does: its options, its input's files, its output's headers.
    fn fingerprint(&self, options: &BTreeMap<String, String>) -> Result<String, CheckpointError> {
        let mut hash = Xxh3::new();
        hash.update(env!("CARGO_PKG_VERSION").as_bytes());
        hash.update(format!("{options:?}").as_bytes());
        for file in self.checkpoint.files() {
            let path = file.path();
            let meta = fs::metadata(path).map_err(|error| CheckpointError::read(path, error))?;
            let modified = meta.modified().map_err(|error| CheckpointError::read(path, error))?;
            hash.update(format!("{path:?} {} {modified:?}", meta.len()).as_bytes());
        }
        for shard in &self.plan.shards {
            hash.update(&shard.encoded);
        }
        Ok(format!("{:032x}", hash.digest128()))
    }
}

fn file_bytes(path: &Path) -> Result<u64, CheckpointError> {
    fs::metadata(path).map(|meta| meta.len()).map_err(|error| CheckpointError::read(path, error))
}
