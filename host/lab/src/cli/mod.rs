//! The command line of `fouroversix-lab`.

mod agreement;
mod bench;
mod bench_cpu;
mod bench_grouped;
mod cross_check;
mod input;
mod soak;
mod study;
mod transformed;
mod verify;

use std::process::ExitCode;
use std::time::Instant;

use clap::{Parser, Subcommand};
use fouroversix_cli::Outcome;

/// Benchmarks and studies of fouroversix, and comparisons of a GPU with the CPU.
#[derive(Debug, Parser)]
#[command(version, propagate_version = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Compare a GPU with the CPU path on random tensors, every bit.
    CrossCheck(cross_check::Args),
    /// Compare a GPU with the CPU path under random shapes, modes, streams, threads, graphs and groups.
    Soak(soak::Args),
    /// Check every backend of this machine against golden data and the reference, bit for bit.
    Verify(verify::Args),
    /// Measure, with outputs checked first.
    Bench(bench::Args),
    /// Count the block scales that strict and fast choose alike.
    Agreement(agreement::Args),
    /// Study what quantization loses.
    Study(study::Args),
    /// Transform a file of bf16 elements as the reference does (step T1).
    Transformed(transformed::Args),
}

/// Parses the arguments, does what they say and returns the exit status.
#[must_use]
pub fn run() -> ExitCode {
    let begin = Instant::now();
    fouroversix_cli::run_as(|cli: Cli| cli.command.run(begin))
}

impl Command {
    fn run(&self, begin: Instant) -> Outcome {
        match self {
            Self::CrossCheck(args) => cross_check::run(args),
            Self::Soak(args) => soak::run(args),
            Self::Verify(args) => verify::run(args),
            Self::Bench(args) => bench::run(args, begin),
            Self::Agreement(args) => agreement::run(args),
            Self::Study(args) => study::run(args),
            Self::Transformed(args) => transformed::run(args),
        }
    }
}
