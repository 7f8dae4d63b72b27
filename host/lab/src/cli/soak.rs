//! `soak` and `faults`: a device under everything at once, and a device that fails.

use std::time::Duration;

use fouroversix_cli::args::count;
use fouroversix_cli::device::open;
use fouroversix_cli::{Outcome, print};

use super::cross_check::finish;
use crate::cross_check::{SoakOptions, faults, soak};

/// Options of `soak`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The GPU's number
    #[arg(long, default_value_t = 0)]
    gpu: usize,

    /// How long
    #[arg(long, default_value_t = 600)]
    seconds: u64,

    /// What the random choices depend on
    #[arg(long, default_value_t = 21)]
    seed: u64,

    /// Threads, each with a stream of its own
    #[arg(long, value_parser = count, default_value = "8")]
    threads: usize,

    /// Too little memory and a lost device instead, after which this process ends
    #[arg(long)]
    faults: bool,
}

pub(crate) fn run(args: &Args) -> Outcome {
    let device = open(args.gpu)?;
    if args.faults {
        return finish(&faults(&device, &mut |line| print::aside(line))?);
    }
    let options = SoakOptions {
        time: Duration::from_secs(args.seconds),
        seed: args.seed,
        threads: args.threads,
    };
    finish(&soak(&device, options, &|line| print::aside(line))?)
}
