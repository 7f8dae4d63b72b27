//! The golden cases notice every rule of the contract that is broken, and so do the generated ones.

mod contract;
mod mutation;

use contract::Contract;
use fouroversix_conformance::backend::Backend;
use fouroversix_conformance::case::Case;
use fouroversix_conformance::report;
use fouroversix_conformance::suite::Suite;
use fouroversix_core::config::{InputType, ScaleLayout};
use mutation::Mutation;

fn differs(backend: &dyn Backend, case: &Case) -> bool {
    let outcome = backend.quantize(case).expect("every case is supported");
    outcome != case.expected && report::difference(case, &outcome).is_some()
}

fn check_that_unbroken_passes(cases: &[Case]) {
    let contract = Contract::new(None);
    for case in cases {
        let outcome = contract.quantize(case).expect("every case is supported");
        if let Some(difference) = report::difference(case, &outcome) {
            panic!("{case}\n{difference}");
        }
    }
}

/// Mutations that no case notices.
fn survivors(cases: &[Case]) -> Vec<Mutation> {
    let mut survivors = Vec::new();
    for &mutation in Mutation::ALL {
        let mutant = Contract::new(Some(mutation));
        match cases.iter().find(|case| differs(&mutant, case)) {
            Some(case) => println!("{mutation:?} is noticed by {case}"),
            None => survivors.push(mutation),
        }
    }
    survivors
}

/// The carried cases with linear scales, FP32 first and large ones last: few are needed to notice a
/// mutation, and FP32 lies closest to ties.
fn carried() -> Vec<Case> {
    let mut cases = Suite::carried().unwrap().cases;
    cases.retain(|case| case.config.scale_layout() == ScaleLayout::Linear);
    cases.sort_by_key(|case| {
        let elements = case.input.bits.len();
        (elements > 4096, case.input.element != InputType::F32, elements < 1024)
    });
    cases
}

#[test]
fn the_carried_golden_cases_notice_every_mutation() {
    let cases = carried();
    check_that_unbroken_passes(&cases);
    assert_eq!(survivors(&cases), []);
}

#[test]
fn the_generated_cases_notice_every_mutation() {
    let cases = Suite::generated(7).cases;
    check_that_unbroken_passes(&cases);
    assert_eq!(survivors(&cases), []);
}
