//! `compare`: two checkpoints, bits and values.

use std::path::PathBuf;
use std::process::ExitCode;

use fouroversix::checkpoint::{Comparison, Difference, compare};

use super::args::TalkArgs;
use super::error::Outcome;
use super::{input, print};

/// Options of `compare`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// A checkpoint, quantized or not; errors are relative to it
    first: PathBuf,

    /// Another
    second: PathBuf,

    /// Exit with status 1 unless they are identical; without it, unless every tensor has a
    /// counterpart of its shape
    #[arg(long)]
    exact: bool,

    #[command(flatten)]
    talk: TalkArgs,
}

pub(crate) fn run(args: &Args) -> Outcome {
    let first = input::open(&args.first)?;
    let second = input::open(&args.second)?;
    let comparison = compare(&first, &second)?;
    if args.talk.json {
        print::json(&comparison)?;
    } else if !args.talk.quiet {
        let mut identical = 0;
        for (name, difference) in &comparison.tensors {
            match line(name, difference) {
                Some(text) => print::line(&text)?,
                None => identical += 1,
            }
        }
        let others = comparison.tensors.len() - identical;
        print::line(&format!("{identical} tensors identical, {others} not"))?;
    }
    let failed = !matched(&comparison) || (args.exact && !comparison.identical());
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// Whether every tensor of either has a counterpart whose values could be compared.
fn matched(comparison: &Comparison) -> bool {
    use Difference::{Identical, Values};
    comparison.tensors.values().all(|it| matches!(it, Identical | Values { .. }))
}

fn line(name: &str, difference: &Difference) -> Option<String> {
    Some(match difference {
        Difference::Identical => return None,
        Difference::OnlyInFirst => format!("{name}: only in the first"),
        Difference::OnlyInSecond => format!("{name}: only in the second"),
        Difference::Incomparable { first, second } => format!("{name}: {first} and {second}"),
        Difference::Values {
            elements,
            differing,
            relative_mse,
            max_error,
            differing_code_bytes,
            differing_scales,
        } => {
            let parts = match (differing_code_bytes, differing_scales) {
                (Some(codes), Some(scales)) => {
                    format!(", {codes} code bytes and {scales} scales differ")
                }
                _ => String::new(),
            };
            format!(
                "{name}: {differing} of {elements} values differ, relative MSE {relative_mse:.6}, \
                 largest difference {max_error:e}{parts}"
            )
        }
    })
}
