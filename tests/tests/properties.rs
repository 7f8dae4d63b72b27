//! What follows from the contract without knowing any value: checked on every backend, the reference
//! among them.

use std::sync::Arc;

use fouroversix::cpu::Path;
use fouroversix_conformance::adapters::CpuBackend;
use fouroversix_conformance::backend::Backend;
use fouroversix_conformance::case::{Case, Input, Outcome, Output, every_rule};
use fouroversix_conformance::generate::{ELEMENTS, PATTERNS, SCALINGS, narrow};
use fouroversix_conformance::oracle::Reference;
use fouroversix_core::config::{Config, Outputs, Rule, ScaleLayout, Scaling};

const SHAPE: [usize; 2] = [32, 48];

fn backends() -> Vec<Box<dyn Backend>> {
    let cpus =
        Path::available().into_iter().map(|path| Box::new(CpuBackend(path)) as Box<dyn Backend>);
    cpus.chain([Box::new(Reference) as Box<dyn Backend>]).collect()
}

fn quantize(backend: &dyn Backend, config: Config, input: Input) -> Outcome {
    let case = Case {
        name: "property".to_owned(),
        config,
        input: Arc::new(input),
        supplied_amax: None,
        expected: Outcome::default(),
    };
    backend.supports(&case).expect("a backend here supports everything");
    backend.quantize(&case).unwrap_or_else(|error| panic!("{}: {error}", backend.name()))
}

fn rowwise(backend: &dyn Backend, rule: Rule, scaling: Scaling, input: Input) -> Output {
    let config = Config::new(rule, scaling, Outputs::Rowwise, ScaleLayout::Linear).unwrap();
    quantize(backend, config, input).rowwise.expect("rowwise output was asked for")
}

/// Calls `check` with inputs of ordinary magnitude, for every backend, rule and scaling.
fn for_all(check: impl Fn(&dyn Backend, Rule, Scaling, Input)) {
    let patterns =
        PATTERNS.iter().filter(|p| ["normal", "small-integers", "sparse"].contains(&p.name));
    let patterns: Vec<_> = patterns.collect();
    assert_eq!(patterns.len(), 3);
    for backend in backends() {
        for rule in every_rule() {
            for scaling in SCALINGS {
                for (seed, element) in ELEMENTS.into_iter().enumerate() {
                    let input = patterns[seed].input(element, SHAPE, seed as u64);
                    check(backend.as_ref(), rule, scaling, input);
                }
            }
        }
    }
}

/// The input with every value changed by an exact function.
fn map(input: &Input, f: impl Fn(f32) -> f32) -> Input {
    let bits = input.values().into_iter().map(|x| narrow(f(x), input.element)).collect();
    Input { bits, ..input.clone() }
}

#[test]
fn negation_flips_the_sign_of_every_code() {
    for_all(|backend, rule, scaling, input| {
        let negative = rowwise(backend, rule, scaling, map(&input, |x| -x));
        let mut expected = rowwise(backend, rule, scaling, input);
        expected.codes.iter_mut().for_each(|byte| *byte ^= 0x88);
        assert_eq!(negative, expected, "{} {rule:?} {scaling:?}", backend.name());
    });
}

#[test]
fn a_power_of_two_changes_the_amax_alone() {
    for_all(|backend, rule, scaling, input| {
        let larger = rowwise(backend, rule, scaling, map(&input, |x| x * 64.0));
        let mut expected = rowwise(backend, rule, scaling, input);
        expected.global_amax.iter_mut().for_each(|amax| *amax *= 64.0);
        assert_eq!(larger, expected, "{} {rule:?} {scaling:?}", backend.name());
    });
}

#[test]
fn rows_of_1d_blocks_are_independent_of_their_order() {
    for_all(|backend, rule, scaling, input| {
        if scaling == Scaling::Tile {
            return;
        }
        let reversed = |input: &Input| {
            let rows = input.bits.rchunks(SHAPE[1]);
            Input { bits: rows.flatten().copied().collect(), ..input.clone() }
        };
        let actual = rowwise(backend, rule, scaling, reversed(&input));
        let mut expected = rowwise(backend, rule, scaling, input);
        expected.codes = expected.codes.rchunks(SHAPE[1] / 2).flatten().copied().collect();
        expected.scales = expected.scales.rchunks(SHAPE[1] / 16).flatten().copied().collect();
        expected.global_amax.reverse();
        assert_eq!(actual, expected, "{} {rule:?} {scaling:?}", backend.name());
    });
}

#[test]
fn columnwise_is_rowwise_of_the_transpose() {
    for_all(|backend, rule, scaling, input| {
        let config = |outputs| Config::new(rule, scaling, outputs, ScaleLayout::Linear);
        let Ok(both) = config(Outputs::Both) else {
            assert!(rule != Rule::Plain && scaling == Scaling::Row);
            return;
        };
        let transposed = rowwise(backend, rule, scaling, input.transposed());
        let alone = config(Outputs::Columnwise).unwrap();
        let alone = quantize(backend, alone, input.clone());
        let both = quantize(backend, both, input.clone());
        let context = format!("{} {rule:?} {scaling:?}", backend.name());
        assert_eq!(alone.columnwise.as_ref(), Some(&transposed), "{context}");
        assert_eq!(both.columnwise, alone.columnwise, "{context}");
        assert_eq!(both.rowwise, Some(rowwise(backend, rule, scaling, input)), "{context}");
    });
}
