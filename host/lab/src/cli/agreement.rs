//! `agreement`: strict against fast.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use fouroversix::{Config, Rule};
use fouroversix_cli::args::{TalkArgs, shape, side};
use fouroversix_cli::device::{DeviceChoice, Taken, take};
use fouroversix_cli::{Outcome, print};
use indicatif::ProgressBar;

use super::input;
use crate::study::agreement::{self, Source, Table};

/// Options of `agreement`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Rows and columns of the random tensor, multiples of 16
    #[arg(long, num_args = 2, value_parser = side, value_names = ["ROWS", "COLS"], default_values_t = [98_304, 7168])]
    shape: Vec<usize>,

    /// What the random tensor depends on
    #[arg(long, default_value_t = 46)]
    seed: u64,

    /// A safetensors file or model directory whose 2-D tensors take the random tensor's place
    #[arg(long, conflicts_with_all = ["shape", "seed"])]
    weights: Option<PathBuf>,

    /// An amax for tensors to be scaled by in place of their own, as in 5.90625
    #[arg(long, value_parser = positive)]
    amax: Option<f32>,

    /// Where to quantize: auto, cpu, cuda or cuda:N
    #[arg(long, default_value_t = DeviceChoice::Auto)]
    device: DeviceChoice,

    #[command(flatten)]
    talk: TalkArgs,
}

pub(crate) fn run(args: &Args) -> Outcome {
    let config = Config::rowwise(Rule::Plain);
    let taken = take(args.device, &config)?;
    let engine = &taken.engine;
    let weights = args.weights.as_deref().map(input::weights).transpose()?;
    let sources: Vec<Source<'_>> = match &weights {
        Some(weights) => weights.iter().map(Source::Weights).collect(),
        None => vec![Source::Normal { seed: args.seed, shape: shape(&args.shape)? }],
    };
    let bar = if args.talk.quiet { ProgressBar::hidden() } else { ProgressBar::new(1000) };
    let start = Instant::now();
    let mut progress = |share: f64| bar.set_position((share * 1000.0) as u64);
    let table = agreement::run(engine, &sources, args.amax, &mut progress)?;
    bar.finish_and_clear();
    if args.talk.json {
        print::json(&serde_json::json!({
            "source": source(args),
            "hash": format!("{:016x}", table.hash),
            "device": engine.name(),
            "why": taken.why,
            "rows": table.rows,
        }))?;
    } else if !args.talk.quiet {
        print::line(&text(args, &taken, &table, start.elapsed()))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn source(args: &Args) -> String {
    let source = match &args.weights {
        Some(path) => path.display().to_string(),
        None => format!("normal {}x{}, seed {}", args.shape[0], args.shape[1], args.seed),
    };
    match args.amax {
        Some(amax) => format!("{source}, amax {amax}"),
        None => source,
    }
}

/// A value for `--amax`.
fn positive(text: &str) -> Result<f32, String> {
    match text.parse() {
        Ok(value) if value > 0.0 => Ok(value),
        _ => Err("use a positive number".to_owned()),
    }
}

fn text(args: &Args, taken: &Taken, table: &Table, took: Duration) -> String {
    let (source, hash, device) = (source(args), table.hash, taken.engine.name());
    let (rows, took) = (table.to_markdown(), print::duration(took));
    format!("{rows}\n{source}, XXH3 {hash:016x}; {took} on {device}, {}", taken.why)
}
