//! `quantize`: floats in, NVFP4 out.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::builder::PossibleValuesParser;
use fouroversix::checkpoint::{
    Activations, Checkpoint, Counts, Decision, Figures, Format, Fuse, Glob, Kind, NonFinite, Part,
    PartOutcome, QuantizeOptions, Selection, Summary, decide, finish_parts, notes, part_of_tensors,
    quantize_checkpoint, quantize_part,
};
use fouroversix::{Config, Outputs, Rule, ScaleLayout};
use serde::Serialize;

use super::args::{RuleArgs, TalkArgs, named, parse_bytes};
use super::counts::{self, Verb};
use super::device::{DeviceChoice, Ran, take};
use super::error::{CliError, Outcome};
use super::progress::Progress;
use super::recipe::{PRESETS, Recipe};
use super::{input, interrupt, next, parts, print};

/// Options of `quantize`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// A .safetensors file or a Hugging Face model directory
    input: PathBuf,

    /// The file or directory to write
    output: PathBuf,

    #[command(flatten)]
    rule: RuleArgs,

    /// The layout to write [default: compressed-tensors]
    #[arg(long, value_parser = named::<Format>(Format::ALL.map(Format::name)))]
    format: Option<Format>,

    /// Take what is not said here from a TOML file
    #[arg(long, value_name = "FILE", conflicts_with = "like")]
    recipe: Option<PathBuf>,

    /// Take what is not said here from a recipe that comes with the program
    #[arg(long, value_name = "PRESET", value_parser = PossibleValuesParser::new(PRESETS))]
    like: Option<String>,

    /// Where to quantize: auto, cpu, cuda, cuda:N or, on every GPU at once, cuda:all
    #[arg(long, default_value_t = DeviceChoice::Auto)]
    device: DeviceChoice,

    /// What to do with NaN and infinities [default: error]
    #[arg(long, value_parser = named::<NonFinite>(NonFinite::ALL.map(NonFinite::name)))]
    non_finite: Option<NonFinite>,

    /// Quantize the tensors whose names match, and no others (* and ? are wildcards; repeatable)
    #[arg(long, value_name = "GLOB")]
    include: Vec<String>,

    /// Leave the tensors alone whose names match (repeatable)
    #[arg(long, visible_alias = "keep", value_name = "GLOB")]
    exclude: Vec<String>,

    /// Write the Linear weights whose names match as FP8, with a scale for each output channel and
    /// for activations that are quantized as they come (repeatable)
    #[arg(long, value_name = "GLOB")]
    fp8: Vec<String>,

    /// Which parts of a model share a global scale: none, q/k/v and gate/up (linear), or those and
    /// every expert of a stack (experts) [default: linear]
    #[arg(long, value_parser = named::<Fuse>(Fuse::ALL.map(Fuse::name)))]
    fuse: Option<Fuse>,

    /// Quantize activations too (W4A4), by the largest input of each module in a JSON file, as
    /// scripts/collect_activations.py writes it
    #[arg(long, value_name = "FILE")]
    activations: Option<PathBuf>,

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

    /// Make part I of N of a directory, as one of N processes on a shared file system; the last to
    /// end puts the output in its place
    #[arg(long, value_name = "I/N", conflicts_with = "force")]
    part: Option<Part>,

    /// Verify the parts that were made with --part and put the output in its place
    #[arg(long, conflicts_with_all = ["part", "force", "dry_run"])]
    finish: bool,

    #[command(flatten)]
    talk: TalkArgs,
}

pub(crate) fn run(args: &Args) -> Outcome {
    let options = options(args)?;
    let checkpoint = input::open(&args.input)?;
    if args.dry_run {
        let (prepared, decisions) = decide(&checkpoint, &options)?;
        return dry_run(args, &prepared, &decisions);
    }
    let config = Config::new(options.rule, options.scaling, Outputs::Rowwise, ScaleLayout::Linear)
        .map_err(fouroversix::Error::from)?;
    // The end of parts quantizes nothing, and ModelOpt's rule is the CPU's.
    let choice = if args.finish || options.as_modelopt { DeviceChoice::Cpu } else { args.device };
    let taken = take(choice, &config)?;
    let mut quantizer = taken.quantizer();
    interrupt::explain(&args.input, &args.output)?;
    let bytes: u64 = checkpoint.tensors().map(|(_, entry)| entry.bytes()).sum();
    // Of a part its share, which is about this.
    let parts = args.part.map_or(1, Part::count) as u64;
    let searches = matches!(options.rule, Rule::Search { .. });
    let mut progress = Progress::new(args.talk, bytes / parts).with_map4(!searches);
    let start = Instant::now();
    let (output, on, told) = (&args.output, quantizer.as_mut(), &mut progress);
    let result = match args.part {
        _ if args.finish => finish_parts(&checkpoint, output, &options, told),
        Some(part) => quantize_part(&checkpoint, output, &options, part, on, told),
        None => quantize_checkpoint(&checkpoint, output, &options, on, told)
            .map(|summary| PartOutcome::Finished(Box::new(summary))),
    };
    let took = start.elapsed();
    let printed = progress.finish();
    let summary = match result? {
        PartOutcome::Finished(summary) => summary,
        other => {
            let closed = parts::tell(args.talk, args.part, output, &other);
            printed.and(closed).map_err(CliError::from)?;
            return Ok(ExitCode::SUCCESS);
        }
    };
    let device = match args.finish {
        true => Ran { name: "none".to_owned(), why: "the parts were quantized before".to_owned() },
        false => taken.ran(quantizer.as_ref()),
    };
    let closed = if args.talk.json {
        print::json(&Told {
            summary: summary.as_ref(),
            device: &device,
            seconds: took.as_secs_f64(),
        })
    } else if !args.talk.quiet {
        print::line(&closing_lines(args, &summary, &device, took))
    } else {
        Ok(())
    };
    printed.and(closed).map_err(|error| CliError::output(error, &args.output))?;
    Ok(ExitCode::SUCCESS)
}

