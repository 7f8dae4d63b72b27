//! `bench`: measurements.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use fouroversix::checkpoint::Checkpoint;
use fouroversix_cli::Outcome;
use fouroversix_cli::args::{count, shape, side};
use fouroversix_cli::device::open;
use fouroversix_cli::error::CliError;
use fouroversix_cli::print;

use super::bench_cpu;
use super::bench_grouped;
use crate::bench::{kernels, ranks};

/// Options of `bench`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// The CPU path, each mode beside a copy of the input in the same run
    Cpu(bench_cpu::Args),
    /// GPU kernels, each beside a copy of as many bytes in the same run
    Kernels(KernelArgs),
    /// A grouped linear layer, forward and backward, quantized by each recipe
    GroupedLinear(bench_grouped::Args),
    /// A tensor cut over all GPUs of the host: amax and quantization, with and without an all-reduce
    Ranks(RankArgs),
    /// From the start of the process to the first result on a GPU
    Startup(StartupArgs),
}

#[derive(Debug, clap::Args)]
struct StartupArgs {
    /// The GPU's number
    #[arg(long, default_value_t = 0)]
    gpu: usize,

    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
struct RankArgs {
    /// Rows and columns of the whole tensor, multiples of 16
    #[arg(long, num_args = 2, value_parser = side, value_names = ["ROWS", "COLS"], default_values_t = [16_384, 6144])]
    shape: Vec<usize>,

    /// GPUs, from the first on [default: all]
    #[arg(long, value_parser = count)]
    ranks: Option<usize>,

    /// Launches of each work that are not timed
    #[arg(long, default_value_t = 20)]
    warmup: usize,

    /// Launches of each work that are timed
    #[arg(long, value_parser = count, default_value_t = 1000)]
    iterations: usize,

    /// The commit that was built, for the record
    #[arg(long)]
    commit: Option<String>,

    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
struct KernelArgs {
    /// The GPU's number
    #[arg(long, default_value_t = 0)]
    gpu: usize,

    /// Rows and columns of the large tensors, multiples of 16
    #[arg(long, num_args = 2, value_parser = side, value_names = ["ROWS", "COLS"], default_values_t = [16_384, 6144])]
    shape: Vec<usize>,

    /// Launches of each work that are not timed
    #[arg(long, default_value_t = 20)]
    warmup: usize,

    /// Launches of each work that are timed
    #[arg(long, value_parser = count, default_value_t = 2000)]
    iterations: usize,

    /// Only rows whose group and name have these words
    #[arg(long, value_name = "WORDS", default_value = "")]
    filter: String,

    /// A safetensors file with real weights for the rows that take them
    #[arg(long)]
    weights: Option<PathBuf>,

    /// The commit that was built, for the record
    #[arg(long)]
    commit: Option<String>,

    /// Print JSON
    #[arg(long, conflicts_with = "csv")]
    json: bool,

    /// Print comma-separated values
    #[arg(long)]
    csv: bool,
}

/// `begin` is when the process began.
pub(crate) fn run(args: &Args, begin: Instant) -> Outcome {
    match &args.what {
        What::Cpu(args) => bench_cpu::run(args),
        What::Kernels(args) => run_kernels(args),
        What::GroupedLinear(args) => bench_grouped::run(args),
        What::Ranks(args) => run_ranks(args),
        What::Startup(args) => {
            let startup = kernels::startup(begin, args.gpu)?;
            if args.json {
                print::json(&startup)?;
            } else {
                print::line(&startup.to_string())?;
            }
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn run_ranks(args: &RankArgs) -> Outcome {
    let all = fouroversix::cuda::device_count()?;
    let options = ranks::Options {
        shape: shape(&args.shape)?,
        ranks: args.ranks.unwrap_or(all),
        warmup: args.warmup,
        iterations: args.iterations,
        commit: args.commit.clone(),
    };
    let record = ranks::run(&options)?;
    if args.json {
        print::json(&record)?;
    } else {
        print::line(record.to_markdown().trim_end())?;
    }
    Ok(if record.correct() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn run_kernels(args: &KernelArgs) -> Outcome {
    let device = open(args.gpu)?;
    let options = kernels::Options {
        shape: shape(&args.shape)?,
        warmup: args.warmup,
        iterations: args.iterations,
        filter: args.filter.clone(),
        weights: args.weights.as_deref().map(floats).transpose()?.unwrap_or_default(),
        commit: args.commit.clone(),
    };
    let record = kernels::run(&device, &options, &mut |line| print::aside(line))?;
    if record.rows.is_empty() {
        return Err(CliError::said(format!(
            "no row has all the words of --filter {:?}: use fewer",
            args.filter
        )));
    }
    let text = match (args.json, args.csv) {
        (true, _) => record.to_json(),
        (_, true) => record.to_csv(),
        _ => record.to_markdown(),
    };
    print::line(text.trim_end())?;
    Ok(if record.correct() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// All weights of a file that are 2-D and FP32, one after the other.
fn floats(path: &std::path::Path) -> Result<Vec<f32>, CliError> {
    let checkpoint = Checkpoint::open(path)?;
    let mut weights = Vec::new();
    for (file, entry) in checkpoint.tensors() {
        if entry.dtype.name() == "F32" && entry.shape.len() == 2 {
            let elements = file.bytes(entry).chunks_exact(4);
            weights.extend(elements.map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])));
        }
    }
    if weights.is_empty() {
        return Err(CliError::said(format!(
            "{} has no 2-D F32 tensor: pass another file with --weights",
            path.display()
        )));
    }
    Ok(weights)
}
