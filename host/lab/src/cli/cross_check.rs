//! `cross-check`: a GPU against the CPU path, every bit.

use std::fmt;
use std::process::ExitCode;
use std::time::Duration;

use fouroversix_cli::args::count;
use fouroversix_cli::device::open;
use fouroversix_cli::error::CliError;
use fouroversix_cli::{Outcome, print};

use crate::cross_check::{Options, Report, adversarial, handle, large, random};

/// Options of `cross-check`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The GPU's number
    #[arg(long, default_value_t = 0)]
    gpu: usize,

    /// Elements to compare for each mode
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..), default_value_t = 100_000_000)]
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
    #[arg(long, value_name = "TENSORS", value_parser = count, conflicts_with = "large")]
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
    finish(&reports)
}

/// Prints reports and what they come to.
pub(super) fn finish(reports: &[Report]) -> Outcome {
    for report in reports {
        print::line(&report.to_string())?;
    }
    let verdict = Verdict::of(reports);
    print::line(&verdict.to_string())?;
    verdict.outcome()
}

/// How many modes passed, failed and were not compared at all.
#[derive(Debug, PartialEq, Eq)]
struct Verdict {
    passed: usize,
    failed: usize,
    skipped: usize,
}

impl Verdict {
    fn of(reports: &[Report]) -> Self {
        let skipped = reports.iter().filter(|report| report.elements == 0).count();
        let failed = reports.iter().filter(|report| report.mismatches > 0).count();
        Self { passed: reports.len() - skipped - failed, failed, skipped }
    }

    /// A run that compared nothing shows nothing: an error.
    fn outcome(&self) -> Outcome {
        match self {
            Self { passed: 0, failed: 0, .. } => Err(CliError::said(
                "nothing was compared: use fewer words in --filter, or a larger --budget",
            )),
            Self { failed: 0, .. } => Ok(ExitCode::SUCCESS),
            _ => Ok(ExitCode::FAILURE),
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { passed, failed, skipped } = self;
        write!(f, "{passed} passed, {failed} failed, {skipped} skipped")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_that_compared_nothing_does_not_pass() {
        let report = |elements, mismatches| Report {
            mode: String::new(),
            elements,
            mismatches,
            first_mismatch: None,
        };
        for (reports, status) in [
            (vec![], None),
            (vec![report(0, 0)], None),
            (vec![report(9, 0), report(0, 0)], Some(ExitCode::SUCCESS)),
            (vec![report(9, 0), report(9, 1)], Some(ExitCode::FAILURE)),
        ] {
            assert_eq!(Verdict::of(&reports).outcome().ok(), status, "{reports:?}");
        }
    }
}
