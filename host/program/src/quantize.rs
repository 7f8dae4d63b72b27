//! `quantize`: floats in, NVFP4 out.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use fouroversix::checkpoint::{
    Checkpoint, Counts, Decision, Figures, Format, Fuse, Glob, NonFinite, QuantizeOptions,
    Selection, Summary, decide, notes, quantize_checkpoint,
};
use fouroversix::{Config, Outputs, ScaleLayout};
use serde::Serialize;

use super::args::{RuleArgs, TalkArgs, named, parse_bytes};
use super::counts::{self, Verb};
use super::device::{DeviceChoice, Ran, take};
use super::error::{CliError, Outcome};
use super::progress::Progress;
use super::{input, interrupt, next, print};

/// Options of `quantize`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// A .safetensors file or a Hugging Face model directory
    input: PathBuf,

    /// The file or directory to write
    output: PathBuf,

    #[command(flatten)]
    rule: RuleArgs,

    /// The layout to write
    #[arg(long, value_parser = named::<Format>(Format::ALL.map(Format::name)))]
    #[arg(default_value_t)]
    format: Format,

    /// Where to quantize: auto, cpu, cuda or cuda:N
    #[arg(long, default_value_t = DeviceChoice::Auto)]
    device: DeviceChoice,

    /// What to do with NaN and infinities
    #[arg(long, value_parser = named::<NonFinite>(NonFinite::ALL.map(NonFinite::name)))]
    #[arg(default_value_t)]
    non_finite: NonFinite,

    /// Quantize the tensors whose names match, and no others (* and ? are wildcards; repeatable)
    #[arg(long, value_name = "GLOB")]
    include: Vec<String>,

    /// Leave the tensors alone whose names match (repeatable)
    #[arg(long, value_name = "GLOB")]
    exclude: Vec<String>,

    /// Which parts of a model share a global scale: none, q/k/v and gate/up (linear), or those and
    /// every expert of a stack (experts)
    #[arg(long, value_parser = named::<Fuse>(Fuse::ALL.map(Fuse::name)), default_value_t)]
    fuse: Fuse,

    /// Bytes of tensors that a shard of a directory may hold, as in 5GB
    #[arg(long, value_parser = parse_bytes, default_value = "5GB")]
    max_shard_size: u64,

    /// Skip the error figures, which take a second quantization by the plain rule
    #[arg(long)]
    no_figures: bool,

    /// Show what would be done to each tensor, and why; write nothing
    #[arg(long)]
    dry_run: bool,

    /// Replace an output that is there
    #[arg(long)]
    force: bool,

    #[command(flatten)]
    talk: TalkArgs,
}

pub(crate) fn run(args: &Args) -> Outcome {
    let globs = |patterns: &[String]| patterns.iter().map(|glob| Glob::new(glob)).collect();
    let selection = Selection { include: globs(&args.include), exclude: globs(&args.exclude) };
    let options = QuantizeOptions::default()
        .with_rule(args.rule.rule()?)
        .with_scaling(args.rule.scaling())
        .with_format(args.format)
        .with_selection(selection)
        .with_fuse(args.fuse)
        .with_non_finite(args.non_finite)
        .with_figures(!args.no_figures)
        .with_max_shard_bytes(args.max_shard_size)
        .with_force(args.force);
    let checkpoint = input::open(&args.input)?;
    if args.dry_run {
        return dry_run(args, &checkpoint, &decide(&checkpoint, &options)?);
    }
    let config = Config::new(options.rule, options.scaling, Outputs::Rowwise, ScaleLayout::Linear)
        .map_err(fouroversix::Error::from)?;
    let taken = take(args.device, &config)?;
    let mut quantizer = taken.quantizer();
    interrupt::explain(&args.input, &args.output)?;
    let bytes = checkpoint.tensors().map(|(_, entry)| entry.bytes()).sum();
    let mut progress = Progress::new(args.talk, bytes);
    let start = Instant::now();
    let result =
        quantize_checkpoint(&checkpoint, &args.output, &options, quantizer.as_mut(), &mut progress);
    let took = start.elapsed();
    let printed = progress.finish();
    let summary = result?;
    let device = taken.ran(quantizer.as_ref());
    let closed = if args.talk.json {
        print::json(&Told { summary: &summary, device: &device, seconds: took.as_secs_f64() })
    } else if !args.talk.quiet {
        print::line(&closing_lines(args, &summary, &device, took))
    } else {
        Ok(())
    };
    printed.and(closed).map_err(|error| CliError::output(error, &args.output))?;
    Ok(ExitCode::SUCCESS)
}

