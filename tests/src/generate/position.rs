//! Inputs where one element decides, at every place of a block or tile in turn.

use fouroversix_core::config::{InputType, Rule, Scaling};
use fouroversix_reference::block::decide_row;
use fouroversix_reference::scale::{GlobalScale, ScalePair, block_encode_scale, plain_scale};
use fouroversix_reference::{self as reference, E4m3};

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
        let sign = rng.below(2) as u32 * negative(element);
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
    let (unit, amax) = few_bits(&mut rng, element, rule);
    let negative = negative(element);
    let mut groups = match scaling {
        Scaling::Tile => Groups::new(element, scaling),
        Scaling::Tensor | Scaling::Row => Groups::of_blocks(15, element, scaling),
    };
    for number in 0..groups.count() {
        let scale = rng.pick(&[1.0, 1.25, 1.5]) * 2f32.powi(rng.below(9) as i32 - 3) * unit;
        let magnitude = narrow(6.0 * scale, element);
        let choices = [0, negative, magnitude, magnitude | negative];
        groups.fill(number, |_| rng.pick(&choices));
        let [row, col] = groups.place(number);
        if odd {
            // Between 0.5 and 0.75, 0.75 and 1, 2 and 2.25, 2.25 and 3, 4 and 4.5 times the scale.
            let between = rng.pick(&[0.625, 0.875, 2.125, 2.625, 4.25]);
            // Alone, or in the same half of the next word.
            let twin = [2, 0, 0, 1][(number + seed as usize) % 4];
            let twin = col / 16 * 16 + (col + twin) % 16;
            groups.set(row, col, narrow(between * scale, element));
            groups.set(row, twin, narrow(between * scale, element));
        }
        groups.set(row, col ^ 8, magnitude);
    }
    groups.into_rows_from(narrow(amax, element))
}

/// Rows with an amax of their own and a block of zeros and largest magnitudes, in which one element alone
/// has another value with either candidate: the errors are nearly those of a tie, and map4's is lower.
#[must_use]
pub fn lone_elements(element: InputType, rule: Rule, seed: u64) -> Input {
    let mut rng = Rng::new(seed ^ 0x6C6F_6E65);
    let (rule, negative) = (oracle::rule(rule), negative(element));
    let mut bits = vec![0; ROWS * 32];
    for row in 0..ROWS {
        for _ in 0..10_000 {
            let amax = value(element, narrow(256.0 * (1.0 + rng.unit() as f32), element));
            let global = GlobalScale::new(amax, rule.e4m3_max());
            let unit = rng.pick(&[1.0, 1.25, 1.5]) * 2f32.powi(rng.below(4) as i32) * global.decode;
            let magnitude = narrow(6.0 * unit, element);
            let choices = [0, negative, magnitude, magnitude | negative];
            let mut block: [u32; 16] = std::array::from_fn(|_| rng.pick(&choices));
            block[(row + 8) % 16] = magnitude;
            // Halfway between 0.5 and 0.75, 0.75 and 1, 2 and 2.25, 2.25 and 3.
            block[row] = narrow(rng.pick(&[0.625, 0.875, 2.125, 2.625]) * unit, element);
            let decision = decide_row(&block.map(|bits| value(element, bits)), rule, &global);
            let nearly = decision.candidates.is_some_and(|pair| {
                let [map4, map6] = [pair.map4.error, pair.map6.error];
                map4 < map6 && map6 - map4 < 3e-4 * map6
            });
            bits[row * 32] = narrow(amax, element);
            bits[row * 32 + 16..][..16].copy_from_slice(&block);
            if nearly {
                break;
            }
        }
    }
    Input { element, shape: [ROWS, 32], bits }
}

