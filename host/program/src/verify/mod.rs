//! `verify`: every backend of this machine against the answers that the program carries, bit for
//! bit.

pub mod answers;
mod backend;
pub mod check;

use std::io::Write;
use std::process::ExitCode;

use fouroversix::cpu::Path;

use super::error::{CliError, Outcome};
use super::print::Out;
use answers::{Answers, difference, digest};
use backend::Backend;
use check::Check;

/// Options of `verify`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// A backend to check (repeatable) [default: every one that this machine has]
    #[arg(long, value_enum)]
    backend: Vec<BackendName>,

    /// Only checks whose description has these words, as in "mse-strict-256 tile bf16"
    #[arg(long, value_name = "WORDS", default_value = "")]
    filter: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum BackendName {
    Cpu,
    Cuda,
}

/// Failed checks of a backend that are described; the rest are counted.
const DESCRIBED: usize = 10;

pub(crate) fn run(args: &Args) -> Outcome {
    let Found { backends, absent } = find(&args.backend)?;
    let has_words = |check: &Check| {
        let description = check.to_string();
        let words: Vec<&str> = description.split(' ').collect();
        args.filter.split_whitespace().all(|word| words.contains(&word))
    };
    let checks: Vec<Check> = Check::all().filter(has_words).collect();
    if checks.is_empty() {
        return Err(CliError::said(format!(
            "no check has all the words of --filter {:?}: use fewer",
            args.filter
        )));
    }
    let mut out = Out::lock();
    for reason in absent {
        writeln!(out, "{reason}")?;
    }
    let answers = Answers::carried();
    let (mut passed, mut failed) = (0, 0);
    for backend in &backends {
        let faults = faults(backend, &checks, &answers);
        for fault in faults.iter().take(DESCRIBED) {
            writeln!(out, "{}: FAILED {fault}", backend.name())?;
        }
        let right = checks.len() - faults.len();
        writeln!(out, "{}: {right} passed, {} failed, 0 skipped", backend.name(), faults.len())?;
        passed += right;
        failed += faults.len();
    }
    writeln!(out, "{passed} passed, {failed} failed, 0 skipped")?;
    out.flush()?;
    Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The checks that a backend fails, each with what is wrong.
fn faults(backend: &Backend, checks: &[Check], answers: &Answers) -> Vec<String> {
    let fault = |check: &Check| {
        let found = match backend.answer(check) {
            Ok(found) => found,
            Err(error) => return Some(format!("{check}: {error}")),
        };
        if answers.get(check) == Some(digest(&found)) {
            return None;
        }
        // The scalar path says where, unless it is at fault itself.
        let scalar = Backend::Cpu(Path::Scalar).answer(check).ok()?;
        let place = found.iter().zip(&scalar).find_map(|(found, scalar)| difference(found, scalar));
        let place = place.unwrap_or_else(|| {
            "the scalar path gives the same, but not the answer that this program carries"
                .to_owned()
        });
        Some(format!("{check}: {place}"))
    };
    checks.iter().filter_map(fault).collect()
}
/// The backends asked for, and a line for each that is absent.
struct Found {
    backends: Vec<Backend>,
    absent: Vec<String>,
}

/// Finds the backends of these names; all of those present when there are no names.
fn find(names: &[BackendName]) -> Result<Found, CliError> {
    let wanted = |name| names.is_empty() || names.contains(&name);
    let mut backends: Vec<Backend> = Vec::new();
    let mut absent = Vec::new();
    if wanted(BackendName::Cpu) {
        backends.extend(Path::available().into_iter().map(Backend::Cpu));
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
#[cfg(feature = "cuda")]
fn cuda() -> Result<Vec<Backend>, String> {
    use fouroversix::cuda::{Device, devices};
    let said = |error: fouroversix::Error| error.to_string();
    let mut backends: Vec<Backend> = Vec::new();
    for info in devices().map_err(said)? {
        if info.instruction_set.is_some() {
            let device = Device::new(info.ordinal).map_err(said)?;
            backends.push(Backend::Cuda(device));
        }
    }
    if backends.is_empty() {
        return Err("the driver sees no device of compute capability 8.0 or higher".to_owned());
    }
    Ok(backends)
}

#[cfg(not(feature = "cuda"))]
fn cuda() -> Result<Vec<Backend>, String> {
    Err("this build has no CUDA support".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_answer_is_a_fault() {
        let checks: Vec<Check> = Check::all().step_by(97).collect();
        let scalar = Backend::Cpu(Path::Scalar);
        assert_eq!(faults(&scalar, &checks, &Answers::carried()), [""; 0]);
        let faults = faults(&scalar, &checks, &Answers::default());
        assert_eq!(faults.len(), checks.len());
        assert!(faults[0].starts_with("normal plain tensor bf16 rowwise linear: the scalar path"));
    }
}
