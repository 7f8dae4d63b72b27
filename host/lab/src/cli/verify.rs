//! `verify`: every backend of this machine against golden data and the reference, bit for bit.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use fouroversix::cpu::Path;
use fouroversix_conformance::adapters::CpuBackend;
use fouroversix_conformance::backend::Backend;
use fouroversix_conformance::golden::GoldenError;
use fouroversix_conformance::oracle::Reference;
use fouroversix_conformance::suite::{Counts, Suite};

use fouroversix_cli::Outcome;
use fouroversix_cli::error::CliError;
use fouroversix_cli::print::Out;

/// Options of `verify`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// A directory of golden files, checked besides the cases that the program carries (repeatable)
    #[arg(long, value_name = "DIR")]
    golden: Vec<PathBuf>,

    /// A backend to check (repeatable) [default: every one that this machine has]
    #[arg(long, value_enum)]
    backend: Vec<BackendName>,

    /// Only checks whose description has these words, as in "mse-strict-256 tile bf16"
    #[arg(long, value_name = "WORDS", default_value = "")]
    filter: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum BackendName {
    Reference,
    Cpu,
    Cuda,
}

pub(crate) fn run(args: &Args) -> Outcome {
    let Found { backends, absent } = find(&args.backend)?;
    let said = |error: GoldenError| CliError::said(error.to_string());
    let mut suite = Suite::carried().map_err(said)?;
    suite.extend(Suite::carried_search().map_err(said)?);
    suite.extend(Suite::carried_training().map_err(said)?);
    for directory in &args.golden {
        suite.extend(Suite::golden(directory).map_err(|error| {
            CliError::said(format!(
                "{error}: pass a folder of golden files, NAME.json beside each NAME.safetensors"
            ))
        })?);
    }
    suite.retain(&args.filter);
    if suite.cases.is_empty() && suite.dequantize_cases.is_empty() {
        return Err(CliError::said(format!(
            "no check has all the words of --filter {:?}: use fewer",
            args.filter
        )));
    }
    let mut out = Out::lock();
    for reason in absent {
        writeln!(out, "{reason}")?;
    }
    let mut counts = Counts::default();
    for backend in &backends {
        counts += suite.run(backend.as_ref(), &mut out)?;
    }
    writeln!(out, "{counts}")?;
    out.flush()?;
    if counts.passed + counts.failed == 0 {
        return Err(CliError::said("every check was skipped: use fewer words in --filter"));
    }
    Ok(if counts.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The backends asked for, and a line for each that is absent.
struct Found {
    backends: Vec<Box<dyn Backend>>,
    absent: Vec<String>,
}

/// Finds the backends of these names; all of those present when there are no names.
fn find(names: &[BackendName]) -> Result<Found, CliError> {
    let wanted = |name| names.is_empty() || names.contains(&name);
    let mut backends: Vec<Box<dyn Backend>> = Vec::new();
    let mut absent = Vec::new();
    if wanted(BackendName::Reference) {
        backends.push(Box::new(Reference));
    }
    if wanted(BackendName::Cpu) {
        for path in Path::available() {
            backends.push(Box::new(CpuBackend(path)));
        }
    }
    if wanted(BackendName::Cuda) {
        match cuda() {
            Ok(found) => backends.extend(found),
            Err(reason) if names.contains(&BackendName::Cuda) => {
                return Err(CliError::said(format!("--backend cuda can't be checked: {reason}")));
            }
            Err(reason) => absent.push(format!("cuda: not checked: {reason}")),
        }
    }
    Ok(Found { backends, absent })
}

/// A backend for each GPU that is new enough.
fn cuda() -> Result<Vec<Box<dyn Backend>>, String> {
    use fouroversix::cuda::{Device, devices};
    use fouroversix_conformance::adapters::CudaBackend;
    let said = |error: fouroversix::Error| error.to_string();
    let mut backends: Vec<Box<dyn Backend>> = Vec::new();
    for info in devices().map_err(said)? {
        if info.instruction_set.is_some() {
            let device = Device::new(info.ordinal).map_err(said)?;
            backends.push(Box::new(CudaBackend::new(device)));
        }
    }
    if backends.is_empty() {
        return Err("the driver sees no device of compute capability 8.0 or higher".to_owned());
    }
    Ok(backends)
}