/// What `--json` prints: the summary, and what depends on the machine.
#[derive(Serialize)]
struct Told<'a> {
    #[serde(flatten)]
    summary: &'a Summary,
    device: &'a Ran,
    seconds: f64,
}

fn closing_lines(args: &Args, summary: &Summary, device: &Ran, took: Duration) -> String {
    let mut text = String::new();
    if let Some(figures) = overall(summary) {
        text += &format!("{figures}  all of them\n");
    }
    let how = format!("{}, {} scaling", summary.options["rule"], summary.options["scaling"]);
    text += &counts::text(&summary.counts, Verb::Was(&how));
    text.extend(summary.notes.iter().map(|note| format!("note: {note}\n")));
    let [input, output] = [summary.input_bytes, summary.output_bytes].map(print::bytes);
    // For display only.
    let rate = (summary.input_bytes as f64 / took.as_secs_f64().max(1e-9)) as u64;
    text += &format!(
        "{input} -> {output} in {} ({}/s)\ndevice: {device}\n{}",
        print::duration(took),
        print::bytes(rate),
        args.output.display()
    );
    text + "\n" + next_steps(args).trim_end()
}

/// What the output can be looked at with, and served.
fn next_steps(args: &Args) -> String {
    let output = args.output.as_path();
    let looked_at = if output.is_dir() && !args.no_figures {
        next::ours("report", &[output], "the error of each weight, as a page and a table")
    } else {
        next::ours("inspect", &[output], "the tensors, their scales and their share of map4")
    };
    if output.is_dir() {
        return looked_at + &next::theirs("vllm serve", &[output], "needs vLLM and an NVIDIA GPU");
    }
    let input = args.input.as_path();
    looked_at + &next::ours("compare", &[input, output], "bits and values beside the input's")
}

/// The figures of all tensors together, if they were taken.
fn overall(summary: &Summary) -> Option<String> {
    let (mut chosen, mut plain) = (Figures::default(), Figures::default());
    let mut any = false;
    for record in &summary.tensors {
        if let (Some(figures), Some(plain_figures)) = (&record.chosen, &record.plain) {
            chosen.add(figures);
            plain.add(plain_figures);
            any = true;
        }
    }
    any.then(|| print::figures(&chosen, Some(&plain)))
}

fn dry_run(args: &Args, checkpoint: &Checkpoint, decisions: &[Decision]) -> Outcome {
    let tensors = checkpoint.tensors().zip(decisions);
    let counts = Counts::of_decisions(checkpoint, decisions);
    if args.talk.json {
        let rows: Vec<_> = tensors
            .map(|((_, entry), decision)| {
                serde_json::json!({
                    "name": entry.name,
                    "dtype": entry.dtype.name(),
                    "shape": entry.shape,
                    "quantize": decision.quantize,
                    "reason": decision.reason,
                    "group": decision.group,
                })
            })
            .collect();
        print::json(&serde_json::json!({
            "tensors": rows,
            "counts": counts,
            "notes": notes(checkpoint, decisions),
        }))?;
        return Ok(ExitCode::SUCCESS);
    }
    if args.talk.quiet {
        return Ok(ExitCode::SUCCESS);
    }
    checkpoint.notes().iter().for_each(|note| print::aside(&format!("note: {note}")));
    for ((_, entry), decision) in tensors {
        let verb = if decision.quantize { "quantize" } else { "keep" };
        let group = match &decision.group {
            Some(group) if decision.quantize => format!(", one global scale with {group}"),
            _ => String::new(),
        };
        print::line(&format!(
            "{verb:8}  {} {:?} {} ({}{group})",
            entry.name, entry.shape, entry.dtype, decision.reason
        ))?;
    }
    for note in notes(checkpoint, decisions) {
        print::line(&format!("note: {note}"))?;
    }
    print::line(&format!("{}nothing was written", counts::text(&counts, Verb::Would)))?;
    Ok(ExitCode::SUCCESS)
}