/// What is done, by the command line and by the recipe in what that does not say.
fn options(args: &Args) -> Result<QuantizeOptions, CliError> {
    let (mut rule, recipe) = (args.rule.clone(), recipe(args)?);
    let Recipe { said, record } = recipe;
    let as_modelopt = said.fill_rule(&mut rule)?;
    let lists = [
        ("--include", &args.include, "nvfp4", &said.nvfp4),
        ("--fp8", &args.fp8, "fp8", &said.fp8),
        ("--keep", &args.exclude, "keep", &said.keep),
    ];
    for (option, given, key, in_recipe) in lists {
        if !given.is_empty() && in_recipe.is_some() {
            return Err(CliError::said(format!(
                "{option} does not go with a recipe that has {key}: leave one of them out"
            )));
        }
    }
    let globs = |patterns: &[String]| patterns.iter().map(|glob| Glob::new(glob)).collect();
    let either = |given: &[String], in_recipe: &Option<Vec<String>>| -> Vec<Glob> {
        globs(if given.is_empty() { in_recipe.as_deref().unwrap_or_default() } else { given })
    };
    let selection = Selection {
        include: globs(&args.include),
        linear: globs(said.nvfp4.as_deref().unwrap_or_default()),
        exclude: either(&args.exclude, &said.keep),
        fp8: either(&args.fp8, &said.fp8),
    };
    let options = QuantizeOptions::default()
        .with_rule(rule.rule()?)
        .with_scaling(rule.scaling())
        .with_format(args.format.or(said.format).unwrap_or_default())
        .with_selection(selection)
        .with_fuse(args.fuse.or(said.fuse).unwrap_or_default())
        .with_non_finite(args.non_finite.or(said.non_finite).unwrap_or_default())
        .with_figures(!args.no_figures)
        .with_max_shard_bytes(args.max_shard_size)
        .with_force(args.force);
    let options = if as_modelopt {
        if !matches!(args.device, DeviceChoice::Auto | DeviceChoice::Cpu) {
            return Err(CliError::said(
                "modelopt-4o6 is computed on the CPU alone: leave --device out",
            ));
        }
        // Another error path or bound than its own is refused.
        let rule = options.rule;
        options.with_as_modelopt().with_rule(rule)
    } else {
        options
    };
    let options = match args.activations.as_ref().or(said.activations.as_ref()) {
        Some(path) => options.with_activations(Activations::read(path)?),
        None => options,
    };
    Ok(match record {
        Some(record) => options.with_recipe(record),
        None => options,
    })
}

fn recipe(args: &Args) -> Result<Recipe, CliError> {
    match (&args.recipe, &args.like) {
        (Some(path), _) => Recipe::read(path),
        (None, Some(preset)) => Recipe::preset(preset),
        (None, None) => Ok(Recipe::default()),
    }
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
        next::ours("inspect", &[output], "the tensors and their scales")
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
    let counts = print::counts_map4(&summary.options["rule"]);
    any.then(|| print::figures(&chosen, Some(&plain), counts))
}

fn dry_run(args: &Args, checkpoint: &Checkpoint, decisions: &[Decision]) -> Outcome {
    // Of a part its tensors alone; the counts are those of all.
    let part = args.part.unwrap_or_default();
    let numbers = part_of_tensors(checkpoint, decisions, part.count());
    let tensors = checkpoint.tensors().zip(decisions).zip(numbers);
    let tensors = tensors.filter(|(_, number)| *number == part.number()).map(|(tensor, _)| tensor);
    let counts = Counts::of_decisions(checkpoint, decisions);
    if args.talk.json {
        let rows: Vec<_> = tensors
            .map(|((_, entry), decision)| {
                serde_json::json!({
                    "name": entry.name,
                    "dtype": entry.dtype.name(),
                    "shape": entry.shape,
                    "quantize": decision.quantize,
                    "kind": decision.quantize.then(|| decision.kind.name()),
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
        let verb = match (decision.quantize, decision.kind) {
            (false, _) => "keep",
            (true, Kind::Nvfp4) => "quantize",
            (true, Kind::Fp8) => "fp8",
        };
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
