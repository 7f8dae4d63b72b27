//! Inputs where roundings turn: products halfway between two E2M1 values, block scales halfway
//! between two E4M3 values, and their neighbours.

use fouroversix_kernels::config::{InputType, Rule};
use fouroversix_reference::E4m3;
use fouroversix_reference::scale::{GlobalScale, ScalePair, block_encode_scale, plain_scale};

use crate::case::Input;
use crate::generate::narrow;
use crate::oracle;
use crate::rng::Rng;

const CODE_MIDPOINTS: [f32; 8] = [0.25, 0.75, 1.25, 1.75, 2.5, 3.5, 5.0, 6.0];

/// A tensor whose first element is its amax, whose blocks' maxima are near midpoints of the scale
/// rounding, and whose other elements are near midpoints of the code rounding: on the midpoint, or
/// one or two representable values off it.
#[must_use]
pub fn input(element: InputType, shape: [usize; 2], rule: Rule, seed: u64) -> Input {
    let mut rng = Rng::new(seed ^ 0x6D69_6470_6F69_6E74);
    let amax = [6.0, 5.3, 1.0, 0.0391, 1344.0][rng.below(5)];
    let amax = Input { element, shape: [1, 1], bits: vec![narrow(amax, element)] }.value(0);
    let rule = oracle::rule(rule);
    let global = GlobalScale::new(amax, rule.e4m3_max());
    let mut bits = Vec::new();
    for block in 0..shape[0] * shape[1] / 16 {
        let block_amax = if block == 0 { amax } else { block_maximum(&mut rng, &global) };
        let pair = ScalePair::new(block_amax, &global);
        let plain = plain_scale(block_amax, &global);
        let scale = if rule == fouroversix_reference::Rule::Plain {
            plain
        } else {
            rng.pick(&[pair.map4, pair.map6])
        };
        bits.push(beside(&mut rng, block_amax, element, block == 0));
        for _ in 1..16 {
            let target = rng.pick(&CODE_MIDPOINTS) / block_encode_scale(scale, &global);
            let target = if target > block_amax { block_amax / 2.0 } else { target };
            let sign = if rng.below(2) == 0 { 1.0 } else { -1.0 };
            bits.push(beside(&mut rng, target * sign, element, false));
        }
    }
    Input { element, shape, bits }
}

/// A block maximum whose map6 or map4 scale lies near a midpoint between two E4M3 values.
fn block_maximum(rng: &mut Rng, global: &GlobalScale) -> f32 {
    let code = rng.below(0x7C) as u8;
    let (low, high) = (E4m3::from_bits(code), E4m3::from_bits(code + 1));
    let midpoint = f32::midpoint(low.to_f32(), high.to_f32());
    let maximum = midpoint * 6.0 / global.encode;
    let maximum = if rng.below(2) == 0 { maximum } else { maximum / 1.5 };
    maximum.min(global.amax)
}

/// The bits of a value, or unless `exact` of one of the two values below or above it.
fn beside(rng: &mut Rng, value: f32, element: InputType, exact: bool) -> u32 {
    let bits = narrow(value, element);
    let magnitude = bits & ((1 << (8 * element.bytes() - 1)) - 1);
    let offset = if exact { 2 } else { rng.below(5) as u32 };
    if magnitude < 2 { bits } else { bits + offset - 2 }
}
