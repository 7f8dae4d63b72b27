//! Inputs where the choice between map4 and map6 turns.

use fouroversix_kernels::config::{InputType, Rule, Scaling};
use fouroversix_reference::block::{Tile16, decide_row, decide_tile};
use fouroversix_reference::scale::GlobalScale;
use fouroversix_reference::{self as reference, Decision};

use crate::case::Input;
use crate::generate::narrow;
use crate::oracle;
use crate::rng::Rng;

/// A tensor whose blocks (or tiles) lie as close to a change of choice as the element type allows:
/// a block is turned, element by element, into one that chooses otherwise; the element at which the
/// choice turns is bisected until the next representable value chooses otherwise, and one of the
/// two neighbours is taken.
///
/// The first element of every row is the amax, so the global scale is the same whatever the
/// scaling; blocks at the left edge keep it.
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
    let amax = 7.0;
    let rule = oracle::rule(rule);
    let search = Search { element, rule, global: GlobalScale::new(amax, rule.e4m3_max()) };
    let mut bits: Vec<u32> =
        (0..rows * cols).map(|_| narrow(rng.normal().clamp(-6.9, 6.9), element)).collect();
    (0..rows).for_each(|row| bits[row * cols] = narrow(amax, element));
    let height = if scaling == Scaling::Tile { 16 } else { 1 };
    for top in (0..rows).step_by(height) {
        for left in (0..cols).step_by(16) {
            let indices: Vec<usize> =
                (0..height * 16).map(|i| (top + i / 16) * cols + left + i % 16).collect();
            let mut block: Vec<u32> = indices.iter().map(|&index| bits[index]).collect();
            search.approach(&mut rng, &mut block);
            indices.iter().zip(block).for_each(|(&index, element)| bits[index] = element);
        }
    }
    Input { element, shape, bits }
}

struct Search {
    element: InputType,
    rule: reference::Rule,
    global: GlobalScale,
}

impl Search {
    /// Moves `block` to where the choice turns, if a random block that chooses otherwise is found.
    fn approach(&self, rng: &mut Rng, block: &mut [u32]) {
        let first = self.takes_map4(block);
        let sign = 1 << (8 * self.element.bytes() - 1);
        let other = (0..32).find_map(|_| {
            // Same signs, so that a path of bits leads from one value to the other. The first
            // element stays: it may be the amax.
            let random = |&bits: &u32| {
                let magnitude = narrow(rng.normal().abs().min(6.9), self.element);
                (bits & sign) | magnitude
            };
            let mut other: Vec<u32> = block.iter().map(random).collect();
            (0..block.len()).step_by(16).for_each(|start| other[start] = block[start]);
            (self.takes_map4(&other) != first).then_some(other)
        });
        let Some(other) = other else { return };
        for (position, target) in other.into_iter().enumerate() {
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
        let input =
            Input { element: self.element, shape: [block.len() / 16, 16], bits: block.to_vec() };
        let values = input.values();
        let row = |row: usize| std::array::from_fn(|i| values[row * 16 + i]);
        if block.len() == 16 {
            decide_row(&row(0), self.rule, &self.global)
        } else {
            let tile: Tile16 = std::array::from_fn(row);
            decide_tile(&tile, self.rule, &self.global)
        }
    }
}
