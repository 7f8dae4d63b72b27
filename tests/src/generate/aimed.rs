//! Cases of the inputs that know their rule, for every kernel that takes the rule.

use fouroversix_core::config::{Config, InputType, Outputs, Rule, Scaling};

use super::draw::{Draw, ELEMENTS, case, configs};
use super::{midpoint, near_tie, position};
use crate::case::{Case, Input, SuppliedAmax};

/// Inputs where the codes or the choice turn, all over.
pub(super) fn cases(draw: Draw) -> Vec<Case> {
    let Draw { seed, rule, scaling, element, turn } = draw;
    let configs = configs(rule, scaling);
    let config = configs[turn % configs.len()];
    let input = midpoint::input(element, [16, 64], rule, seed);
    let mut cases = vec![case("midpoints", seed, config, input, None)];
    if rule != Rule::Plain {
        let input = near_tie::input(element, [32, 64], rule, scaling, seed);
        let columnwise = configs.iter().find(|c| c.outputs() == Outputs::Columnwise);
        cases.extend(
            columnwise.map(|&config| {
                case("columnwise near-ties", seed, config, input.transposed(), None)
            }),
        );
        let rowwise: Vec<&Config> = configs.iter().filter(|c| c.outputs().rowwise()).collect();
        cases.push(case("near-ties", seed, *rowwise[turn % rowwise.len()], input, None));
    }
    cases
}

/// An input, what it is called, and the amax to give beside it.
type Aimed = (&'static str, Input, Option<f32>);

/// Inputs where one element or one bit decides, along the rows and along the columns of every output.
pub(super) fn position_cases(mut draw: Draw) -> Vec<Case> {
    draw.seed += draw.turn as u64;
    let Draw { seed, rule, scaling, turn, .. } = draw;
    let configs = configs(rule, scaling);
    let mut inputs = edges(draw);
    inputs.extend(products(draw));
    if rule != Rule::Plain {
        inputs.extend(ties(draw));
    }
    let mut cases = Vec::new();
    for (name, input, amax) in inputs {
        for outputs in [Outputs::Rowwise, Outputs::Columnwise, Outputs::Both] {
            let mut layouts = configs.iter().filter(|config| config.outputs() == outputs);
            let Some(&config) = layouts.nth(turn % 2) else { continue };
            let mut push = |name: &str, input: Input| {
                let amax = amax.map(|amax| supplied(scaling, input.shape, amax));
                cases.push(case(name, seed, config, input, amax));
            };
            // Tiles that a warp holds lie along either side.
            if outputs.rowwise() || scaling == Scaling::Tile {
                push(name, input.clone());
            }
            if outputs.columnwise() || scaling == Scaling::Tile {
                push(&format!("{name} in columns"), input.transposed());
            }
        }
    }
    cases
}

fn supplied(scaling: Scaling, [rows, cols]: [usize; 2], amax: f32) -> SuppliedAmax {
    let [rowwise, columnwise] =
        [rows, cols].map(|lines| vec![amax; if scaling == Scaling::Row { lines } else { 1 }]);
    SuppliedAmax { rowwise, columnwise }
}

/// Where scales turn.
fn edges(draw: Draw) -> Vec<Aimed> {
    let Draw { seed, rule, scaling, element, .. } = draw;
    let mut inputs = vec![
        ("scale edges", position::scale_edges(element, rule, scaling, seed), None),
        ("last scales", position::last_scales(element, rule, scaling, seed), None),
        ("nan blocks", position::nan_blocks(element, scaling, seed), None),
        ("zero blocks", position::zero_blocks(element, scaling, seed), None),
        // Scales of blocks that are not zeros saturate, each of them or, with the largest S_enc, all.
        ("saturated", position::scale_edges(element, rule, scaling, seed), Some(0.03)),
        (
            "zero blocks of a tiny tensor",
            position::zero_blocks(element, scaling, seed),
            Some(1e-41),
        ),
    ];
    for (name, nan) in [("scale ties", false), ("scale ties and nan", true)] {
        inputs.push((name, position::scale_ties(element, rule, scaling, nan, seed), None));
    }
    let far = position::far_below(position::scale_edges(element, rule, scaling, seed), 60);
    inputs.extend(far.map(|input| ("far scale edges", input, None)));
    inputs
}

/// Where codes turn by one bit of a product, and choices. The eight lowest bits, and a product that is
/// rounded to the midpoint, are shared out among the four rules that have the same kernels.
fn products(draw: Draw) -> Vec<Aimed> {
    let Draw { seed, rule, scaling, element, turn } = draw;
    let share = if rule == Rule::Plain { 1 } else { 4 };
    let shared = [1, 2, 4, 8, 16, 32, 64, 128, 0].into_iter().enumerate();
    let units = shared.filter(|(number, _)| number % share == turn / ELEMENTS.len() % share);
    let mut inputs = Vec::new();
    for (_, units) in units {
        let mut push = |name, (input, amax): (Input, f32)| {
            let own = element == InputType::F32;
            inputs.push((name, input, (!own).then_some(amax)));
        };
        let beside = |nan| position::beside_midpoints(element, rule, scaling, units, nan, seed);
        push("beside midpoints", beside(false));
        push("beside midpoints and nan", beside(true));
        if rule != Rule::Plain {
            let (input, amax) = position::midpoint_ties(element, rule, scaling, units, seed);
            if let Some(far) = position::far_below(input.clone(), 60) {
                push("far ties of midpoints", (far, amax * 2f32.powi(-60)));
            }
            push("ties of midpoints", (input, amax));
        }
    }
    inputs
}

/// Where the choice is for the roundings to make.
fn ties(draw: Draw) -> Vec<Aimed> {
    let Draw { seed, rule, scaling, element, turn } = draw;
    // With a global scale that is off by a few units.
    let off = |input: &Input| {
        let off = [2, -2, 5, -5][turn % 4];
        let amax = f32::from_bits(input.value(0).to_bits().wrapping_add_signed(off));
        (scaling != Scaling::Row).then_some(amax)
    };
    let ties = |odd| position::ties(element, rule, scaling, odd, seed);
    let sums = |subnormal| position::sums(element, rule, scaling, subnormal, seed);
    let mut inputs = vec![("ties", ties(false), None)];
    for (name, input) in [
        ("almost ties", ties(true)),
        ("almost equal sums", sums(false)),
        ("almost equal sums of saturated blocks", sums(true)),
    ] {
        let amax = off(&input);
        inputs.push((name, input, amax));
    }
    let near = near_tie::input(element, [32, 64], rule, scaling, seed);
    if scaling == Scaling::Row {
        inputs.push(("lone elements", position::lone_elements(element, rule, seed), None));
    }
    // As far as S_enc is finite, where the first terms are a few units of the smallest number.
    for (name, binades) in [("far near-ties", 60), ("farthest near-ties", 119)] {
        let far = position::far_below(near.clone(), binades);
        inputs.extend(far.map(|input| (name, input, None)));
    }
    for (name, input) in [("far almost ties", ties(true)), ("far almost equal sums", sums(false))] {
        inputs.extend(position::far_below(input, 60).map(|input| {
            let amax = off(&input);
            (name, input, amax)
        }));
    }
    inputs
}
