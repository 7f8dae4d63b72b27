//! `devices`: what can quantize on this machine.

use std::process::ExitCode;

use super::Outcome;
use super::args::TalkArgs;
use super::print;

/// Options of `devices`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    talk: TalkArgs,
}

pub(crate) fn run(args: &Args) -> Outcome {
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let path = fouroversix::cpu::Path::detect().name();
    if args.talk.json {
        let device = serde_json::json!({"name": "cpu", "threads": threads, "path": path});
        print::json(&serde_json::json!({"devices": [device]}))?;
    } else if !args.talk.quiet {
        print::line(&format!("cpu      {threads} threads, {path}"))?;
    }
    Ok(ExitCode::SUCCESS)
}
