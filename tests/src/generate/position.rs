//! Inputs where one element decides, at every place of a block or tile in turn.

use fouroversix_kernels::config::{InputType, Rule, Scaling};
use fouroversix_reference::scale::{GlobalScale, ScalePair, plain_scale};
use fouroversix_reference::{self as reference};

use crate::case::Input;
use crate::generate::narrow;
use crate::oracle;
use crate::rng::Rng;

/// Blocks whose largest element is the first or the last representable value that gives its scale: a
/// wrong last bit of that one element shows.
///
/// The largest element of all is the first, or with row scaling at another place in every row.
#[must_use]
pub fn scale_edges(element: InputType, rule: Rule, scaling: Scaling, seed: u64) -> Input {
    let mut rng = Rng::new(seed ^ 0x6564_6765);
    let rule = oracle::rule(rule);
    let global = GlobalScale::new(AMAX, rule.e4m3_max());
    let mut groups = Groups::new(element, scaling);
    for number in 0..groups.count() {
        let peak = edge(&mut rng, element, rule, &global);
        let largest = value(element, peak) / 2.0;
        groups.fill(number, |_| narrow(largest * (2.0 * rng.unit() as f32 - 1.0), element));
        let [row, col] = groups.place(number);
        let sign = (rng.below(2) as u32) << (8 * element.bytes() - 1);
        groups.set(row, col, peak | sign);
    }
    groups.set(0, 0, narrow(AMAX, element));
    if scaling == Scaling::Row {
        for row in 0..ROWS {
            groups.set(row, 17 * row % groups.cols, narrow(-AMAX, element));
        }
    }
    groups.into_input()
}

/// Blocks of zeros and one magnitude, which both candidates represent alike, but for one element (or
/// two equal ones) halfway between what they make of it: which of them is better is for the roundings
/// to say. Without `odd` elements the blocks are exact ties.
///
/// Every row begins with the amax, so that the global scale is the same whatever the scaling.
#[must_use]
pub fn ties(element: InputType, rule: Rule, scaling: Scaling, odd: bool, seed: u64) -> Input {
    let mut rng = Rng::new(seed ^ 0x7469_6573);
    let range = 6.0 * oracle::rule(rule).e4m3_max().value();
    // An S_dec of few significant bits, which is no quotient of the amax: all products are exact but
    // those with S_enc. An FP32 amax can also be off by the last bit.
    let unit = rng.pick(&[1.25, 1.5, 1.75]);
    let amax = match element {
        InputType::F32 => rng.pick(&[(range * unit).next_down(), range * unit]),
        _ => range * unit,
    };
    let negative = 1 << (8 * element.bytes() - 1);
    let mut groups = Groups::new(element, scaling);
    for number in 0..groups.count() {
        let scale = rng.pick(&[1.0, 1.25, 1.5]) * 2f32.powi(rng.below(9) as i32 - 3) * unit;
        let magnitude = narrow(6.0 * scale, element);
        let choices = [0, negative, magnitude, magnitude | negative];
        groups.fill(number, |_| rng.pick(&choices));
        let [row, col] = groups.place(number);
        if odd {
            // Between 0.5 and 0.75, 0.75 and 1, 2 and 2.25, 2.25 and 3, 4 and 4.5 times the scale.
            let between = rng.pick(&[0.625, 0.875, 2.125, 2.625, 4.25]);
            let twin = (number + seed as usize) % 3;
            let twin = col / 16 * 16 + (col + twin) % 16;
            groups.set(row, col, narrow(between * scale, element));
            groups.set(row, twin, narrow(between * scale, element));
        }
        groups.set(row, col ^ 8, magnitude);
    }
    for row in 0..ROWS {
        groups.set(row, 0, narrow(amax, element));
    }
    groups.into_input()
}

/// The same numbers times 2⁻⁶⁰, exactly, so that no block is regular. FP16 has no such numbers.
#[must_use]
pub fn far_below(mut input: Input) -> Option<Input> {
    let unit = match input.element {
        InputType::F16 => return None,
        InputType::Bf16 => 1 << 7,
        InputType::F32 => 1 << 23,
    };
    for bits in input.bits.iter_mut().filter(|bits| **bits & (unit * 0xFF) != 0) {
        *bits = bits.wrapping_sub(60 * unit);
    }
    Some(input)
}

