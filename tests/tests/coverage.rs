//! Nothing that is shipped is without a case.

use std::collections::BTreeSet;
use std::sync::Arc;

use fouroversix_conformance::case::{Case, Input, every_rule};
use fouroversix_conformance::coverage;
use fouroversix_conformance::generate::{ELEMENTS, SCALINGS};
use fouroversix_conformance::oracle;
use fouroversix_conformance::suite::Suite;
use fouroversix_core::config::{Config, InputType, Outputs, Rule, ScaleLayout, Scaling};
use fouroversix_core::kernel::{Kernel, Operation};
use fouroversix_core::{ShapeError, launch};
use fouroversix_reference as reference;

/// Whether a kernel moves the bytes that others do, to be timed, and computes nothing.
fn is_copy(kernel: &Kernel) -> bool {
    matches!(kernel.operation(), Operation::CopyQuantize | Operation::CopyDequantize)
}

/// The kernels that a suite launches.
fn reached(suite: &Suite) -> BTreeSet<Kernel> {
    let has_kernels = |case: &&Case| launch::check_features(&case.config).is_ok();
    let cases = suite.cases.iter().filter(has_kernels);
    let quantize = cases.flat_map(|case| coverage::kernels(case).unwrap());
    let dequantize = suite.dequantize_cases.iter();
    quantize.chain(dequantize.map(|case| coverage::dequantize_kernel(case).unwrap())).collect()
}

/// The kernels without a case in a suite.
fn missing(suite: &Suite) -> Vec<Kernel> {
    let reached = reached(suite);
    Kernel::ALL.into_iter().filter(|kernel| !is_copy(kernel) && !reached.contains(kernel)).collect()
}

#[test]
fn every_kernel_has_a_generated_case() {
    let mut suite = Suite::generated(1);
    suite.extend(Suite::generated_training(1));
    suite.extend(Suite::generated_search(1));
    assert_eq!(missing(&suite), []);
}

#[test]
fn every_kernel_has_a_carried_golden_case() {
    let mut suite = Suite::carried().unwrap();
    suite.extend(Suite::carried_training().unwrap());
    suite.extend(Suite::carried_search().unwrap());
    assert_eq!(missing(&suite), []);
}

/// Every configuration that can be written down, for every element type.
fn everything() -> Vec<(Config, InputType)> {
    let mut all = Vec::new();
    for rule in every_rule() {
        for scaling in SCALINGS {
            for outputs in [Outputs::Rowwise, Outputs::Columnwise, Outputs::Both] {
                for layout in [ScaleLayout::Linear, ScaleLayout::Swizzled128x4] {
                    let Ok(config) = Config::new(rule, scaling, outputs, layout) else { continue };
                    all.extend(ELEMENTS.map(|element| (config, element)));
                }
            }
        }
    }
    all
}

#[test]
fn every_configuration_has_a_generated_case() {
    let suite = Suite::generated(1);
    let not_empty = suite.cases.iter().filter(|case| !case.input.bits.is_empty());
    let not_empty: Vec<(Config, InputType)> = not_empty
        .filter(|case| case.supplied_amax.is_none())
        .map(|case| (case.config, case.input.element))
        .collect();
    let mut without = everything();
    without.retain(|asked| !not_empty.contains(asked));
    assert!(without.is_empty(), "{} configurations without a case: {without:?}", without.len());
    for rule in every_rule() {
        for scaling in SCALINGS {
            let mut supplied = suite.cases.iter().filter(|case| case.supplied_amax.is_some());
            let found =
                supplied.any(|case| case.config.rule() == rule && case.config.scaling() == scaling);
            assert!(found, "{rule:?} {scaling:?} has no case with a supplied amax");
        }
    }
}

#[test]
fn launches_are_refused_where_the_contract_is_not_defined() {
    for scaling in SCALINGS {
        for outputs in [Outputs::Rowwise, Outputs::Columnwise, Outputs::Both] {
            let config = Config::new(Rule::Plain, scaling, outputs, ScaleLayout::Linear).unwrap();
            for shape in [[16, 16], [16, 24], [17, 32], [8, 16], [16, 1], [0, 16], [16, 0], [3, 0]]
            {
                let bits = vec![0; shape[0] * shape[1]];
                let input = Arc::new(Input { element: InputType::F32, shape, bits });
                let expected = oracle::quantize(config, &input, None);
                let actual = launch::quantize(&config, InputType::F32, shape);
                let context =
                    format!("{scaling:?} {outputs:?} {shape:?}: {actual:?}, {expected:?}");
                assert_eq!(actual.is_ok(), expected.is_ok(), "{context}");
                let dimension = matches!(expected, Err(reference::Error::Dimension { .. }));
                let refused =
                    matches!(actual, Err(launch::LaunchError::Shape(ShapeError::Dimension { .. })));
                assert_eq!(refused, dimension, "{context}");
            }
        }
    }
}

#[test]
fn row_scaled_columnwise_is_plain_only() {
    let columnwise = |rule| Config::new(rule, Scaling::Row, Outputs::Both, ScaleLayout::Linear);
    for rule in every_rule() {
        assert_eq!(columnwise(rule).is_ok(), rule == Rule::Plain, "{rule:?}");
    }
}
