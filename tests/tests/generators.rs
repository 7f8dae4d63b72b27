//! That the generators hit what they aim at.

use fouroversix_conformance::case::{Case, every_rule};
use fouroversix_conformance::generate::{self, ELEMENTS, SCALINGS, midpoint, near_tie, rare};
use fouroversix_conformance::oracle;
use fouroversix_core::config::{InputType, Rule, Scaling};
use fouroversix_reference::scale::block_encode_scale;
use fouroversix_reference::{self as reference, CandidatePair};

fn pairs(rule: Rule, scaling: Scaling, element: InputType) -> Vec<CandidatePair> {
    let [rows, cols] = [32, 64];
    let input = near_tie::input(element, [rows, cols], rule, scaling, 3);
    let x = input.values();
    let (rule, tile) = (oracle::rule(rule), scaling == Scaling::Tile);
    let scaling = if tile { reference::Scaling::Tile } else { reference::Scaling::Tensor };
    let blocks = (0..rows).step_by(if tile { 16 } else { 1 });
    let blocks = blocks.flat_map(|row| (0..cols / 16).map(move |block| (row, block)));
    blocks
        .filter_map(|(row, block)| {
            reference::explain(&x, rows, cols, rule, scaling, None, row, block).unwrap().candidates
        })
        .collect()
}

#[test]
fn near_ties_are_near() {
    for rule in every_rule().into_iter().filter(|&rule| rule != Rule::Plain) {
        for scaling in SCALINGS {
            for element in ELEMENTS {
                let pairs = pairs(rule, scaling, element);
                // The element that was moved changes the errors in steps of its own last place.
                let near = if element == InputType::F32 { 1e-6 } else { 0.02 };
                let is_near = |pair: &&CandidatePair| {
                    (pair.map4.error - pair.map6.error).abs() <= near * pair.map6.error
                };
                // Not all: see `near_tie::input`.
                let count = pairs.iter().filter(is_near).count();
                assert!(
                    count * 10 >= pairs.len() * 6,
                    "{rule:?} {scaling:?} {element:?}: {count} of {} are near",
                    pairs.len()
                );
                if scaling != Scaling::Tile {
                    let map4 = pairs.iter().filter(|pair| pair.takes_map4()).count();
                    assert!(map4 * 5 > pairs.len() && map4 * 5 < pairs.len() * 4, "both sides");
                }
            }
        }
    }
}

#[test]
fn rare_blocks_are_near_ties_whatever_the_transform() {
    let mut taken = [0, 0];
    let cases = rare::cases(3);
    let aimed = |case: &&Case| case.config.rule() != Rule::Plain && !case.input.bits.is_empty();
    for case in cases.iter().filter(aimed) {
        let tile = case.config.scaling() == Scaling::Tile;
        let columnwise = case.name.contains("columns") && case.config.outputs().columnwise();
        let [mut rows, mut cols] = case.input.shape;
        if columnwise {
            (rows, cols) = (cols, rows);
        }
        let lines = (0..rows).step_by(if tile { 16 } else { 1 });
        let blocks = lines.flat_map(|row| (0..cols / 16).map(move |block| (row, block)));
        let pairs = blocks
            .filter_map(|(row, block)| oracle::explain(case, columnwise, row, block).candidates);
        let near = pairs.filter(|pair| {
            let [map4, map6] = [pair.map4.error, pair.map6.error];
            map6 > 0.0 && (map4 - map6).abs() <= 1e-4 * map6
        });
        let near: Vec<bool> = near.map(|pair| pair.takes_map4()).collect();
        assert!(near.len() >= 4, "{case}: {} are near", near.len());
        near.into_iter().for_each(|map4| taken[usize::from(map4)] += 1);
    }
    assert!(taken.iter().all(|&count| count > 100), "map6 and map4 are taken {taken:?} times");
}

#[test]
fn midpoints_are_hit_and_straddled() {
    for rule in every_rule() {
        let input = midpoint::input(InputType::F32, [16, 64], rule, 5);
        let x = input.values();
        let (mut on, mut beside) = (0, 0);
        for row in 0..16 {
            for block in 0..4 {
                let rule = oracle::rule(rule);
                let scaling = reference::Scaling::Tensor;
                let decision = reference::explain(&x, 16, 64, rule, scaling, None, row, block);
                let decision = decision.unwrap();
                let encode = block_encode_scale(decision.scale, &decision.global);
                for x in &x[row * 64 + block * 16..][..16] {
                    let product = (x * encode).abs();
                    for midpoint in [0.25f32, 0.75, 1.25, 1.75, 2.5, 3.5, 5.0] {
                        on += usize::from(product == midpoint);
                        let ulps = product.to_bits().abs_diff(midpoint.to_bits());
                        beside += usize::from((1..=3).contains(&ulps));
                    }
                }
            }
        }
        assert!(on >= 5 && beside >= 30, "{rule:?}: {on} on, {beside} beside");
    }
}

#[test]
fn generated_cases_depend_on_the_seed_alone() {
    let describe = |cases: &[Case]| -> Vec<(String, Vec<u32>)> {
        cases.iter().map(|case| (case.to_string(), case.input.bits.clone())).collect()
    };
    let (first, again) = (generate::cases(1), generate::cases(1));
    assert_eq!(describe(&first), describe(&again));
    assert_ne!(describe(&first), describe(&generate::cases(2)));
}
