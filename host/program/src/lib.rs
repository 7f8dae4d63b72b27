//! The command line of the program `fouroversix`.
//!
//! A library for the sake of the project's other programs, which share its options, devices and
//! ways to print. Depend on the crate `fouroversix` instead: this one's interface may change at any
//! time.

use std::io::Write;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

pub mod args;
mod compare;
mod counts;
mod dequantize;
pub mod device;
mod devices;
mod engine;
pub mod error;
mod input;
mod inspect;
mod interrupt;
#[cfg(unix)]
mod lost;
mod next;
mod parts;
pub mod print;
mod progress;
mod quantize;
mod recipe;
mod report;
pub mod verify;

pub use engine::Engine;
pub use error::Outcome;

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
    /// Show what is in a checkpoint: tensors, shapes, scale statistics.
    Inspect(inspect::Args),
    /// Show the devices that can quantize.
    Devices(devices::Args),
    /// Check every backend of this machine against the answers that the program carries, bit for bit.
    Verify(verify::Args),
    /// Write an HTML page and a table of a quantized directory's error figures.
    Report(report::Args),
    /// Compare two checkpoints: bits and values.
    Compare(compare::Args),
}

/// Parses the arguments, does what they say and returns the exit status.
#[must_use]
pub fn run() -> ExitCode {
    // Where the system refuses, it ends the program by the signal, as it would without.
    #[cfg(unix)]
    let _ = lost::explain();
    run_as(|cli: Cli| cli.command.run())
}

/// Parses the arguments of a program, does what they say and returns the exit status: 0 when it is
/// done, 1 when a check failed, 2 when the input or an option is at fault.
pub fn run_as<C: Parser>(program: impl FnOnce(C) -> Outcome) -> ExitCode {
    // Looked for by hand: errors in the arguments are to be JSON too.
    let json = std::env::args_os().take_while(|arg| arg != "--").any(|arg| arg == "--json");
    let result = match C::try_parse() {
        Ok(arguments) => program(arguments),
        Err(error) => no_command(&error, json),
    };
    result.unwrap_or_else(|error| error.report(json))
}

impl Command {
    fn run(&self) -> Outcome {
        match self {
            Self::Quantize(args) => quantize::run(args),
            Self::Dequantize(args) => dequantize::run(args),
            Self::Inspect(args) => inspect::run(args),
            Self::Devices(args) => devices::run(args),
            Self::Verify(args) => verify::run(args),
            Self::Report(args) => report::run(args),
            Self::Compare(args) => compare::run(args),
        }
    }
}

/// Help and versions, which were asked for, and arguments that don't parse.
fn no_command(error: &clap::Error, json: bool) -> Outcome {
    if error.use_stderr() {
        // Nobody may be there to read it; the status tells.
        let _ = error.print();
        if json {
            let text = error.to_string();
            let first = text.split("\n\n").next().unwrap_or(&text);
            error::document("argument", first.trim_start_matches("error: ").trim());
        }
        return Ok(ExitCode::from(2));
    }
    print::unless_unread(error.print().and_then(|()| std::io::stdout().flush()), ())?;
    Ok(ExitCode::SUCCESS)
}
