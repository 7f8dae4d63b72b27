//! Lists the instructions of the committed kernels that no case executes.

use std::process::ExitCode;

use clap::Parser;
use fouroversix_conformance::generate::beyond::{stochastic_cases, transform_cases};
use fouroversix_conformance::ptx::{PtxBackend, large, reach};
use fouroversix_conformance::suite::Suite;
use fouroversix_core::config::InputType;
use fouroversix_core::{InstructionSet, Kernel};
use fouroversix_ptx as ptx;

/// Runs the carried, generated and large cases on the committed PTX and lists, for each kernel, the
/// instructions that were never executed, and why. The exit status is 1 if a case fails or an instruction
/// lacks one.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// Instruction set; repeatable (default: all)
    #[arg(long)]
    isa: Vec<String>,
    /// Run every n-th of the carried and generated cases
    #[arg(long, default_value_t = 1)]
    step: usize,
}

type AnyError = Box<dyn std::error::Error>;

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("ptx-coverage: {error}");
            ExitCode::from(2)
        }
    }
}

fn run(arguments: &Arguments) -> Result<ExitCode, AnyError> {
    let mut suite = Suite::carried()?;
    suite.extend(Suite::generated(4));
    suite.extend(Suite::carried_training()?);
    suite.extend(Suite::generated_training(4));
    suite.extend(Suite::carried_search()?);
    suite.extend(Suite::generated_search(4));
    let step = arguments.step.max(1);
    suite.cases = suite.cases.into_iter().step_by(step).collect();
    suite.cases.extend(large::cases());
    suite.cases.extend(stochastic_cases(&large::cases(), 0));
    suite.cases.extend(transform_cases(&large::cases(), 0));
    let mut failed = 0;
    for isa in InstructionSet::ALL {
        if !arguments.isa.is_empty() && !arguments.isa.contains(&isa.to_string()) {
            continue;
        }
        let backend = PtxBackend::committed(isa);
        failed += suite.run(&backend, &mut std::io::stdout().lock())?.failed;
        for element in [InputType::Bf16, InputType::F16, InputType::F32] {
            backend.run_copies(element, [32, 80])?;
        }
        let (mut instructions, mut never, mut lacking) = (0, 0, 0);
        for kernel in Kernel::ALL {
            instructions += backend.module(kernel)?.instructions(&kernel.name()).len();
            let text = ptx::source(isa, kernel).unwrap_or_default();
            let unreachable = reach::unreachable(kernel, text);
            for source in backend.never_executed(kernel)? {
                never += 1;
                let why = unreachable.get(&source.pos.line);
                lacking += usize::from(why.is_none());
                let why = why.copied().unwrap_or("LACKS A CASE");
                println!("{isa} {kernel}.ptx:{} {}: {why}", source.pos, source.text);
            }
        }
        println!(
            "{isa}: {never} of {instructions} instructions never executed, {lacking} lack a case"
        );
        failed += lacking;
    }
    Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
