//! Breaks the committed PTX on purpose, one instruction at a time, and sees whether the cases notice.
//!
//! `cargo run -p fouroversix-conformance --bin ptx-mutants -- --seed 1 --count 200 --write FILE`

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use clap::Parser;
use fouroversix_conformance::ptx::mutants::{self, Cases, Trial, Verdict};

/// Mutates single instructions of committed kernels and runs each mutant against the cases.
///
/// The last line counts: `N killed, N equivalent, N survived`. Equivalent are those whose changed line
/// proves it; whoever records a run looks at every survivor. The exit status is 1 if more than a fifth
/// survived.
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
    /// Mutants tried at the same time
    #[arg(long, default_value_t = 2)]
    threads: usize,
    /// Write a record in Markdown
    #[arg(long, value_name = "FILE")]
    write: Option<PathBuf>,
    /// The commit that the record names
    #[arg(long, default_value = "not given")]
    commit: String,
}

type AnyError = Box<dyn std::error::Error>;

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
    let cases = Cases::all()?;
    let trials = mutants::draw(arguments.seed, arguments.count, &arguments.kernel, &cases);
    let (next, verdicts) = (AtomicUsize::new(0), Mutex::new(BTreeMap::new()));
    std::thread::scope(|scope| {
        for _ in 0..arguments.threads {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    let Some(trial) = trials.get(number) else { return };
                    let verdict = trial.judge(&cases);
                    println!("{}: {}", describe(trial), words(&verdict));
                    verdicts.lock().expect("no thread panics").insert(number, verdict);
                }
            });
        }
    });
    let verdicts = verdicts.into_inner()?;
    let count = |wanted: fn(&Verdict) -> bool| verdicts.values().filter(|v| wanted(v)).count();
    let survived = count(|verdict| matches!(verdict, Verdict::Survived));
    let counts = format!(
        "{} killed, {} equivalent, {survived} survived",
        count(|verdict| matches!(verdict, Verdict::Killed(_))),
        count(|verdict| matches!(verdict, Verdict::Equivalent(_))),
    );
    if let Some(path) = &arguments.write {
        std::fs::write(path, record(arguments, &trials, &verdicts, &counts))?;
    }
    println!("{counts}");
    Ok(if survived * 5 <= trials.len() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn describe(trial: &Trial) -> String {
    let Trial { isa, kernel, mutant } = trial;
    format!("{isa} {kernel}:{} {} -> {}", mutant.pos.line, mutant.from, mutant.to)
}

fn words(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Killed(how) => format!("killed by {how}"),
        Verdict::Equivalent(why) => format!("equivalent: {why}"),
        Verdict::Survived => "SURVIVED".to_owned(),
    }
}

/// The survivors, by reason.
fn record(
    arguments: &Arguments,
    trials: &[Trial],
    verdicts: &BTreeMap<usize, Verdict>,
    counts: &str,
) -> String {
    let Arguments { seed, count, kernel, commit, .. } = arguments;
    let mut by_reason: BTreeMap<&str, Vec<&Trial>> = BTreeMap::new();
    for (number, verdict) in verdicts {
        match verdict {
            Verdict::Killed(_) => {}
            Verdict::Equivalent(why) => by_reason.entry(why).or_default().push(&trials[*number]),
            Verdict::Survived => by_reason.entry("survived").or_default().push(&trials[*number]),
        }
    }
    let mut out = format!(
        "# Mutants of the committed PTX\n\n\
         `ptx-mutants --seed {seed} --count {count} --kernel {kernel}` on the kernels of commit \
         {commit}: **{counts}**.\n\n\
         Each mutant is one committed kernel with one instruction changed (opcode, rounding, operand or \
         constant), run on every case of its kernel in the PTX executor. Those that no case notices \
         are listed; a reason is one that the changed line proves \
         (`tests/src/ptx/mutants/allowed.rs`).\n"
    );
    for (why, trials) in by_reason {
        _ = writeln!(
            out,
            "\n## {} × {why}\n\n| kernel | line | from | to |\n|---|---|---|---|",
            trials.len()
        );
        for Trial { isa, kernel, mutant } in trials {
            let code = |line: &str| {
                line.split_whitespace().collect::<Vec<_>>().join(" ").replace('|', "\\|")
            };
            let (line, from, to) = (mutant.pos.line, code(&mutant.from), code(&mutant.to));
            _ = writeln!(out, "| {isa} {kernel} | {line} | `{from}` | `{to}` |");
        }
    }
    out
}
