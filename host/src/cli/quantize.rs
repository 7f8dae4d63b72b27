//! `quantize`: floats in, NVFP4 out.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use fouroversix::checkpoint::{
    Checkpoint, Decision, Figures, Glob, QuantizeOptions, Selection, Summary, decide,
    quantize_checkpoint,
};

use super::args::{FormatName, FuseName, NonFiniteName, RuleArgs, TalkArgs, parse_bytes};
use super::device::{DeviceChoice, quantizer};
use super::progress::Progress;
use super::{Outcome, print};

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
    #[arg(long, value_enum, default_value_t = FormatName::CompressedTensors)]
    format: FormatName,

    /// Where to quantize: auto, cpu, cuda or cuda:N
    #[arg(long, default_value_t = DeviceChoice::Auto)]
    device: DeviceChoice,

    /// What to do with NaN and infinities
    #[arg(long, value_enum, default_value_t = NonFiniteName::Error)]
    non_finite: NonFiniteName,

    /// Quantize the tensors whose names match, and no others (* and ? are wildcards; repeatable)
    #[arg(long, value_name = "GLOB")]
    include: Vec<String>,

    /// Leave the tensors alone whose names match (repeatable)
    #[arg(long, value_name = "GLOB")]
    exclude: Vec<String>,

    /// Which parts of a model share a global scale: none, q/k/v and gate/up (linear), or those and
    /// every expert of a stack (experts)
    #[arg(long, value_enum, default_value_t = FuseName::Experts)]
    fuse: FuseName,

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
    let options = QuantizeOptions {
        rule: args.rule.rule()?,
        scaling: args.rule.scaling(),
        format: args.format.into(),
        selection: Selection { include: globs(&args.include), exclude: globs(&args.exclude) },
        fuse: args.fuse.into(),
        non_finite: args.non_finite.into(),
        figures: !args.no_figures,
        max_shard_bytes: args.max_shard_size,
        force: args.force,
    };
    let checkpoint = Checkpoint::open(&args.input)?;
    if args.dry_run {
        return dry_run(args, &checkpoint, &decide(&checkpoint, &options)?);
    }
    let mut quantizer = quantizer(args.device)?;
    let bytes = checkpoint.tensors().map(|(_, entry)| entry.bytes()).sum();
    let mut progress = Progress::new(args.talk, bytes);
    let start = Instant::now();
    let result =
        quantize_checkpoint(&checkpoint, &args.output, &options, quantizer.as_mut(), &mut progress);
    progress.finish();
    let summary = result?;
    if args.talk.json {
        print::json(&summary)?;
    } else if !args.talk.quiet {
        print::line(&closing_lines(args, &summary, &quantizer.name(), start.elapsed()))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn closing_lines(args: &Args, summary: &Summary, device: &str, took: Duration) -> String {
    let mut text = String::new();
    let (mut chosen, mut plain) = (Figures::default(), Figures::default());
    for record in &summary.tensors {
        if let (Some(figures), Some(plain_figures)) = (&record.chosen, &record.plain) {
            chosen.add(figures);
            plain.add(plain_figures);
        }
    }
    if !args.no_figures {
        text += &format!("{}  all of them\n", print::figures(&chosen, Some(&plain)));
    }
    let seconds = took.as_secs_f64();
    text += &format!(
        "{} tensors quantized ({}, {} scaling), {} copied: {} -> {} in {seconds:.1} s on {device}, \
         {}/s\n{}",
        summary.tensors.len(),
        summary.options["rule"],
        summary.options["scaling"],
        summary.kept.len(),
        print::bytes(summary.input_bytes),
        print::bytes(summary.output_bytes),
        // For display only.
        print::bytes((summary.input_bytes as f64 / seconds.max(1e-9)) as u64),
        args.output.display()
    );
    text
}

fn dry_run(args: &Args, checkpoint: &Checkpoint, decisions: &[Decision]) -> Outcome {
    let tensors = checkpoint.tensors().zip(decisions);
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
        print::json(&serde_json::json!({"tensors": rows}))?;
        return Ok(ExitCode::SUCCESS);
    }
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
    let count = decisions.iter().filter(|decision| decision.quantize).count();
    print::line(&format!(
        "{count} of {} tensors would be quantized; nothing was written",
        decisions.len()
    ))?;
    Ok(ExitCode::SUCCESS)
}