/// Blocks whose every element is as far from both candidates' values, and halfway between two values of one
/// of them, but for the `units` in the last place that come with the amax given beside them: which of the
/// two it is rounded to, and what the errors' roundings do, decides.
#[must_use]
pub fn midpoint_ties(
    element: InputType,
    rule: Rule,
    scaling: Scaling,
    units: u32,
    seed: u64,
) -> (Input, f32) {
    let mut rng = Rng::new(seed ^ 0x6D74_6965);
    let amax = amax_beside(oracle::rule(rule), units);
    let negative = negative(element);
    let mut groups = Groups::of_blocks(8, element, scaling);
    for number in 0..groups.count() {
        // Those that have a scale 1.5 times as large.
        let scale = rng.pick(&[1.0, 1.25, 1.5]) * 2f32.powi(rng.below(5) as i32 - 2);
        // Midpoints of map6, and 1.5 times those of map4. A few kinds of them, so that sums differ.
        let kinds = [(); 3].map(|()| rng.pick(&[0.25, 1.25, 1.75, 3.5, 2.625, 5.25]));
        groups
            .fill(number, |_| narrow(rng.pick(&kinds) * scale, element) | rng.pick(&[0, negative]));
        let [row, col] = groups.place(number);
        groups.set(row, col, narrow(6.0 * scale, element));
    }
    (groups.with_amax(amax), amax)
}

/// Blocks whose two errors are sums of many equal terms, so that what adding them up rounds off decides.
///
/// Twelve elements of sixteen lie halfway between what the candidates make of them: seven above what
/// map6 does, five below. With a global scale that is off by a little both errors change alike. Where
/// scales are `subnormal` every block saturates, for both candidates at the same number.
#[must_use]
pub fn sums(element: InputType, rule: Rule, scaling: Scaling, subnormal: bool, seed: u64) -> Input {
    let mut rng = Rng::new(seed ^ 0x7375_6D73);
    let (unit, amax) = few_bits(&mut rng, element, rule);
    let negative = negative(element);
    let mut groups = Groups::of_blocks(8, element, scaling);
    for number in 0..groups.count() {
        // Two of E4M3's smallest steps, and three for map4.
        let (scale, largest) = if subnormal {
            (unit / 256.0, 6.6)
        } else {
            (rng.pick(&[1.0, 1.25, 1.5]) * 2f32.powi(rng.below(9) as i32 - 3) * unit, 6.0)
        };
        let mut deck: Vec<f32> = Vec::new();
        groups.fill(number, |i| {
            if i % 16 == 0 {
                deck = [[0.625; 7].as_slice(), &[0.875; 5], &[6.0; 2], &[0.0; 2]].concat();
            }
            let value = deck.swap_remove(rng.below(deck.len()));
            narrow(value * scale, element) | rng.pick(&[0, negative])
        });
        let [row, col] = groups.place(number);
        groups.set(row, col, narrow(largest * scale, element));
    }
    groups.into_rows_from(narrow(amax, element))
}

/// Blocks of a few E2M1 values and of numbers halfway between two, times the block scale and all but a
/// power of two: with the amax that is given beside them products are off by the same few units in
/// the last place, most by `units`, or for 0 by less than one. With `nan`, every block has one.
#[must_use]
pub fn beside_midpoints(
    element: InputType,
    rule: Rule,
    scaling: Scaling,
    units: u32,
    nan: bool,
    seed: u64,
) -> (Input, f32) {
    let mut rng = Rng::new(seed ^ 0x6265_7369);
    let amax = amax_beside(oracle::rule(rule), units);
    let negative = negative(element);
    let mut groups = Groups::of_blocks(4, element, scaling);
    for number in 0..groups.count() {
        let scale = rng.pick(&SCALES) * 2f32.powi(rng.below(5) as i32 - 2);
        groups.fill(number, |_| {
            let midpoint = rng.pick(&[0.25, 0.75, 1.25, 1.75, 2.5, 3.5, 5.0]);
            let value = rng.pick(&[1.0, 2.0, 4.0, midpoint, midpoint]);
            narrow(value * scale, element) | rng.pick(&[0, negative])
        });
        let [row, col] = groups.place(number);
        groups.set(row, col, narrow(6.0 * scale, element));
        if nan {
            groups.set(row, col ^ 1, narrow(f32::NAN, element));
        }
    }
    (groups.with_amax(amax), amax)
}

