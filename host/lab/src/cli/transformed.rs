//! `transformed`: step T1 on a file, for comparisons with other implementations.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use fouroversix::checkpoint::check_not_read;
use fouroversix_cli::Outcome;
use fouroversix_cli::error::CliError;
use fouroversix_reference::transform::{Element, SignMask, transform};
use half::bf16;
use rayon::prelude::*;

/// Options of `transformed`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// A file of bf16 elements, little-endian, in groups of 16
    input: PathBuf,

    /// A file for as many transformed ones
    output: PathBuf,

    /// Bit i of the mask flips the sign of element i of each group; the default is TransformerEngine's
    #[arg(long, default_value_t = SignMask::TRANSFORMER_ENGINE.0)]
    signs: u16,
}

/// Elements that a task transforms.
const CHUNK: usize = 1 << 14;

pub(crate) fn run(args: &Args) -> Outcome {
    check_not_read(&args.output, &args.input)?;
    let bytes = std::fs::read(&args.input).map_err(|error| failed("read", &args.input, &error))?;
    let (elements, rest) = bytes.as_chunks::<2>();
    if !rest.is_empty() || elements.len() % 16 != 0 {
        let path = args.input.display();
        return Err(CliError::said(format!(
            "{path} has {} bytes: pass bf16 elements in groups of 16, a multiple of 32 bytes",
            bytes.len()
        )));
    }
    let transformed: Vec<u8> = elements
        .par_chunks(CHUNK)
        .flat_map_iter(|chunk| {
            let x: Vec<f32> = chunk.iter().map(|x| bf16::from_le_bytes(*x).to_f32()).collect();
            let y = transform(&x, SignMask(args.signs), Element::Bf16);
            y.into_iter().flat_map(|y| bf16::from_f32(y).to_le_bytes())
        })
        .collect();
    std::fs::write(&args.output, transformed)
        .map_err(|error| failed("write", &args.output, &error))?;
    Ok(ExitCode::SUCCESS)
}

fn failed(what: &str, path: &Path, error: &std::io::Error) -> CliError {
    CliError::said(format!("cannot {what} {}: {error}", path.display()))
}
