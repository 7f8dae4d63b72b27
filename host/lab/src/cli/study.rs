//! `study`: what quantization loses.

use std::path::PathBuf;
use std::process::ExitCode;

use fouroversix::checkpoint::check_not_read;
use fouroversix_cli::args::{TalkArgs, shape, side};
use fouroversix_cli::error::CliError;
use fouroversix_cli::{Outcome, print};

use super::input;
use crate::study::{error, training};

/// Options of `study`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Relative MSE and SQNR of each rule on random tensors and real weights, on the CPU
    Error(ErrorArgs),
    /// Bias and variance of stochastic rounding, and the error with a transform, on the CPU
    Training(TrainingArgs),
}

#[derive(Debug, clap::Args)]
struct TrainingArgs {
    /// Rows and columns of the random tensors, multiples of 16
    #[arg(long, num_args = 2, value_parser = side, value_names = ["ROWS", "COLS"], default_values_t = [256, 1024])]
    shape: Vec<usize>,

    /// How many draws a mean is over
    #[arg(long, value_name = "N", default_value_t = 1024, value_parser = clap::value_parser!(u64).range(2..))]
    draws: u64,

    /// What the random tensors and the random bytes depend on
    #[arg(long, default_value_t = 46)]
    seed: u64,

    #[command(flatten)]
    talk: TalkArgs,
}

#[derive(Debug, clap::Args)]
struct ErrorArgs {
    /// Rows and columns of the random tensors, multiples of 16
    #[arg(long, num_args = 2, value_parser = side, value_names = ["ROWS", "COLS"], default_values_t = [8192, 4096])]
    shape: Vec<usize>,

    /// What the random tensors depend on
    #[arg(long, default_value_t = 46)]
    seed: u64,

    /// A safetensors file or model directory with real weights
    #[arg(long)]
    weights: Option<PathBuf>,

    /// What to call the weights [default: the last part of the path]
    #[arg(long, requires = "weights")]
    weights_name: Option<String>,

    /// A file to write a plot to, as SVG
    #[arg(long)]
    svg: Option<PathBuf>,

    #[command(flatten)]
    talk: TalkArgs,
}

pub(crate) fn run(args: &Args) -> Outcome {
    match &args.what {
        What::Error(args) => run_error(args),
        What::Training(args) => run_training(args),
    }
}

fn run_training(args: &TrainingArgs) -> Outcome {
    let options =
        training::Options { shape: shape(&args.shape)?, draws: args.draws, seed: args.seed };
    let mut progress = |line: &str| {
        if !args.talk.quiet {
            print::aside(line);
        }
    };
    let record = training::run(&options, &mut progress)?;
    if args.talk.json {
        print::json(&record)?;
    } else if !args.talk.quiet {
        print::line(record.to_markdown().trim_end())?;
    }
    Ok(ExitCode::SUCCESS)
}

fn run_error(args: &ErrorArgs) -> Outcome {
    if let Some((svg, weights)) = args.svg.as_deref().zip(args.weights.as_deref()) {
        check_not_read(svg, weights)?;
    }
    let weights = args.weights.as_deref().map(input::weights).transpose()?;
    let name = args
        .weights_name
        .clone()
        .or_else(|| Some(args.weights.as_deref()?.file_name()?.to_string_lossy().into_owned()));
    let weights = weights.as_deref().map(|it| (name.as_deref().unwrap_or("weights"), it));
    let options = error::Options { shape: shape(&args.shape)?, seed: args.seed };
    let mut progress = |line: &str| {
        if !args.talk.quiet {
            print::aside(line);
        }
    };
    let table = error::run(&options, weights, &mut progress)?;
    if args.talk.json {
        print::json(&table)?;
    } else if !args.talk.quiet {
        print::line(table.to_markdown().trim_end())?;
    }
    // Last: what took minutes has been printed when the file can't be written.
    if let Some(path) = &args.svg {
        std::fs::write(path, table.to_svg()).map_err(|error| {
            CliError::said(format!("cannot write {}: {error}: check --svg", path.display()))
        })?;
    }
    Ok(ExitCode::SUCCESS)
}
