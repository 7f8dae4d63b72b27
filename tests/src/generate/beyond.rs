//! Every pattern under what came after the first rules: scale search, stochastic rounding, transforms.

use fouroversix_core::config::{
    Config, InputType, Outputs, RandomState, Rounding, Rule, Scaling, SignMask, Transforms,
};

use super::draw::{case, configs};
use super::{ELEMENTS, PATTERNS, Pattern, SCALINGS, in_turns, supplied_amax_cases};
use crate::case::{Case, SuppliedAmax};
use crate::oracle;

/// A NaN in one tile of several that a warp holds: the others are as if it were not there.
const LONE_NAN: Pattern =
    Pattern { name: "lone-nan", fill: |rng, i| if i == 0 { f32::NAN } else { rng.normal() } };

/// Every pattern, and supplied amaxes, under every search, scaling and element type.
#[must_use]
pub fn search_cases(seed: u64) -> Vec<Case> {
    let mut cases = Vec::new();
    for (number, rule) in Rule::SEARCHES.into_iter().enumerate() {
        for scaling in SCALINGS {
            let configs = configs(rule, scaling);
            for (turn, element) in ELEMENTS.into_iter().enumerate() {
                cases.extend(in_turns(&configs, element, seed, 5 * number + turn));
                if scaling == Scaling::Tile {
                    let input = LONE_NAN.input(element, [16, 64], seed);
                    let of =
                        |config: &Config| case(LONE_NAN.name, seed, *config, input.clone(), None);
                    cases.extend(configs.iter().map(of));
                }
            }
            cases.extend(supplied_amax_cases(seed, rule, scaling));
        }
    }
    cases
}

/// Every pattern with stochastic rounding, with transforms, and with both, under all rules in turn.
#[must_use]
pub fn training_cases(seed: u64) -> Vec<Case> {
    let rules = [Rule::Plain, Rule::MAE, Rule::MSE, Rule::MSE_FAST, Rule::SEARCH_MSE];
    let mut cases = Vec::new();
    for (number, rule) in rules.into_iter().enumerate() {
        for (turn, element) in ELEMENTS.into_iter().enumerate() {
            let turn = 7 * number + turn;
            for scaling in SCALINGS {
                let random = configs(rule, scaling).into_iter().map(|c| stochastic(c, seed));
                cases.extend(in_turns(&random.collect::<Vec<_>>(), element, seed, turn));
            }
            let transformed: Vec<Config> =
                configs(rule, Scaling::Tensor).into_iter().flat_map(transforms).collect();
            cases.extend(in_turns(&transformed, element, seed, turn));
            let both: Vec<Config> =
                transformed.iter().map(|config| stochastic(*config, seed)).collect();
            cases.extend(in_turns(&both, element, seed + 1, turn));
            cases.extend(of_each_output(&transformed, element, seed));
            cases.extend(of_each_output(&both, element, seed));
            cases.extend(supplied(&both, element, seed, turn));
        }
    }
    cases
}

/// Cases with stochastic rounding in place of nearest, and what it gives.
#[must_use]
pub fn stochastic_cases(cases: &[Case], seed: u64) -> Vec<Case> {
    let rounded = |case: &Case| {
        let config = stochastic(case.config, seed);
        let expected = oracle::quantize(config, &case.input, case.supplied_amax.as_deref());
        Case { config, expected: expected.expect("the same shapes"), ..case.clone() }
    };
    cases.iter().map(rounded).collect()
}

/// Those of some cases that can have transforms, with them: of each output alone, of both, with either rounding.
#[must_use]
pub fn transform_cases(cases: &[Case], seed: u64) -> Vec<Case> {
    let of_tensor = cases.iter().filter(|case| case.config.scaling() == Scaling::Tensor);
    let transformed = |(turn, case): (usize, &Case)| {
        let configs = transforms(case.config);
        let nearest = configs[turn % configs.len()];
        [nearest, stochastic(configs[(turn + 1) % configs.len()], seed)].map(|config| {
            let expected = oracle::quantize(config, &case.input, case.supplied_amax.as_deref());
            Case { config, expected: expected.expect("the same shapes"), ..case.clone() }
        })
    };
    of_tensor.enumerate().flat_map(transformed).collect()
}

/// A case for the first configuration of rowwise, columnwise and both outputs: there may be more configurations
/// than patterns to take them in turns.
fn of_each_output(configs: &[Config], element: InputType, seed: u64) -> Vec<Case> {
    let outputs = [Outputs::Rowwise, Outputs::Columnwise, Outputs::Both];
    let first = |outputs| configs.iter().find(|config| config.outputs() == outputs);
    let case = |config: &Config| {
        let input = PATTERNS[0].input(element, [16, 48], seed);
        case("each output", seed, *config, input, None)
    };
    outputs.into_iter().filter_map(first).map(case).collect()
}

/// Amaxes that are neither output's, and differ.
fn supplied(configs: &[Config], element: InputType, seed: u64, turn: usize) -> Vec<Case> {
    let amaxes = [0.0, 1e-41, 0.3, 3000.0, f32::INFINITY];
    let case = |(number, amax): (usize, f32)| {
        let config = configs[(number + turn) % configs.len()];
        let input = PATTERNS[0].input(element, [16, 48], seed + number as u64);
        let amax = SuppliedAmax { rowwise: vec![amax], columnwise: vec![0.75 * amax] };
        case("supplied", seed, config, input, Some(amax))
    };
    amaxes.into_iter().enumerate().map(case).collect()
}

pub(super) fn stochastic(config: Config, seed: u64) -> Config {
    let state = RandomState { seed: seed.wrapping_mul(0x9E37_79B9_7F4A_7C15), offset: !seed };
    let builder = config.to_builder().rounding(Rounding::Stochastic(state));
    builder.build().expect("every rounding goes with everything")
}

/// The transforms that a configuration's outputs can have: of each alone, of both alike or not.
pub(super) fn transforms(config: Config) -> Vec<Config> {
    let masks = [None, Some(SignMask(0)), Some(SignMask::TRANSFORMER_ENGINE)];
    let pairs = masks.into_iter().flat_map(|rowwise| masks.map(|columnwise| [rowwise, columnwise]));
    let asked = pairs.filter(|[rowwise, columnwise]| {
        rowwise.is_some() <= config.outputs().rowwise()
            && columnwise.is_some() <= config.outputs().columnwise()
            && (rowwise.is_some() || columnwise.is_some())
    });
    let with = |[rowwise, columnwise]: [Option<SignMask>; 2]| {
        let builder = config.to_builder().transforms(Transforms { rowwise, columnwise });
        builder.build().expect("of outputs that are asked for")
    };
    asked.map(with).collect()
}
