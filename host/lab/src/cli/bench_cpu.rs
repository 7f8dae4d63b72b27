//! `bench cpu`: the CPU path beside a memory copy.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use fouroversix_cli::args::{count, shape, side};
use fouroversix_cli::error::CliError;
use fouroversix_cli::{Outcome, print};
use half::bf16;

use crate::bench::cpu;

/// Options of `bench cpu`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Rows and columns of the tensor, multiples of 16
    #[arg(long, num_args = 2, value_parser = side, value_names = ["ROWS", "COLS"], default_values_t = [8192, 4096])]
    shape: Vec<usize>,

    /// A file with the tensor's bf16 bits, little-endian and nothing else, in place of a random one
    #[arg(long, value_name = "FILE")]
    input: Option<PathBuf>,

    /// Timed runs of each work
    #[arg(long, value_parser = count, default_value_t = 9)]
    repeats: usize,

    /// The commit that was built, for the record
    #[arg(long)]
    commit: Option<String>,

    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args) -> Outcome {
    let shape = shape(&args.shape)?;
    let read = |path: &PathBuf| read(path, shape);
    let options = cpu::Options {
        shape,
        input: args.input.as_ref().map(read).transpose()?.unwrap_or_default(),
        repeats: args.repeats,
        commit: args.commit.clone(),
    };
    let record = cpu::run(&options, &mut |row| {
        let (path, threads) = (row.path, row.threads);
        print::aside(&format!("{} ({path}, {threads}): {:.2} GB/s", row.work, row.gb_per_s));
    })?;
    if args.json {
        print::json(&record)?;
    } else {
        print::line(record.to_markdown().trim_end())?;
    }
    Ok(if record.correct() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn read(path: &Path, [rows, cols]: [usize; 2]) -> Result<Vec<bf16>, CliError> {
    let path_text = path.display();
    let bytes = std::fs::read(path).map_err(|error| {
        CliError::of("read", format!("cannot read {path_text}: {error}: pass another --input"))
    })?;
    let expected = 2 * rows * cols;
    if bytes.len() != expected {
        return Err(CliError::of(
            "malformed",
            format!(
                "{path_text} has {} bytes but --shape {rows} {cols} takes {expected}: pass the \
                 shape that it has",
                bytes.len()
            ),
        ));
    }
    Ok(bytes.chunks_exact(2).map(|b| bf16::from_bits(u16::from_le_bytes([b[0], b[1]]))).collect())
}
