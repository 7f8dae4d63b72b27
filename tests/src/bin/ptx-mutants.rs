//! Breaks the committed PTX on purpose, one instruction at a time, and sees whether the cases notice.
//!
//! `cargo run -p fouroversix-conformance --bin ptx-mutants -- --seed 1 --count 200`

use std::collections::BTreeMap;
use std::io;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use clap::Parser;
use fouroversix_conformance::backend::Backend;
use fouroversix_conformance::case::Case;
use fouroversix_conformance::ptx::mutate::{Mutant, Mutator};
use fouroversix_conformance::ptx::{Module, PtxBackend, large};
use fouroversix_conformance::suite::Suite;
use fouroversix_kernels::ptx::{self, InstructionSet};

/// Mutates single instructions of committed kernels and runs each mutant against the cases.
///
/// Survivors are listed: each must be equivalent to the original, or a case is missing. The last line
/// counts: `N killed, N survived`.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// Seed of the mutations
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Mutants to try
    #[arg(long, default_value_t = 200)]
    count: usize,
    /// Only kernels whose name contains this
    #[arg(long, default_value = "quantize_")]
    kernel: String,
    /// Cases tried on a mutant first; on one that they do not find, all are
    #[arg(long, default_value_t = 400)]
    cases: usize,
    /// Mutants tried at the same time
    #[arg(long, default_value_t = 2)]
    threads: usize,
}

type AnyError = Box<dyn std::error::Error>;

/// A mutant of one kernel.
struct Trial {
    isa: InstructionSet,
    kernel: &'static str,
    mutant: Mutant,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("ptx-mutants: {error}");
            ExitCode::from(2)
        }
    }
}

fn run(arguments: &Arguments) -> Result<ExitCode, AnyError> {
    let mut suite = Suite::carried()?;
    suite.extend(Suite::generated(4));
    suite.cases.extend(large::cases());
    let mut by_kernel = BTreeMap::new();
    let recorder = PtxBackend::committed(InstructionSet::Sm100f);
    for case in &suite.cases {
        for kernel in recorder.kernels_of(case) {
            by_kernel.entry(kernel).or_insert_with(Vec::new).push(case);
        }
    }
    let trials = trials(arguments, &by_kernel)?;
    let (next, survivors) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..arguments.threads {
            scope.spawn(|| {
                while let Some(trial) = trials.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let cases = spread(&by_kernel[trial.kernel], arguments.cases);
                    // What a sample does not find, all cases may.
                    let verdict = kill(trial, &cases)
                        .or_else(|| kill(trial, &spread(&by_kernel[trial.kernel], usize::MAX)));
                    let Trial { isa, kernel, mutant } = trial;
                    let word = verdict.as_deref().unwrap_or("SURVIVED");
                    println!(
                        "{isa} {kernel}:{} {} -> {}: {word}",
                        mutant.pos, mutant.from, mutant.to
                    );
                    if verdict.is_none() {
                        survivors.lock().unwrap().push(trial);
                    }
                }
            });
        }
    });
    let survivors = survivors.into_inner().unwrap();
    println!("\nsurvivors:");
    for Trial { isa, kernel, mutant } in &survivors {
        println!("{isa} {kernel}:{} {} -> {}", mutant.pos, mutant.from, mutant.to);
    }
    println!("{} killed, {} survived", trials.len() - survivors.len(), survivors.len());
    Ok(ExitCode::SUCCESS)
}

fn trials(
    arguments: &Arguments,
    by_kernel: &BTreeMap<String, Vec<&Case>>,
) -> Result<Vec<Trial>, AnyError> {
    let mut mutator = Mutator::new(arguments.seed);
    let mut choices = Vec::new();
    for isa in InstructionSet::ALL {
        let named = ptx::kernels(isa).filter(|name| name.contains(&arguments.kernel));
        choices.extend(named.filter(|name| by_kernel.contains_key(*name)).map(|name| (isa, name)));
    }
    if choices.is_empty() {
        return Err(format!("no kernel with cases contains {:?}", arguments.kernel).into());
    }
    let mut trials = Vec::new();
    while trials.len() < arguments.count {
        let (isa, kernel) = choices[mutator.below(choices.len())];
        let text = ptx::source(isa, kernel).expect("the name is from the index");
        if let Some(mutant) = mutator.mutate(text) {
            trials.push(Trial { isa, kernel, mutant });
        }
    }
    Ok(trials)
}

/// At most `count` of the cases, evenly spread, small ones first.
fn spread<'a>(cases: &[&'a Case], count: usize) -> Vec<&'a Case> {
    let step = cases.len().div_ceil(count).max(1);
    let mut out: Vec<&Case> = cases.iter().step_by(step).copied().collect();
    out.sort_by_key(|case| case.input.bits.len());
    out
}

/// How a mutant was found out, if it was.
fn kill(trial: &Trial, cases: &[&Case]) -> Option<String> {
    let module = match Module::parse(&trial.mutant.text) {
        Ok(module) => module,
        Err(error) => return Some(format!("killed: {error}")),
    };
    let backend = PtxBackend::committed(trial.isa).with_limit(100_000_000);
    backend.replace(trial.kernel, module);
    for case in cases {
        let suite = Suite { cases: vec![(*case).clone()], ..Suite::default() };
        let counts = suite.run(&backend, &mut io::sink()).expect("a sink takes everything");
        if counts.failed > 0 {
            let how = match backend.quantize(case) {
                Ok(_) => "wrong bits".to_owned(),
                Err(error) => error.to_string().chars().take(60).collect(),
            };
            return Some(format!("killed by {how} in {case}"));
        }
    }
    None
}
