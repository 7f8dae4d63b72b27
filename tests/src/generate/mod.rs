//! Adversarial inputs, each a function of a seed.
//!
//! [`PATTERNS`] fill a tensor without looking at the rule. [`near_tie`], [`midpoint`] and [`position`]
//! know the rule: they ask the reference where its decisions turn, and put inputs on both sides.
//! [`cases`] combines everything with what the reference makes of it.

use fouroversix_core::config::{Config, E4m3Max, InputType, Rule, ScaleLayout, Scaling};

use crate::case::{Case, Input, Output, SuppliedAmax, every_rule};
use crate::dequantize_case::DequantizeCase;
use crate::oracle;
use crate::rng::Rng;

mod aimed;
pub mod beyond;
mod draw;
pub mod midpoint;
pub mod near_tie;
pub mod position;
pub mod rare;
pub mod rounding;
pub mod uncertain;

pub use draw::{ELEMENTS, SCALINGS, narrow};

use draw::{Draw, case, configs, shapes};

/// A way to fill a tensor.
#[derive(Clone, Copy, Debug)]
pub struct Pattern {
    /// Its name.
    pub name: &'static str,
    /// One element, given its index; what the element type can't hold is rounded to it.
    fill: fn(&mut Rng, usize) -> f32,
}

/// Every pattern.
pub const PATTERNS: &[Pattern] = &[
    Pattern { name: "normal", fill: |rng, _| rng.normal() },
    Pattern { name: "any-finite-bits", fill: |rng, _| any_finite(rng) },
    Pattern { name: "small-integers", fill: |rng, _| rng.below(25) as f32 - 12.0 },
    Pattern { name: "grid", fill: |rng, _| grid(rng) },
    Pattern { name: "grid-and-nan", fill: |rng, _| grid_or_nan(rng) },
    Pattern { name: "constant", fill: |_, _| 0.7 },
    Pattern { name: "constant-blocks", fill: |_, i| ((i / 16 % 23) as f32 - 11.0) * 0.37 },
    Pattern { name: "zeros", fill: |_, _| 0.0 },
    Pattern { name: "zeros-of-both-signs", fill: |rng, _| rng.pick(&[0.0, -0.0]) },
    Pattern { name: "signed-zeros", fill: |rng, _| rng.pick(&[0.0, -0.0, 0.0, -0.0, 1.0, -1e-30]) },
    Pattern { name: "sparse", fill: |rng, _| if rng.below(12) == 0 { rng.normal() } else { 0.0 } },
    Pattern { name: "subnormal-scales", fill: |rng, i| rng.normal() * small_block(i) },
    Pattern { name: "outlier", fill: |rng, i| if i == 5 { 3e4 } else { rng.normal() } },
    Pattern { name: "tiny-amax", fill: |rng, _| rng.normal() * 1e-36 },
    Pattern { name: "at-the-clamp", fill: |rng, _| rng.normal() * 3e-36 },
    Pattern { name: "subnormal-inputs", fill: |rng, _| any_below(rng, 0x0080_0000) },
    Pattern { name: "half-subnormals", fill: |rng, _| rng.normal() * 2f32.powi(-16) },
    Pattern { name: "huge", fill: |rng, _| rng.normal() * 5e37 },
    Pattern { name: "strict-overflow", fill: |rng, _| rng.normal() * 3e34 },
    Pattern { name: "half-huge", fill: |rng, _| rng.normal() * 15000.0 },
    Pattern { name: "largest", fill: |rng, _| rng.pick(&[f32::MAX, f32::MIN, 65504.0, -65504.0]) },
    Pattern { name: "infinities", fill: |rng, _| sprinkled(rng, &[f32::INFINITY, -f32::INFINITY]) },
    Pattern { name: "nan", fill: |rng, _| sprinkled(rng, &[f32::NAN, -f32::NAN]) },
    Pattern { name: "all-nan", fill: |_, _| f32::NAN },
    Pattern { name: "nan-and-infinity", fill: |rng, _| sprinkled(rng, &[f32::NAN, f32::INFINITY]) },
];

/// Any finite value, all exponents alike.
fn any_finite(rng: &mut Rng) -> f32 {
    any_below(rng, f32::INFINITY.to_bits())
}

/// A value of either sign whose magnitude has bits below `bound`.
fn any_below(rng: &mut Rng, bound: u32) -> f32 {
    let magnitude = f32::from_bits(rng.below(bound as usize) as u32);
    if rng.below(2) == 0 { magnitude } else { -magnitude }
}

/// The values of E2M1 times the values between them, so that many products are exact or tie.
fn grid(rng: &mut Rng) -> f32 {
    let value =
        rng.pick(&[0.0, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 1.75, 2.0, 2.5, 3.0, 3.5, 4.0, 5.0, 6.0]);
    if rng.below(2) == 0 { value } else { -value }
}

/// The same, and most blocks have a NaN: their codes are the exact path's.
fn grid_or_nan(rng: &mut Rng) -> f32 {
    if rng.below(10) == 0 { f32::NAN } else { grid(rng) }
}

/// 1 for the first block, then ever smaller, down to where block scales are subnormal and zero.
fn small_block(index: usize) -> f32 {
    2f32.powi(-((index / 16 % 24) as i32))
}

fn sprinkled(rng: &mut Rng, specials: &[f32]) -> f32 {
    if rng.below(40) == 0 { rng.pick(specials) } else { rng.normal() }
}

