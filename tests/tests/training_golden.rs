//! The cases of stochastic rounding and transforms on the reference and on every CPU path: the carried
//! ones, and all of `shared/golden-training` when it lies beside the workspace.

use crate::common;
use std::collections::BTreeSet;

use fouroversix::cpu::Path;
use fouroversix::{Feature, Rule};
use fouroversix_conformance::adapters::CpuBackend;
use fouroversix_conformance::case::Case;
use fouroversix_conformance::golden::training::{self, Index};
use fouroversix_conformance::oracle::Reference;
use fouroversix_conformance::ptx::PtxBackend;
use fouroversix_conformance::suite::Suite;
use fouroversix_core::InstructionSet;

fn suite() -> Suite {
    common::golden(Suite::carried_training(), "golden-training")
}

#[test]
fn reference_training_golden() {
    let counts = common::check(&suite(), &Reference);
    assert_eq!(counts.skipped, 0);
}

#[test]
fn cpu_training_golden() {
    let suite = suite();
    for path in Path::available() {
        let counts = common::check(&suite, &CpuBackend(path));
        assert_eq!(counts.skipped, 0);
    }
}

#[test]
fn cpu_training_generated() {
    let suite = Suite::generated_training(20_261_130);
    for path in Path::available() {
        let counts = common::check(&suite, &CpuBackend(path));
        assert_eq!(counts.skipped, 0);
    }
}

/// The committed kernels of every instruction set, executed.
#[test]
fn ptx_training_golden() {
    for set in InstructionSet::ALL {
        common::check(&Suite::carried_training().unwrap(), &PtxBackend::committed(set));
    }
}

/// Every rule with stochastic rounding on every scaling and type; with a transform on every type.
#[test]
fn the_carried_cases_have_every_mode() {
    let cases = Suite::carried_training().unwrap().cases;
    let modes = |feature: Feature, columnwise: bool| -> BTreeSet<String> {
        let asked = |case: &&Case| {
            let outputs = case.config.outputs();
            case.config.uses(feature)
                && if columnwise { outputs.columnwise() } else { outputs.rowwise() }
        };
        let name = |case: &Case| {
            let (rule, scaling) = (case.config.rule(), case.config.scaling());
            format!("{rule} {scaling} {}", case.input.element)
        };
        cases.iter().filter(asked).map(name).collect()
    };
    let rules = Rule::ALL.len();
    assert_eq!(modes(Feature::Stochastic, false).len(), rules * 3 * 3);
    // Row scaling has columnwise output under the plain rule only.
    assert_eq!(modes(Feature::Stochastic, true).len(), (rules * 2 + 1) * 3);
    assert_eq!(modes(Feature::Transform, false).len(), rules * 3);
    assert_eq!(modes(Feature::Transform, true).len(), rules * 3);
    assert!(cases.iter().any(|case| case.supplied_amax.is_some()));
    assert!(cases.iter().any(|case| case.name.ends_with("group")));
    assert!(cases.iter().any(|case| case.input.bits.is_empty()));
}

#[test]
fn other_formats_are_refused() {
    let index = Index {
        format: "nvfp4-golden-training-2".to_owned(),
        tensors: String::new(),
        cases: Vec::new(),
    };
    let problem = training::parse("other", &index, &[]).unwrap_err();
    assert!(problem.contains("nvfp4-golden-training-2"), "{problem}");
}