/// An S_dec of few significant bits, and an amax that gives it, of which it is no quotient: all products
/// are exact but those with S_enc. An FP32 amax can also be off by the last bit.
fn few_bits(rng: &mut Rng, element: InputType, rule: Rule) -> (f32, f32) {
    let range = 6.0 * oracle::rule(rule).e4m3_max().value();
    let unit = rng.pick(&[1.25, 1.5, 1.75]);
    let amax = match element {
        InputType::F32 => rng.pick(&[(range * unit).next_down(), range * unit]),
        _ => range * unit,
    };
    (unit, amax)
}

/// E4M3 significands.
const SCALES: [f32; 8] = [1.0, 1.125, 1.25, 1.375, 1.5, 1.625, 1.75, 1.875];

/// The amax near 6·A, but not that, with which the most block scales `s` make `s · encode_scale` be 1 and
/// so many units in the last place.
fn amax_beside(rule: reference::Rule, units: u32) -> f32 {
    let wanted = 1f32.to_bits() + units;
    let range = 6.0 * rule.e4m3_max().value();
    let hits = |amax: &f32| {
        let global = GlobalScale::new(*amax, rule.e4m3_max());
        let hit = |scale: &&f32| {
            let encode = block_encode_scale(E4m3::from_f32(**scale), &global);
            (**scale * encode).to_bits() == wanted
        };
        SCALES.iter().filter(hit).count()
    };
    let candidates = (1..(2 * units).max(16)).map(|off| f32::from_bits(range.to_bits() - off));
    candidates.max_by_key(hits).expect("there are some")
}

/// Zeros of either sign, and one number.
#[must_use]
pub fn zero_blocks(element: InputType, scaling: Scaling, seed: u64) -> Input {
    let mut rng = Rng::new(seed ^ 0x7A65_726F);
    let mut groups = Groups::of_blocks(4, element, scaling);
    for number in 0..groups.count() {
        groups.fill(number, |_| rng.below(2) as u32 * negative(element));
    }
    groups.set(0, 0, narrow(1.0, element));
    groups.into_input()
}

/// Blocks whose scale, for one candidate or the other, would lie halfway between two E4M3 values but for
/// what is rounded off on the way: there the last bit decides. With `nan`, every block has one.
#[must_use]
pub fn scale_ties(element: InputType, rule: Rule, scaling: Scaling, nan: bool, seed: u64) -> Input {
    let mut rng = Rng::new(seed ^ 0x7363_616C);
    // S_enc is 6 over this: no number of few bits. BF16 has no more products of the midpoints.
    let unit = match element {
        InputType::Bf16 => rng.pick(&[5.0, 7.0, 15.0]),
        _ => rng.pick(&[5.0, 7.0, 15.0, 19.0, 25.0]),
    };
    let mut groups =
        Groups::of_blocks(if scaling == Scaling::Tile { 16 } else { 4 }, element, scaling);
    for number in 0..groups.count() {
        let midpoint = (17.0 + 2.0 * rng.below(8) as f32) * 2f32.powi(rng.below(6) as i32 - 5);
        let largest = midpoint * unit / if rng.below(2) == 0 { 1.0 } else { 1.5 };
        groups.fill(number, |_| narrow(largest * (2.0 * rng.unit() as f32 - 1.0), element));
        let [row, col] = groups.place(number);
        groups.set(row, col, narrow(largest, element));
        if nan {
            groups.set(row, col ^ 1, narrow(f32::NAN, element));
        }
    }
    let amax = oracle::rule(rule).e4m3_max().value() * unit;
    groups.into_rows_from(narrow(amax, element))
}

/// The same numbers times 2⁻⁶⁰ or less, exactly, so that no block is regular; what would be no normal
/// number is 0. FP16 has no such numbers.
#[must_use]
pub fn far_below(mut input: Input, binades: u32) -> Option<Input> {
    let unit = match input.element {
        InputType::F16 => return None,
        InputType::Bf16 => 1 << 7,
        InputType::F32 => 1 << 23,
    };
    let sign = negative(input.element);
    for bits in &mut input.bits {
        let exponent = (*bits / unit) & 0xFF;
        *bits = if exponent > binades { *bits - binades * unit } else { *bits & sign };
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
        let unit = rng.unit() as f32;
        let steps = if rng.below(4) == 0 { 5.42 + 0.07 * unit } else { 0.4 + 3.6 * unit };
        let largest = 6.0 * steps / 512.0 / global.encode;
        groups.fill(number, |_| narrow(largest * (2.0 * rng.unit() as f32 - 1.0), element));
        let [row, col] = groups.place(number);
        groups.set(row, col, narrow(largest, element));
    }
    groups.into_rows_from(narrow(AMAX, element))
}

