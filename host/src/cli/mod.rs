//! The command line.

use std::process::ExitCode;

use clap::{Parser, Subcommand};

mod agreement;
mod args;
mod bench;
mod bench_cpu;
#[cfg(feature = "cuda")]
mod bench_grouped;
mod compare;
#[cfg(feature = "cuda")]
mod cross_check;
mod dequantize;
mod device;
mod devices;
mod error;
mod inspect;
mod print;
mod progress;
mod quantize;
mod report;
mod study;
mod verify;

use error::CliError;

/// NVFP4 quantization with Four Over Six block scaling, bit-exact on CPUs and NVIDIA GPUs.
#[derive(Debug, Parser)]
#[command(version, propagate_version = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Quantize a safetensors file or a Hugging Face model directory.
    Quantize(quantize::Args),
    /// Turn what quantize wrote back into floats.
    Dequantize(dequantize::Args),
    /// Show what is in a checkpoint: tensors, shapes, scale statistics, share of map4.
    Inspect(inspect::Args),
    /// Show the devices that can quantize.
    Devices(devices::Args),
    /// Check every backend of this machine against the reference and golden files, bit for bit.
    Verify(verify::Args),
    /// Compare a GPU with the CPU path on random tensors, every bit.
    #[cfg(feature = "cuda")]
    CrossCheck(cross_check::Args),
    /// Measure, with outputs checked first.
    Bench(bench::Args),
    /// Count the block scales that strict and fast choose alike.
    Agreement(agreement::Args),
    /// Study what quantization loses.
    Study(study::Args),
    /// Write an HTML page and a table of a quantized directory's error figures.
    Report(report::Args),
    /// Compare two checkpoints: bits and values.
    Compare(compare::Args),
}

/// Parses the arguments, does what they say and returns the exit status: 0 when it is done, 1 when
/// a check failed, 2 when the input or an option is at fault.
pub(crate) fn run() -> ExitCode {
    let begin = std::time::Instant::now();
    let result = match Cli::parse().command {
        Command::Quantize(args) => quantize::run(&args),
        Command::Dequantize(args) => dequantize::run(&args),
        Command::Inspect(args) => inspect::run(&args),
        Command::Devices(args) => devices::run(&args),
        Command::Verify(args) => verify::run(&args),
        #[cfg(feature = "cuda")]
        Command::CrossCheck(args) => cross_check::run(&args),
        Command::Bench(args) => bench::run(&args, begin),
        Command::Agreement(args) => agreement::run(&args),
        Command::Study(args) => study::run(&args),
        Command::Report(args) => report::run(&args),
        Command::Compare(args) => compare::run(&args),
    };
    result.unwrap_or_else(|error| {
        eprintln!("error: {error}");
        ExitCode::from(2)
    })
}

/// How a command that ran to its end ends.
type Outcome = Result<ExitCode, CliError>;
