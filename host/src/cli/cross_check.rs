//! `cross-check`: a GPU against the CPU path, every bit.

use std::process::ExitCode;
use std::time::Duration;

use fouroversix::cross_check::{Options, adversarial, handle, large, random};

use super::device::open;
use super::{Outcome, print};

/// Options of `cross-check`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The GPU's number
    #[arg(long, default_value_t = 0)]
    gpu: usize,

    /// Elements to compare for each mode
    #[arg(long, default_value_t = 100_000_000)]
    elements: u64,

    /// What the random numbers depend on
    #[arg(long, default_value_t = 46)]
    seed: u64,

    /// Only modes whose name has these words, as in "bf16 mse-strict-256 tile"
    #[arg(long, value_name = "WORDS", default_value = "")]
    filter: String,

    /// Seconds after which no new batch is begun
    #[arg(long, default_value_t = 600)]
    budget: u64,

    /// One tensor of more than 2^32 elements instead
    #[arg(long)]
    large: bool,

    /// Inputs at the edges of every decision instead, this many tensors of 32x96 of each kind
    #[arg(long, value_name = "TENSORS", conflicts_with = "large")]
    adversarial: Option<usize>,

    /// The ways to launch instead: graphs, groups, threads, small shapes, refusals
    #[arg(long, conflicts_with_all = ["large", "adversarial"])]
    handle: bool,
}

pub(crate) fn run(args: &Args) -> Outcome {
    let device = open(args.gpu)?;
    let mut progress = |line: &str| print::aside(line);
    let reports = if args.large {
        large(&device, &mut progress)?
    } else if args.handle {
        handle(&device, &mut progress)?
    } else if let Some(tensors) = args.adversarial {
        adversarial(&device, tensors, &args.filter, &mut progress)?
    } else {
        let options = Options {
            elements: args.elements,
            seed: args.seed,
            filter: args.filter.clone(),
            budget: Duration::from_secs(args.budget),
        };
        random(&device, &options, &mut progress)?
    };
    for report in &reports {
        print::line(&report.to_string())?;
    }
    let skipped = reports.iter().filter(|report| report.elements == 0).count();
    let failed = reports.iter().filter(|report| report.mismatches > 0).count();
    let passed = reports.len() - skipped - failed;
    print::line(&format!("{passed} passed, {failed} failed, {skipped} skipped"))?;
    Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
