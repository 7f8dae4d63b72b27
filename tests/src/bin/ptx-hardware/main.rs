//! Runs the executor's arithmetic against a GPU.
//!
//! For every opcode and modifier that the committed kernels use, a generated one-instruction kernel is
//! run over edge cases and random operands on the device and in the executor; all bits must be equal.
//!
//! `cargo build --release -p fouroversix-conformance --features hardware --bin ptx-hardware` gives one
//! program that needs nothing but a driver where it runs. `--write DIR` writes the kernels instead,
//! `--dry-run` runs them in the executor alone.

mod device;
mod record;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, mpsc};

use clap::Parser;
use fouroversix_ptx::{self as ptx, InstructionSet, Kernel};
use fouroversix_ptx_executor::probe::{self, Probe, ROUNDS, THREADS};

use device::Device;
use record::{Counts, Line, Outcome};

/// Checks the PTX executor against a GPU, one instruction at a time.
///
/// The last line counts: `N passed, N failed, N skipped`. The exit status is 1 if an instruction
/// differed and 2 if the run could not be made.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// Write the one-instruction kernels to this folder and run nothing
    #[arg(long, value_name = "DIR")]
    write: Option<PathBuf>,
    /// Run the kernels in the executor only: every instruction counts as skipped
    #[arg(long)]
    dry_run: bool,
    /// Ordinal of the device
    #[arg(long, default_value_t = 0)]
    device: usize,
    /// Only instructions that contain this
    #[arg(long, default_value = "")]
    filter: String,
    /// Write a record in Markdown
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,
    /// The commit of the kernels, for the record
    #[arg(long, default_value = "not given")]
    commit: String,
}

/// A probe's rounds: inputs, and the outputs that the executor gives.
type Rounds = Result<Vec<(Vec<u8>, Vec<u8>)>, String>;

type AnyError = Box<dyn std::error::Error>;

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("ptx-hardware: {error}");
            ExitCode::from(2)
        }
    }
}

fn run(arguments: &Arguments) -> Result<ExitCode, AnyError> {
    let texts = InstructionSet::ALL
        .into_iter()
        .flat_map(|set| Kernel::ALL.into_iter().filter_map(move |kernel| ptx::source(set, kernel)));
    let (mut probes, without) = probe::probes(texts)?;
    probes.retain(|probe| probe.instruction.contains(&arguments.filter));
    // A fault ends everything that follows on a device: what can't fault comes first.
    probes.sort_by_key(|probe| (probe.touches_memory(), probe.beyond_sm_90.is_some()));
    if let Some(folder) = &arguments.write {
        return write(&probes, folder);
    }
    let device = if arguments.dry_run { None } else { Some(Device::open(arguments.device)?) };
    let description =
        device.as_ref().map_or_else(|| "none: a dry run".to_owned(), Device::description);
    println!("device: {description}");
    let mut lines = Vec::new();
    executed(&probes, |probe, rounds| {
        let outcome = outcome(device.as_ref(), probe, rounds);
        println!("{:<60} {outcome}", probe.instruction);
        lines.push(Line { instruction: probe.instruction.clone(), outcome });
    });
    for unprobed in &without {
        println!("{:<60} no kernel of its own: {}", unprobed.mnemonic, unprobed.reason);
    }
    let counts = Counts::of(&lines);
    if let Some(path) = &arguments.record {
        let record = record::markdown(&description, &arguments.commit, &lines, &without);
        std::fs::write(path, record)?;
    }
    println!("{counts}");
    Ok(if counts.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn write(probes: &[Probe], folder: &PathBuf) -> Result<ExitCode, AnyError> {
    std::fs::create_dir_all(folder)?;
    for (i, probe) in probes.iter().enumerate() {
        let target = if probe.beyond_sm_90.is_some() { "sm_100f" } else { "sm_90" };
        let text = format!("// {}\n{}", probe.instruction, probe.ptx_for(target));
        std::fs::write(folder.join(format!("{i:04}.{target}.ptx")), text)?;
    }
    println!("{} kernels written", probes.len());
    Ok(ExitCode::SUCCESS)
}

/// Runs the probes in the executor, on all cores, and hands each one's rounds on as they come.
fn executed(probes: &[Probe], mut each: impl FnMut(&Probe, Rounds)) {
    let next = AtomicUsize::new(0);
    let (sender, receiver) = mpsc::sync_channel(8);
    let sender = Mutex::new(sender);
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads)
            .map(|_| {
                let (next, sender) = (&next, sender.lock().expect("nobody panics").clone());
                scope.spawn(move || {
                    while let Some(probe) = probes.get(next.fetch_add(1, Ordering::Relaxed)) {
                        if sender.send((probe, rounds(probe))).is_err() {
                            return;
                        }
                    }
                })
            })
            .collect();
        drop(sender);
        for (probe, rounds) in receiver {
            each(probe, rounds);
        }
        for worker in workers {
            worker.join().expect("the executor is sound");
        }
    });
}

fn rounds(probe: &Probe) -> Rounds {
    (0..ROUNDS)
        .map(|round| {
            let inputs = probe.inputs(round);
            probe.expected(&inputs).map(|expected| (inputs, expected))
        })
        .collect()
}

/// What a device makes of a probe, compared with the executor.
fn outcome(device: Option<&Device>, probe: &Probe, rounds: Rounds) -> Outcome {
    let rounds = match rounds {
        Ok(rounds) => rounds,
        Err(problem) => return Outcome::Failed(format!("in the executor: {problem}")),
    };
    let Some(device) = device else { return Outcome::Skipped("a dry run".to_owned()) };
    if let Some(reason) = probe.beyond_sm_90.filter(|_| device.capability < (10, 0)) {
        return Outcome::Skipped(reason.to_owned());
    }
    let kernel = match device.load(probe) {
        Ok(kernel) => kernel,
        Err(problem) => return Outcome::Failed(problem),
    };
    for (inputs, expected) in rounds {
        let actual = match device.outputs(&kernel, &inputs) {
            Ok(actual) => actual,
            Err(problem) => return Outcome::Failed(problem),
        };
        if let Some((thread, difference)) = probe.difference(&expected, &actual) {
            let operands = probe.operands(&inputs, thread);
            return Outcome::Failed(format!("operands {operands}: {difference}"));
        }
    }
    Outcome::Passed(THREADS * ROUNDS)
}