/// A number with few significant bits, so that every element type has it.
const AMAX: f32 = 1344.0;
pub(super) const ROWS: usize = 16;

/// The first representable magnitude of a random block scale, or the last one of the scale below it. Of
/// FP32, whose last bits are many, one of a few with most of those set: a lost one shows.
fn edge(rng: &mut Rng, element: InputType, rule: reference::Rule, global: &GlobalScale) -> u32 {
    if rng.below(8) == 0 {
        return first_of_a_scale(rng, element, rule, global) - 1;
    }
    let mut attempts = (0..8).map(|_| first_of_a_scale(rng, element, rule, global));
    match element {
        InputType::F32 => attempts.max_by_key(|first| (first & 0xFF).count_ones()),
        _ => attempts.next(),
    }
    .expect("there are attempts")
}

fn first_of_a_scale(
    rng: &mut Rng,
    element: InputType,
    rule: reference::Rule,
    global: &GlobalScale,
) -> u32 {
    let map4 = rng.below(2) == 0;
    let scale = |bits: u32| {
        let peak = value(element, bits);
        match rule {
            reference::Rule::Plain => plain_scale(peak, global),
            reference::Rule::FourOverSix { .. } if map4 => ScalePair::new(peak, global).map4,
            reference::Rule::FourOverSix { .. } | reference::Rule::Search { .. } => {
                ScalePair::new(peak, global).map6
            }
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
    first
}

/// The sign bit.
pub(super) fn negative(element: InputType) -> u32 {
    1 << (8 * element.bytes() - 1)
}

fn value(element: InputType, bits: u32) -> f32 {
    Input { element, shape: [1, 1], bits: vec![bits] }.value(0)
}

/// A tensor as blocks of 1x16 or tiles of 16x16.
pub(super) struct Groups {
    element: InputType,
    tile: bool,
    cols: usize,
    bits: Vec<u32>,
}

impl Groups {
    /// Every place of a block several times; every column of the upper and the lower half of a tile.
    fn new(element: InputType, scaling: Scaling) -> Self {
        let blocks = if scaling == Scaling::Tile { 33 } else { 9 };
        Self::of_blocks(blocks, element, scaling)
    }

    /// So many blocks side by side.
    pub(super) fn of_blocks(blocks: usize, element: InputType, scaling: Scaling) -> Self {
        let cols = 16 * blocks;
        Self { element, tile: scaling == Scaling::Tile, cols, bits: vec![0; ROWS * cols] }
    }

    pub(super) fn count(&self) -> usize {
        self.cols / 16 * if self.tile { 1 } else { ROWS }
    }

    /// The place of a group's element, another one for every group.
    pub(super) fn place(&self, number: usize) -> [usize; 2] {
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

    pub(super) fn fill(&mut self, number: usize, mut element: impl FnMut(usize) -> u32) {
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

    pub(super) fn set(&mut self, row: usize, col: usize, bits: u32) {
        self.bits[row * self.cols + col] = bits;
    }

    /// With every row beginning with the same element.
    fn into_rows_from(mut self, first: u32) -> Input {
        (0..ROWS).for_each(|row| self.set(row, 0, first));
        self.into_input()
    }

    /// Where the element type has it the amax is the input's own.
    fn with_amax(self, amax: f32) -> Input {
        match self.element {
            InputType::F32 => self.into_rows_from(amax.to_bits()),
            InputType::Bf16 | InputType::F16 => self.into_input(),
        }
    }

    pub(super) fn into_input(self) -> Input {
        Input { element: self.element, shape: [ROWS, self.cols], bits: self.bits }
    }
}