/// A tiny tensor in which every other block is NaN throughout.
#[must_use]
pub fn nan_blocks(element: InputType, scaling: Scaling, seed: u64) -> Input {
    let mut rng = Rng::new(seed ^ 0x006E_616E);
    let mut groups = Groups::new(element, scaling);
    let amax = if element == InputType::F16 { 1e-6 } else { 1e-38 };
    for number in 0..groups.count() {
        let nan = number % 2 == 1;
        groups.fill(number, |_| {
            let value = amax * rng.unit() as f32;
            narrow(if nan { f32::NAN } else { value }, element)
        });
    }
    groups.into_input()
}

/// Blocks whose scales are a few of E4M3's smallest steps, each beside others: scales that are far
/// from what was rounded to them, so that either candidate may saturate.
#[must_use]
pub fn last_scales(element: InputType, rule: Rule, scaling: Scaling, seed: u64) -> Input {
    let mut rng = Rng::new(seed ^ 0x6C61_7374);
    let global = GlobalScale::new(AMAX, oracle::rule(rule).e4m3_max());
    let mut groups = Groups::new(element, scaling);
    for number in 0..groups.count() {
        let steps = 0.4 + 3.6 * rng.unit() as f32;
        let largest = 6.0 * steps / 512.0 / global.encode;
        groups.fill(number, |_| narrow(largest * (2.0 * rng.unit() as f32 - 1.0), element));
        let [row, col] = groups.place(number);
        groups.set(row, col, narrow(largest, element));
    }
    for row in 0..ROWS {
        groups.set(row, 0, narrow(AMAX, element));
    }
    groups.into_input()
}

/// A number with few significant bits, so that every element type has it.
const AMAX: f32 = 1344.0;
const ROWS: usize = 16;

/// The first representable magnitude of a random block scale, or the last one of the scale below it.
fn edge(rng: &mut Rng, element: InputType, rule: reference::Rule, global: &GlobalScale) -> u32 {
    let map4 = rng.below(2) == 0;
    let scale = |bits: u32| {
        let peak = value(element, bits);
        match rule {
            reference::Rule::Plain => plain_scale(peak, global),
            reference::Rule::FourOverSix { .. } if map4 => ScalePair::new(peak, global).map4,
            reference::Rule::FourOverSix { .. } => ScalePair::new(peak, global).map6,
        }
        .to_bits()
    };
    let wanted = 0x18 + rng.below(0x50) as u8;
    let (mut below, mut first) = (0, narrow(AMAX, element));
    while first - below > 1 {
        let middle = below.midpoint(first);
        if scale(middle) < wanted {
            below = middle;
        } else {
            first = middle;
        }
    }
    if rng.below(4) == 0 { below } else { first }
}

fn value(element: InputType, bits: u32) -> f32 {
    Input { element, shape: [1, 1], bits: vec![bits] }.value(0)
}

/// A tensor as blocks of 1x16 or tiles of 16x16.
struct Groups {
    element: InputType,
    tile: bool,
    cols: usize,
    bits: Vec<u32>,
}

impl Groups {
    /// Every place of a block several times; every column of the upper and the lower half of a tile.
    fn new(element: InputType, scaling: Scaling) -> Self {
        let tile = scaling == Scaling::Tile;
        let cols = 16 * if tile { 33 } else { 9 };
        Self { element, tile, cols, bits: vec![0; ROWS * cols] }
    }

    fn count(&self) -> usize {
        self.cols / 16 * if self.tile { 1 } else { ROWS }
    }

    /// The place of a group's element, another one for every group.
    fn place(&self, number: usize) -> [usize; 2] {
        let blocks = self.cols / 16;
        if self.tile {
            // Rows j and j + 8 are one lane's.
            let row = (number * 5 % 8) + 8 * (number / 16 % 2);
            [row, 16 * number + number % 16]
        } else {
            let (row, block) = (number / blocks, number % blocks);
            [row, 16 * block + (row + 5 * block) % 16]
        }
    }

    fn fill(&mut self, number: usize, mut element: impl FnMut(usize) -> u32) {
        let blocks = self.cols / 16;
        let (top, height, left) = if self.tile {
            (0, ROWS, 16 * number)
        } else {
            (number / blocks, 1, 16 * (number % blocks))
        };
        for i in 0..16 * height {
            self.bits[(top + i / 16) * self.cols + left + i % 16] = element(i);
        }
    }

    fn set(&mut self, row: usize, col: usize, bits: u32) {
        self.bits[row * self.cols + col] = bits;
    }

    fn into_input(self) -> Input {
        Input { element: self.element, shape: [ROWS, self.cols], bits: self.bits }
    }
}
