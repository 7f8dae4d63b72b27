//! The carried golden cases on the committed PTX of every instruction set, executed.
//!
//! Each instruction set runs every fourth case, so that together they run all; the whole on one set is
//! `fouroversix-conformance --backend ptx:sm_100f`.

mod common;

use std::sync::LazyLock;

use fouroversix_conformance::backend::Backend;
use fouroversix_conformance::ptx::{ApproxError, PtxBackend};
use fouroversix_conformance::suite::Suite;
use fouroversix_kernels::config::InputType;
use fouroversix_kernels::ptx::{self, InstructionSet};

static CARRIED: LazyLock<Suite> =
    LazyLock::new(|| Suite::carried().expect("the carried selection follows its format"));

/// Every `step`-th check from `first` on.
fn part(first: usize, step: usize) -> Suite {
    Suite {
        cases: CARRIED.cases.iter().skip(first).step_by(step).cloned().collect(),
        dequantize_cases: CARRIED
            .dequantize_cases
            .iter()
            .skip(first)
            .step_by(step)
            .cloned()
            .collect(),
        undefined: 0,
    }
}

fn check_part(isa: InstructionSet, first: usize) {
    let backend = PtxBackend::committed(isa);
    common::check(&part(first, 4), &backend);
    for element in [InputType::Bf16, InputType::F16, InputType::F32] {
        backend.run_copies(element, [32, 80]).unwrap_or_else(|e| panic!("copies: {e}"));
    }
    check_coverage(&backend, isa);
}

/// Fails if an instruction of a kernel was never executed and there is no reason for it.
fn check_coverage(backend: &PtxBackend, isa: InstructionSet) {
    let mut report = String::new();
    let (mut kernels, mut instructions, mut never) = (0, 0, 0);
    for kernel in ptx::kernels(isa) {
        let module = backend.module(kernel).unwrap_or_else(|e| panic!("{e}"));
        kernels += 1;
        instructions += module.instructions(kernel).len();
        for source in backend.never_executed(kernel).unwrap_or_else(|e| panic!("{e}")) {
            never += 1;
            report += &format!("{isa} {kernel}.ptx:{} {}\n", source.pos, source.text);
        }
    }
    println!("{isa}: {never} of {instructions} instructions in {kernels} kernels never executed");
    assert!(report.is_empty(), "never executed:\n{report}");
}

#[test]
fn sm_80() {
    check_part(InstructionSet::Sm80, 0);
}

#[test]
fn sm_89() {
    check_part(InstructionSet::Sm89, 1);
}

#[test]
fn sm_100f() {
    check_part(InstructionSet::Sm100f, 2);
}

#[test]
fn sm_120f() {
    check_part(InstructionSet::Sm120f, 3);
}

/// Results must depend neither on how far approximate instructions are off nor on the order in which
/// blocks and warps run.
#[test]
fn results_do_not_depend_on_what_hardware_is_free_to_do() {
    let errors = [ApproxError::Low, ApproxError::High, ApproxError::Random(7)];
    for (i, isa) in InstructionSet::ALL.into_iter().enumerate() {
        for (j, error) in errors.into_iter().enumerate() {
            let seed = (4 * j + i) as u64;
            let backend = PtxBackend::committed(isa).with_approx_error(error).with_order(seed);
            common::check(&part(12 * i + j, 101), &backend);
        }
    }
}

#[test]
fn a_folder_of_kernels_is_a_backend() {
    let folder = std::env::temp_dir().join(format!("fouroversix-ptx-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    for kernel in ptx::kernels(InstructionSet::Sm89) {
        let text = ptx::source(InstructionSet::Sm89, kernel).unwrap();
        std::fs::write(folder.join(format!("{kernel}.ptx")), text).unwrap();
    }
    let backend = PtxBackend::folder(folder.clone());
    assert_eq!(backend.name(), format!("ptx:{}", folder.display()));
    common::check(&part(5, 997), &backend);
    std::fs::remove_dir_all(folder).unwrap();
}
