//! `dequantize`: NVFP4 in, floats out.

use std::path::PathBuf;
use std::process::ExitCode;

use fouroversix::checkpoint::{Checkpoint, dequantize_checkpoint};

use super::args::{DtypeName, TalkArgs, parse_bytes};
use super::progress::Progress;
use super::{Outcome, print};

/// Options of `dequantize`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// A quantized .safetensors file or model directory, compressed-tensors or modelopt
    input: PathBuf,

    /// The file or directory to write
    output: PathBuf,

    /// The type that all floats become
    #[arg(long, value_enum, default_value_t = DtypeName::Bf16)]
    dtype: DtypeName,

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
    let checkpoint = Checkpoint::open(&args.input)?;
    let bytes = checkpoint.tensors().map(|(_, entry)| entry.bytes()).sum();
    let mut progress = Progress::new(args.talk, bytes);
    let result = dequantize_checkpoint(
        &checkpoint,
        &args.output,
        args.dtype.into(),
        args.max_shard_size,
        args.force,
        &mut progress,
    );
    progress.finish();
    let summary = result?;
    if args.talk.json {
        print::json(&summary)?;
    } else if !args.talk.quiet {
        print::line(&format!(
            "{} tensors dequantized: {} -> {}\n{}",
            checkpoint.stored_names().len(),
            print::bytes(summary.input_bytes),
            print::bytes(summary.output_bytes),
            args.output.display()
        ))?;
    }
    Ok(ExitCode::SUCCESS)
}
