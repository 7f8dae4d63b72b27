//! The block kernel, one element at a time: the contract's steps in the contract's order.
//!
//! Not the oracle (the reference crate is, and shares no code with this); it is what runs where no
//! vector form applies, and what the vector forms' speed is measured against.

use fouroversix_core::{ErrorPath, Metric, Rule};

use super::formats::{E2M1_SIGNED, e2m1};
use super::scale::{BlockScale, GlobalScale, ScalePair};

/// Sixteen elements that lie along the quantized dimension, as FP32.
pub(super) type Block = [f32; 16];

/// A block's codes, two a byte.
pub(super) type Codes = [u8; 8];

/// A quantized block, or one row of a quantized tile.
#[derive(Clone, Copy, Debug)]
pub(super) struct Candidate {
    pub(super) scale: u8,
    pub(super) codes: [u8; 16],
}

impl Candidate {
    fn new(block: &Block, scale: BlockScale) -> Self {
        Self { scale: scale.code, codes: block.map(|x| e2m1(x * scale.encode)) }
    }

    pub(super) fn packed(&self) -> Codes {
        std::array::from_fn(|j| self.codes[2 * j] | self.codes[2 * j + 1] << 4)
    }
}

/// Largest magnitude; `f32::max` drops NaN.
pub(super) fn block_amax(block: &Block) -> f32 {
    block.iter().fold(0.0, |max, x| f32::max(max, x.abs()))
}

/// Quantizes one 1x16 block; true when map4 was chosen.
pub(super) fn quantize_block(block: &Block, global: &GlobalScale, rule: Rule) -> (Candidate, bool) {
    let amax = block_amax(block);
    match rule {
        Rule::Plain => (Candidate::new(block, global.plain(amax)), false),
        Rule::FourOverSix { metric, error_path, .. } => {
            let scales = global.candidates(amax);
            let (map4, err4) = try_scale(block, scales.map4, global, metric, error_path);
            let (map6, err6) = try_scale(block, scales.map6, global, metric, error_path);
            if err4 < err6 { (map4, true) } else { (map6, false) }
        }
        other => unreachable!("no steps for the rule {other}"),
    }
}

/// Quantizes a 16x16 tile given as its rows; true when map4 was chosen.
pub(super) fn quantize_tile(
    rows: &[Block; 16],
    global: &GlobalScale,
    rule: Rule,
) -> ([Candidate; 16], bool) {
    let amax = rows.iter().map(block_amax).fold(0.0, f32::max);
    match rule {
        Rule::Plain => {
            let scale = global.plain(amax);
            (std::array::from_fn(|i| Candidate::new(&rows[i], scale)), false)
        }
        Rule::FourOverSix { metric, error_path, .. } => {
            let ScalePair { map4, map6 } = global.candidates(amax);
            let four = rows.each_ref().map(|row| try_scale(row, map4, global, metric, error_path));
            let six = rows.each_ref().map(|row| try_scale(row, map6, global, metric, error_path));
            let err4 = tile_error(four.map(|(_, error)| error));
            let err6 = tile_error(six.map(|(_, error)| error));
            if err4 < err6 {
                (four.map(|(candidate, _)| candidate), true)
            } else {
                (six.map(|(candidate, _)| candidate), false)
            }
        }
        other => unreachable!("no steps for the rule {other}"),
    }
}

/// Quantizes a block with one scale and adds up its error in element order.
fn try_scale(
    block: &Block,
    scale: BlockScale,
    global: &GlobalScale,
    metric: Metric,
    error_path: ErrorPath,
) -> (Candidate, f32) {
    let candidate = Candidate::new(block, scale);
    let mut error = 0.0_f32;
    for (x, code) in block.iter().zip(candidate.codes) {
        // Exact: at most 2 + 4 significant bits.
        let product = E2M1_SIGNED[usize::from(code)] * scale.value;
        let d = match error_path {
            ErrorPath::Strict => product * global.amax / global.full_range - x,
            ErrorPath::Fast => product - x * global.encode,
        };
        error += match metric {
            Metric::Mae => d.abs(),
            Metric::Mse => d * d,
        };
    }
    (candidate, error)
}

/// The 16 rows' errors by the contract's tree: +8, +4, +2, +1.
fn tile_error(mut rows: [f32; 16]) -> f32 {
    for half in [8, 4, 2, 1] {
        for i in 0..half {
            rows[i] += rows[i + half];
        }
    }
    rows[0]
}