impl Pattern {
    /// A tensor of this pattern. Seeds of different patterns are unrelated.
    #[must_use]
    pub fn input(&self, element: InputType, shape: [usize; 2], seed: u64) -> Input {
        let salt = self
            .name
            .bytes()
            .fold(seed, |salt, byte| salt.wrapping_mul(257).wrapping_add(u64::from(byte)));
        let mut rng = Rng::new(salt);
        let values = (0..shape[0] * shape[1]).map(|index| (self.fill)(&mut rng, index));
        Input { element, shape, bits: values.map(|value| narrow(value, element)).collect() }
    }
}

/// Every pattern, and the rule-aware inputs, under every rule, scaling and element type, with what
/// the reference gives. Outputs, layouts and shapes take turns, so that every configuration has
/// cases of every element type.
#[must_use]
pub fn cases(seed: u64) -> Vec<Case> {
    let mut cases = Vec::new();
    for (number, rule) in every_rule().into_iter().enumerate() {
        for scaling in SCALINGS {
            for (offset, element) in ELEMENTS.into_iter().enumerate() {
                let draw = Draw { seed, rule, scaling, element, turn: 3 * number + offset };
                cases.extend(in_turns(&configs(rule, scaling), element, seed, draw.turn));
                cases.extend(aimed::cases(draw));
                cases.extend(aimed::position_cases(draw));
            }
            cases.extend(supplied_amax_cases(seed, rule, scaling));
        }
    }
    cases
}

/// Every pattern once, under the configurations in turn.
fn in_turns(configs: &[Config], element: InputType, seed: u64, turn: usize) -> Vec<Case> {
    let case = |(number, pattern): (usize, &Pattern)| {
        let config = configs[(number + turn) % configs.len()];
        let shapes = shapes(config);
        let shape = shapes[(number / configs.len() + turn) % shapes.len()];
        case(pattern.name, seed, config, pattern.input(element, shape, seed), None)
    };
    PATTERNS.iter().enumerate().map(case).collect()
}

/// Amax values that are not the input's: 0, subnormal, too small, too large, ∞.
fn supplied_amax_cases(seed: u64, rule: Rule, scaling: Scaling) -> Vec<Case> {
    let amaxes = [0.0, 1e-41, 7.9e-36, 0.3, 3000.0, 2e35, f32::MAX, f32::INFINITY];
    let configs = configs(rule, scaling);
    let supplied = |(turn, amax): (usize, f32)| {
        let shape = [16, 48];
        // Where S_enc is clamped, or sums overflow, only numbers of the same order show it.
        let (pattern, element) = match amax {
            1e-41..1e-30 => ("tiny-amax", InputType::F32),
            1e30..1e38 => ("strict-overflow", InputType::F32),
            _ => ("normal", ELEMENTS[turn % 3]),
        };
        let mut patterns = PATTERNS.iter().filter(|known| known.name == pattern);
        let pattern = patterns.next().expect("a pattern's name");
        let input = pattern.input(element, shape, seed + turn as u64);
        let rowwise = if scaling == Scaling::Row { shape[0] } else { 1 };
        let columnwise = if scaling == Scaling::Row { shape[1] } else { 1 };
        // Rows differ, so that a mistaken row shows.
        let values = |count| (0..count).map(|i| amax * (1.0 + i as f32 / 8.0)).collect();
        let supplied = SuppliedAmax { rowwise: values(rowwise), columnwise: values(columnwise) };
        case("supplied", seed, configs[turn % configs.len()], input, Some(supplied))
    };
    amaxes.into_iter().enumerate().map(supplied).collect()
}

/// All codes under all scale bytes (NaN among them), for amax values from subnormal to ∞, both
/// bounds, all element types and both layouts.
#[must_use]
pub fn dequantize_cases() -> Vec<DequantizeCase> {
    let amaxes = [0.0, 1e-42, 1e-36, 0.037, 1.0, 448.0, 3e4, 1.3e35, f32::MAX, f32::INFINITY];
    let mut cases = Vec::new();
    for (turn, amax) in amaxes.into_iter().enumerate() {
        for e4m3_max in [E4m3Max::M448, E4m3Max::M256] {
            for element in ELEMENTS {
                let scale_layout = [ScaleLayout::Linear, ScaleLayout::Swizzled128x4][turn % 2];
                let scaling = [Scaling::Tensor, Scaling::Row, Scaling::Tile][turn % 3];
                cases.push(every_code(amax, e4m3_max, element, scale_layout, scaling));
            }
        }
    }
    cases
}

/// 256 rows of one block: row r has scale byte r and all 16 codes.
fn every_code(
    amax: f32,
    e4m3_max: E4m3Max,
    element: InputType,
    scale_layout: ScaleLayout,
    scaling: Scaling,
) -> DequantizeCase {
    let rows = 256;
    let scales = oracle::lay_out((0..=255).collect(), rows, 1, scale_layout);
    let codes =
        (0..8).map(|pair| ((2 * pair + 1) << 4) | (2 * pair)).collect::<Vec<u8>>().repeat(rows);
    let amaxes = if scaling == Scaling::Row { rows } else { 1 };
    let mut case = DequantizeCase {
        name: format!("every code, amax {amax:e} to {}", element),
        tensor: Output { codes, scales, global_amax: vec![amax; amaxes] },
        shape: [rows, 16],
        scale_layout,
        scaling,
        e4m3_max,
        element,
        expected: Vec::new(),
    };
    case.expected = oracle::dequantize(&case);
    case
}
