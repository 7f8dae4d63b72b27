//! The `fouroversix-conformance` program.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use fouroversix_conformance::backend::Backend;
use fouroversix_conformance::ptx::PtxBackend;
use fouroversix_conformance::suite::{Counts, Suite, shared_golden};
use fouroversix_conformance::{carried, oracle::Reference};
use fouroversix_core::InstructionSet;

/// Checks backends against golden data, bit for bit.
///
/// The last line counts: `N passed, N failed, N skipped`. The exit status is 1 if a check failed and
/// 2 if the run could not be made.
#[derive(Parser)]
#[command(version, args_conflicts_with_subcommands = true)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    /// Golden files to check besides the carried ones (default: ../shared/golden, if there)
    #[arg(long, value_name = "DIR")]
    golden: Option<PathBuf>,
    /// Backend to check; repeatable (default: all)
    #[arg(long, value_name = "NAME")]
    backend: Vec<String>,
    /// Check the kernels in this folder (`KERNEL.ptx`) in the PTX executor
    #[arg(long, value_name = "DIR")]
    ptx: Option<PathBuf>,
    /// Only checks whose description contains these words, such as "mse-strict-256 tile bf16"
    #[arg(long, value_name = "WORDS", default_value = "")]
    filter: String,
}

#[derive(Subcommand)]
enum Command {
    /// Write the carried selection from a directory of golden files
    Select {
        /// Directory of golden files
        #[arg(long, value_name = "DIR")]
        from: PathBuf,
        /// Directory to write to
        #[arg(long, value_name = "DIR", default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/golden"))]
        to: PathBuf,
        /// Name of the files that are written
        #[arg(long, value_name = "NAME", default_value = "selection")]
        name: String,
        /// Leave out cases with more elements than this
        #[arg(long, value_name = "N", default_value_t = 100_000)]
        max_elements: usize,
    },
}

type AnyError = Box<dyn std::error::Error>;

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("fouroversix-conformance: {error}");
            ExitCode::from(2)
        }
    }
}

fn run(arguments: &Arguments) -> Result<ExitCode, AnyError> {
    let mut out = io::stdout().lock();
    if let Some(Command::Select { from, to, name, max_elements }) = &arguments.command {
        let selection = carried::select(from, to, name, *max_elements)?;
        let carried::Selection { kept, left_out, bytes } = selection;
        writeln!(out, "{kept} cases kept, {left_out} left out as too large, {bytes} bytes")?;
        return Ok(ExitCode::SUCCESS);
    }
    let backends = backends(&arguments.backend, arguments.ptx.as_deref())?;
    let mut suite = Suite::carried()?;
    if let Some(directory) = arguments.golden.clone().or_else(shared_golden) {
        suite.extend(Suite::golden(&directory)?);
    }
    suite.retain(&arguments.filter);
    let mut counts = Counts::default();
    for backend in &backends {
        counts += suite.run(backend.as_ref(), &mut out)?;
    }
    writeln!(out, "{counts}")?;
    Ok(if counts.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The backends with these names; all if there are none. A folder of PTX is one more.
fn backends(names: &[String], ptx: Option<&Path>) -> Result<Vec<Box<dyn Backend>>, AnyError> {
    let mut all: Vec<Box<dyn Backend>> = vec![Box::new(Reference)];
    for isa in InstructionSet::ALL {
        all.push(Box::new(PtxBackend::committed(isa)));
    }
    let known: Vec<String> = all.iter().map(|backend| backend.name()).collect();
    for name in names {
        if !known.contains(name) {
            let known = known.join(", ");
            return Err(format!("there is no backend {name:?} here: choose from {known}").into());
        }
    }
    all.retain(|backend| names.is_empty() && ptx.is_none() || names.contains(&backend.name()));
    if let Some(folder) = ptx {
        all.push(Box::new(PtxBackend::folder(folder.to_owned())));
    }
    Ok(all)
}
