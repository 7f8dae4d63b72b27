//! The carried golden cases, generated ones and large ones on the committed PTX of every instruction
//! set, executed, and no instruction that no case executes.
//!
//! Golden, large and rare cases run on every set. Of the generated ones, which take as long as both, each runs
//! on one of the sets without FP4 conversions and on one of those with; `ptx-coverage` and the program run
//! them all on all. A case whose kernels are the same text for two sets is run on one of them.

use std::sync::LazyLock;

use fouroversix_conformance::backend::Backend;
use fouroversix_conformance::coverage;
use fouroversix_conformance::generate::beyond::{stochastic_cases, transform_cases};
use fouroversix_conformance::ptx::{PtxBackend, large, reach};
use fouroversix_conformance::suite::{self, Suite};
use fouroversix_core::config::InputType;
use fouroversix_core::{InstructionSet, Kernel};
use fouroversix_ptx as ptx;
use fouroversix_ptx_executor::ApproxError;

/// Carried golden cases, and generated ones with the reference's expectations.
static SUITE: LazyLock<Suite> = LazyLock::new(|| {
    let mut suite = Suite::carried().expect("the carried selection follows its format");
    suite.extend(Suite::generated(4));
    suite.extend(Suite::generated_training(4));
    suite.extend(Suite::carried_search().expect("as the others"));
    suite.extend(Suite::generated_search(4));
    suite
});

/// Runs a suite, and fails on a failure or if nothing ran.
fn check(suite: &Suite, backend: &PtxBackend) {
    let mut report = Vec::new();
    let counts = suite.run(backend, &mut report).expect("memory can be written");
    let report = String::from_utf8_lossy(&report);
    println!("{report}");
    assert_eq!(counts.failed, 0, "{report}");
    assert!(counts.passed > 0, "nothing ran:\n{report}");
}

/// The text of a kernel without the name of its target.
fn instructions(isa: InstructionSet, kernel: Kernel) -> Vec<&'static str> {
    let text = ptx::source(isa, kernel).expect("cases have kernels");
    text.lines().filter(|line| !line.starts_with(".target")).collect()
}

/// Runs the golden, large and rare cases and the `half` of the generated ones on the kernels of a set, but what
/// runs on the same text in the test of `twin`; every instruction must be executed, or unreachable.
fn check_set(isa: InstructionSet, half: u64, twin: Option<InstructionSet>) {
    let backend = PtxBackend::committed(isa);
    let shared = |kernel: Kernel| {
        twin.is_some_and(|twin| instructions(isa, kernel) == instructions(twin, kernel))
    };
    let mut suite = SUITE.clone();
    suite.cases.retain(|case| {
        !case.name.starts_with("generated ") || suite::is_in_part(&case.to_string(), half, 2)
    });
    let large = large::cases();
    suite.cases.extend(stochastic_cases(&large, half));
    suite.cases.extend(transform_cases(&large, half));
    suite.cases.extend(large);
    suite.cases.retain(|case| backend.supports(case).is_ok());
    let all = suite.cases.len() + suite.dequantize_cases.len();
    suite.cases.retain(|case| {
        !coverage::kernels(case)
            .expect("cases can be launched")
            .iter()
            .all(|kernel| shared(*kernel))
    });
    suite
        .dequantize_cases
        .retain(|case| !shared(coverage::dequantize_kernel(case).expect("cases can be launched")));
    let left = all - suite.cases.len() - suite.dequantize_cases.len();
    println!("{isa}: {left} of {all} cases run on the same text for {twin:?}");
    if left < all {
        // In three parts at the same time: the last set would run on one core alone.
        std::thread::scope(|scope| {
            for third in 0..3 {
                let (suite, backend) = (suite.part(third, 3), &backend);
                scope.spawn(move || check(&suite, backend));
            }
        });
    }
    for element in [InputType::Bf16, InputType::F16, InputType::F32] {
        backend.run_copies(element, [32, 80]).unwrap_or_else(|e| panic!("copies: {e}"));
        if !shared(Kernel::amax(false, element)) {
            backend.run_peaks(element).unwrap_or_else(|e| panic!("peaks: {e}"));
        }
    }
    let kernels = Kernel::ALL.into_iter().filter(|kernel| !shared(*kernel));
    let wrong: Vec<String> = kernels.flat_map(|kernel| uncovered(&backend, isa, kernel)).collect();
    let count = wrong.len();
    assert!(count == 0, "{count} {isa} instructions:\n{}", wrong.join("\n"));
}

/// The instructions that no case executed though some could, and those that one did though [`reach`]
/// says that none can.
fn uncovered(backend: &PtxBackend, isa: InstructionSet, kernel: Kernel) -> Vec<String> {
    let text = ptx::source(isa, kernel).expect("it is committed");
    let unreachable = reach::unreachable(kernel, text);
    let never = backend.never_executed(kernel).expect("committed kernels parse");
    let module = backend.module(kernel).expect("committed kernels parse");
    let sources = module.instructions(&kernel.name()).iter();
    let wrong = sources.filter_map(|source| {
        let problem = match (never.contains(source), unreachable.get(&source.pos.line)) {
            (true, None) => "lacks a case",
            (false, Some(_)) => "is executed, but a rule says that it can't be",
            _ => return None,
        };
        Some(format!("{kernel}:{} {} {problem}", source.pos, source.text))
    });
    wrong.collect()
}

#[test]
fn sm_80() {
    check_set(InstructionSet::Sm80, 0, None);
}

#[test]
fn sm_89() {
    check_set(InstructionSet::Sm89, 1, None);
}

#[test]
fn sm_100f() {
    check_set(InstructionSet::Sm100f, 0, None);
}

#[test]
fn sm_120f() {
    check_set(InstructionSet::Sm120f, 1, Some(InstructionSet::Sm100f));
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
            check(&SUITE.part((12 * i + j) as u64, 101), &backend);
        }
    }
}

#[test]
fn a_folder_of_kernels_is_a_backend() {
    let folder = std::env::temp_dir().join(format!("fouroversix-ptx-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    for kernel in Kernel::ALL {
        let text = ptx::source(InstructionSet::Sm89, kernel).unwrap();
        std::fs::write(folder.join(format!("{kernel}.ptx")), text).unwrap();
    }
    let backend = PtxBackend::folder(folder.clone());
    assert_eq!(backend.name(), format!("ptx:{}", folder.display()));
    check(&SUITE.part(5, 997), &backend);
    std::fs::remove_dir_all(folder).unwrap();
}
