//! `devices`: what can quantize on this machine.

use std::process::ExitCode;

use serde_json::{Value, json};

use super::args::TalkArgs;
use super::error::Outcome;
use super::print;

/// Options of `devices`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    talk: TalkArgs,
}

pub(crate) fn run(args: &Args) -> Outcome {
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let paths: Vec<&str> = fouroversix::cpu::Path::available().iter().map(|p| p.name()).collect();
    let (gpus, absent) = match gpus() {
        Ok(gpus) => (gpus, None),
        Err(reason) => (Vec::new(), Some(reason)),
    };
    if args.talk.json {
        let mut devices = vec![json!({"name": "cpu", "threads": threads, "paths": paths})];
        devices.extend(gpus.iter().map(|gpu| gpu.json.clone()));
        print::json(&json!({"devices": devices, "no_cuda": absent}))?;
    } else if !args.talk.quiet {
        print::line(&format!("cpu      {threads} threads, {}", paths.join(", ")))?;
        for gpu in &gpus {
            print::line(&gpu.text)?;
        }
        if let Some(reason) = absent {
            print::line(&format!("no cuda  {reason}"))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// A GPU, for people and for programs.
struct Gpu {
    text: String,
    json: Value,
}

#[cfg(feature = "cuda")]
fn gpus() -> Result<Vec<Gpu>, String> {
    let infos = fouroversix::cuda::devices().map_err(|error| error.to_string())?;
    if infos.is_empty() {
        return Err("the driver sees no device".to_owned());
    }
    Ok(infos.iter().map(describe).collect())
}

#[cfg(feature = "cuda")]
fn describe(info: &fouroversix::cuda::DeviceInfo) -> Gpu {
    let (major, minor) = info.compute_capability;
    let kernels = info.instruction_set.map(|set| set.to_string());
    Gpu {
        text: format!(
            "cuda:{}   {}, compute capability {major}.{minor}, {}, {}",
            info.ordinal,
            info.name,
            print::bytes(info.memory),
            kernels.as_deref().map_or_else(
                || "too old: 8.0 is needed".to_owned(),
                |kernels| format!("kernels {kernels}")
            )
        ),
        json: json!({
            "name": format!("cuda:{}", info.ordinal),
            "model": info.name,
            "compute_capability": format!("{major}.{minor}"),
            "memory": info.memory,
            "kernels": kernels,
        }),
    }
}

#[cfg(not(feature = "cuda"))]
fn gpus() -> Result<Vec<Gpu>, String> {
    Err("this build has no CUDA support".to_owned())
}
