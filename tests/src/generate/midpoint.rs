//! Inputs where roundings turn: products halfway between two E2M1 values, block scales halfway
//! between two E4M3 values, and their neighbours.

use fouroversix_core::config::{InputType, Rule};
use fouroversix_reference::block::decide_row;
use fouroversix_reference::scale::{GlobalScale, ScalePair, block_encode_scale, plain_scale};
use fouroversix_reference::{self as reference, E4m3, search};

use crate::case::Input;
use crate::generate::narrow;
use crate::oracle;
use crate::rng::Rng;

const CODE_MIDPOINTS: [f32; 8] = [0.25, 0.75, 1.25, 1.75, 2.5, 3.5, 5.0, 6.0];

/// A tensor whose first element is its amax, whose blocks' maxima are near midpoints of the scale
/// rounding, and whose other elements are near midpoints of the code rounding: on the midpoint, or
/// one or two representable values off it.
///
/// The midpoints are those of one of the block's two scales; if in a few attempts that scale is
/// taken, the codes that come out are near ties, otherwise only those of the other candidate.
#[must_use]
pub fn input(element: InputType, shape: [usize; 2], rule: Rule, seed: u64) -> Input {
    let mut rng = Rng::new(seed ^ 0x6D69_6470_6F69_6E74);
    let amax = [6.0, 5.3, 1.0, 0.0391, 1344.0][rng.below(5)];
    let amax = Input { element, shape: [1, 1], bits: vec![narrow(amax, element)] }.value(0);
    let rule = oracle::rule(rule);
    let global = GlobalScale::new(amax, rule.e4m3_max());
    let mut bits = Vec::new();
    for number in 0..shape[0] * shape[1] / 16 {
        let mut attempts = 0;
        bits.extend(loop {
            let maximum = if number == 0 { amax } else { block_maximum(&mut rng, &global) };
            let (block, scale) = block(&mut rng, maximum, element, rule, &global);
            let input = Input { element, shape: [1, 16], bits: block };
            let row = std::array::from_fn(|i| input.value(i));
            attempts += 1;
            if decide_row(&row, rule, &global).scale == scale || attempts == 16 {
                break input.bits;
            }
        });
    }
    Input { element, shape, bits }
}

/// A block with its maximum first, and the scale whose midpoints its elements are near.
fn block(
    rng: &mut Rng,
    maximum: f32,
    element: InputType,
    rule: reference::Rule,
    global: &GlobalScale,
) -> (Vec<u32>, E4m3) {
    let first = narrow(maximum, element);
    let maximum = Input { element, shape: [1, 1], bits: vec![first] }.value(0);
    let pair = ScalePair::new(maximum, global);
    let scale = match rule {
        reference::Rule::Plain => plain_scale(maximum, global),
        reference::Rule::FourOverSix { .. } => rng.pick(&[pair.map4, pair.map6]),
        reference::Rule::Search { .. } => rng.pick(&search::scales(maximum, global)),
    };
    let mut bits = vec![first];
    for _ in 1..16 {
        let target = rng.pick(&CODE_MIDPOINTS) / block_encode_scale(scale, global);
        let target = if target > maximum { maximum / 2.0 } else { target };
        let sign = if rng.below(2) == 0 { 1.0 } else { -1.0 };
        bits.push(beside(rng, target * sign, element));
    }
    (bits, scale)
}

/// A block maximum whose map6 or map4 scale lies near a midpoint between two E4M3 values.
fn block_maximum(rng: &mut Rng, global: &GlobalScale) -> f32 {
    let code = rng.below(0x7C) as u8;
    let (low, high) = (E4m3::from_bits(code), E4m3::from_bits(code + 1));
    let midpoint = f32::midpoint(low.to_f32(), high.to_f32());
    let maximum = midpoint * 6.0 / global.encode;
    let maximum = if rng.below(2) == 0 { maximum } else { maximum / 1.5 };
    let maximum = rng.pick(&[maximum.next_down(), maximum, maximum.next_up()]);
    maximum.min(global.amax)
}

/// The bits of a value, or of one of the two values below or above it.
fn beside(rng: &mut Rng, value: f32, element: InputType) -> u32 {
    let bits = narrow(value, element);
    let magnitude = bits & ((1 << (8 * element.bytes() - 1)) - 1);
    if magnitude < 2 { bits } else { bits + rng.below(5) as u32 - 2 }
}
