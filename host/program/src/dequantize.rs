//! `dequantize`: NVFP4 in, floats out.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use fouroversix::InputType;
use fouroversix::checkpoint::{DequantizeOptions, dequantize_checkpoint};

use super::args::{TalkArgs, named, parse_bytes};
use super::counts;
use super::error::{CliError, Outcome};
use super::progress::Progress;
use super::{input, interrupt, print};

/// Options of `dequantize`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// A quantized .safetensors file or model directory, compressed-tensors or modelopt
    input: PathBuf,

    /// The file or directory to write
    output: PathBuf,

    /// The type of the dequantized weights; tensors that were never quantized keep theirs
    #[arg(long, value_parser = named::<InputType>(InputType::ALL.map(InputType::name)))]
    #[arg(default_value_t = InputType::Bf16)]
    dtype: InputType,

    /// Bytes of tensors that a shard of a directory may hold, as in 5GB
    #[arg(long, value_parser = parse_bytes, default_value = "5GB")]
    max_shard_size: u64,

    /// Replace an output that is there
    #[arg(long)]
    force: bool,

    #[command(flatten)]
    talk: TalkArgs,
}

pub(crate) fn run(args: &Args) -> Outcome {
    let checkpoint = input::open(&args.input)?;
    let bytes = checkpoint.tensors().map(|(_, entry)| entry.bytes()).sum();
    interrupt::explain(&args.input, &args.output)?;
    let mut progress = Progress::new(args.talk, bytes);
    let start = Instant::now();
    let options = DequantizeOptions::default()
        .with_output_type(args.dtype)
        .with_max_shard_bytes(args.max_shard_size)
        .with_force(args.force);
    let result = dequantize_checkpoint(&checkpoint, &args.output, &options, &mut progress);
    let took = start.elapsed();
    let printed = progress.finish();
    let summary = result?;
    let closed = if args.talk.json {
        print::json(&summary)
    } else if !args.talk.quiet {
        print::line(&format!(
            "{}\n{} -> {} in {}\n{}",
            counts::dequantized(&summary.counts, args.dtype.name()),
            print::bytes(summary.input_bytes),
            print::bytes(summary.output_bytes),
            print::duration(took),
            args.output.display()
        ))
    } else {
        Ok(())
    };
    printed.and(closed).map_err(|error| CliError::output(error, &args.output))?;
    Ok(ExitCode::SUCCESS)
}
