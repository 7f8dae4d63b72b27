//! `bench grouped-linear`: what quantization costs a layer.

use std::process::ExitCode;

use clap::ValueEnum;
use fouroversix_cli::args::count;
use fouroversix_cli::device::open;
use fouroversix_cli::{Outcome, print};

use crate::study::grouped::{self, Operands};

/// Options of `bench grouped-linear`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The GPU's number
    #[arg(long, default_value_t = 0)]
    gpu: usize,

    /// Rows of activations, over all groups
    #[arg(long, num_args = 1.., value_parser = count, default_values_t = [16_384, 32_768, 65_536, 98_304])]
    m: Vec<usize>,

    /// Output features
    #[arg(long, value_parser = count, default_value_t = 2048)]
    n: usize,

    /// Input features
    #[arg(long, value_parser = count, default_value_t = 7168)]
    k: usize,

    /// Groups, as mixtures of experts have them
    #[arg(long, num_args = 1.., value_parser = count, default_values_t = [4, 8])]
    num_gemms: Vec<usize>,

    /// Steps of each recipe that are not timed
    #[arg(long, default_value_t = 5)]
    warmup: usize,

    /// Steps of each recipe that are timed
    #[arg(long, value_parser = count, default_value_t = 50)]
    iterations: usize,

    /// In what to multiply [default: nvfp4 on Blackwell (untested on hardware), else bf16]
    #[arg(long, value_enum)]
    operands: Option<OperandsName>,

    /// What the random tensors depend on
    #[arg(long, default_value_t = 46)]
    seed: u64,

    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum OperandsName {
    Bf16,
    Nvfp4,
}

impl From<OperandsName> for Operands {
    fn from(name: OperandsName) -> Self {
        match name {
            OperandsName::Bf16 => Self::Bf16,
            OperandsName::Nvfp4 => Self::Nvfp4,
        }
    }
}

pub(crate) fn run(args: &Args) -> Outcome {
    let device = open(args.gpu)?;
    let options = grouped::Options {
        m: args.m.clone(),
        n: args.n,
        k: args.k,
        groups: args.num_gemms.clone(),
        warmup: args.warmup,
        iterations: args.iterations,
        operands: args.operands.map(Operands::from),
        seed: args.seed,
    };
    let record = grouped::run(&device, &options, &mut |line| print::aside(line))?;
    let text = if args.json { record.to_json() } else { record.to_markdown() };
    print::line(text.trim_end())?;
    Ok(if record.problem.is_none() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
