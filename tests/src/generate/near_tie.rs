//! Inputs where the choice between map4 and map6 turns.

use fouroversix_core::config::{InputType, Rule, Scaling};
use fouroversix_reference::block::{Tile16, decide_row, decide_tile};
use fouroversix_reference::candidate::encode_row;
use fouroversix_reference::scale::GlobalScale;
use fouroversix_reference::{self as reference, Decision};

use crate::case::Input;
use crate::generate::narrow;
use crate::oracle;
use crate::rng::Rng;

/// A tensor whose blocks (or tiles) lie as close to a change of choice as the element type allows:
/// a random block is turned, element by element, into one that chooses otherwise; the element at
/// which the choice turns is bisected until the next representable value chooses otherwise, and one of the
/// two neighbours is taken.
///
/// The first element of every row is the amax, so the global scale is the same whatever the
/// scaling. The first element of every block is its maximum and stays, so that both scales stay and
/// the errors change without jumps. Some blocks have no such place: beside the amax, map4 saturates
/// at A = 448.
///
/// # Panics
/// If a dimension is not a multiple of 16.
#[must_use]
pub fn input(
    element: InputType,
    shape: [usize; 2],
    rule: Rule,
    scaling: Scaling,
    seed: u64,
) -> Input {
    let [rows, cols] = shape;
    assert!(rows % 16 == 0 && cols % 16 == 0, "tiles of 16x16");
    let mut rng = Rng::new(seed ^ 0x6E65_6172_2074_6965);
    let rule = oracle::rule(rule);
    let search = Search { element, rule, global: GlobalScale::new(AMAX, rule.e4m3_max()) };
    let mut bits = vec![0; rows * cols];
    let height = if scaling == Scaling::Tile { 16 } else { 1 };
    for top in (0..rows).step_by(height) {
        for left in (0..cols).step_by(16) {
            let block = search.block(&mut rng, height, left == 0);
            for (i, element) in block.into_iter().enumerate() {
                bits[(top + i / 16) * cols + left + i % 16] = element;
            }
        }
    }
    Input { element, shape, bits }
}

const AMAX: f32 = 7.0;

struct Search {
    element: InputType,
    rule: reference::Rule,
    global: GlobalScale,
}

impl Search {
    /// A block of `height` rows at which the choice turns, if one is found. `at_the_edge`, every
    /// row begins with the amax.
    fn block(&self, rng: &mut Rng, height: usize, at_the_edge: bool) -> Vec<u32> {
        let maximum = if at_the_edge { AMAX } else { 1.0 + 4.0 * rng.unit() as f32 };
        let fixed = |i: usize| if at_the_edge { i.is_multiple_of(16) } else { i == 0 };
        let block: Vec<f32> = (0..16 * height)
            .map(|i| if fixed(i) { maximum } else { rng.normal().clamp(-maximum, maximum) })
            .collect();
        let mut block: Vec<u32> = block.into_iter().map(|x| narrow(x, self.element)).collect();
        let mut other = self.rounded_to_the_other_candidate(&block);
        (0..block.len()).filter(|&i| fixed(i)).for_each(|i| other[i] = block[i]);
        if self.takes_map4(&other) != self.takes_map4(&block) {
            self.turn(rng, &mut block, &other);
        }
        block
    }

    /// The block as the candidate that it does not take represents it: a block that takes that
    /// candidate, and has the same signs, so that a path of bits leads from one to the other.
    fn rounded_to_the_other_candidate(&self, block: &[u32]) -> Vec<u32> {
        let pair = self.decide(block).candidates.expect("a rule with candidates");
        let other = if pair.takes_map4() { pair.map6 } else { pair.map4 };
        let sign = 1 << (8 * self.element.bytes() - 1);
        let values = self.values(block);
        let rows = values.as_chunks().0.iter();
        let codes = rows.flat_map(|row| encode_row(row, other.scale, &self.global));
        let unit = other.scale.to_f32() * self.global.decode;
        let magnitudes = codes.map(|code| narrow((code.to_f32() * unit).abs(), self.element));
        block.iter().zip(magnitudes).map(|(&bits, magnitude)| bits & sign | magnitude).collect()
    }

    /// Moves `block` towards `other`, which chooses otherwise, up to where the choice turns.
    fn turn(&self, rng: &mut Rng, block: &mut [u32], other: &[u32]) {
        let first = self.takes_map4(block);
        for (position, &target) in other.iter().enumerate() {
            let original = std::mem::replace(&mut block[position], target);
            if self.takes_map4(block) != first {
                let (mut here, mut there) = (original, target);
                while here.abs_diff(there) > 1 {
                    let middle = here.midpoint(there);
                    block[position] = middle;
                    let unchanged = self.takes_map4(block) == first;
                    (here, there) = if unchanged { (middle, there) } else { (here, middle) };
                }
                block[position] = rng.pick(&[here, there]);
                return;
            }
        }
    }

    fn takes_map4(&self, block: &[u32]) -> bool {
        self.decide(block).candidates.is_some_and(|pair| pair.takes_map4())
    }

    fn decide(&self, block: &[u32]) -> Decision {
        let values = self.values(block);
        let (rows, _) = values.as_chunks();
        match <&Tile16>::try_from(rows) {
            Ok(tile) => decide_tile(tile, self.rule, &self.global),
            Err(_) => decide_row(&rows[0], self.rule, &self.global),
        }
    }

    fn values(&self, block: &[u32]) -> Vec<f32> {
        let shape = [block.len() / 16, 16];
        Input { element: self.element, shape, bits: block.to_vec() }.values()
    }
}
