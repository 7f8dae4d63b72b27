//! The carried golden cases on the committed PTX of every instruction set, executed.
//!
//! Each instruction set runs a quarter of the cases, so that together they run all; the whole on one set is
//! `fouroversix-conformance --backend ptx:sm_100f`.

use std::sync::LazyLock;

use fouroversix_conformance::backend::Backend;
use fouroversix_conformance::ptx::{ApproxError, PtxBackend, large};
use fouroversix_conformance::suite::Suite;
use fouroversix_kernels::config::InputType;
use fouroversix_kernels::ptx::{self, InstructionSet};

/// Carried golden cases, and generated ones with the reference's expectations.
static SUITE: LazyLock<Suite> = LazyLock::new(|| {
    let mut suite = Suite::carried().expect("the carried selection follows its format");
    suite.extend(Suite::generated(4));
    suite
});

/// The checks whose descriptions hash to `first` modulo `of`.
fn part(first: u64, of: u64) -> Suite {
    let chosen = |description: String| {
        let hash = description.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        (hash >> 40) % of == first % of
    };
    Suite {
        cases: SUITE.cases.iter().filter(|case| chosen(case.to_string())).cloned().collect(),
        dequantize_cases: SUITE
            .dequantize_cases
            .iter()
            .filter(|case| chosen(case.to_string()))
            .cloned()
            .collect(),
        undefined: 0,
    }
}

/// Runs a suite, and fails on a failure or if nothing ran.
fn check(suite: &Suite, backend: &PtxBackend) {
    let mut report = Vec::new();
    let counts = suite.run(backend, &mut report).expect("memory can be written");
    let report = String::from_utf8_lossy(&report);
    println!("{report}");
    assert_eq!(counts.failed, 0, "{report}");
    assert!(counts.passed > 0, "nothing ran:\n{report}");
}

fn check_part(isa: InstructionSet, first: u64) {
    let backend = PtxBackend::committed(isa);
    let mut suite = part(first, 4);
    suite.cases.extend(large::cases());
    check(&suite, &backend);
    for element in [InputType::Bf16, InputType::F16, InputType::F32] {
        backend.run_copies(element, [32, 80]).unwrap_or_else(|e| panic!("copies: {e}"));
    }
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
            check(&part((12 * i + j) as u64, 101), &backend);
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
    check(&part(5, 997), &backend);
    std::fs::remove_dir_all(folder).unwrap();
}
