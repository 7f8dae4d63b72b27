//! Blocks of which a kernel must not be certain: their errors differ by a little less than the bound that
//! `docs/certified-decision.md` proves for the kernels' cheap errors.
//!
//! Bits don't show whether a kernel's bound is as wide as its proof asks, for what is rounded off rarely
//! adds up as it might. The kernels' votes do: they are asked for these blocks one by one.

use fouroversix_core::config::{
    Config, E4m3Max, ErrorPath, InputType, Metric, Outputs, Rule, ScaleLayout, Scaling,
};
use fouroversix_reference::candidate::encode_row;
use fouroversix_reference::scale::{GlobalScale, ScalePair};
use fouroversix_reference::{self as reference, E4m3};

use super::draw::{self, ELEMENTS, narrow};
use crate::case::{Case, Input, SuppliedAmax};
use crate::oracle;
use crate::rng::Rng;

/// The unit of rounding of FP32.
const U: f64 = 1.0 / 16_777_216.0;

/// Blocks along a side of a case's input, all of them alike.
const COPIES: usize = 4;

/// A case all of whose blocks a kernel must encode by the contract's sequence.
#[derive(Clone, Debug)]
pub struct Uncertain {
    /// What to quantize, with the amax that makes the blocks what they are.
    pub case: Case,
    /// How many blocks or tiles that is.
    pub blocks: u64,
}

/// Cases for both metrics, 1x16 and 16x16 blocks, every element type and every output.
///
/// # Panics
/// If the search ends without a block, which for the seeds used here it does not.
#[must_use]
pub fn cases(seed: u64) -> Vec<Uncertain> {
    let mut cases = Vec::new();
    for (turn, metric) in [Metric::Mae, Metric::Mse].into_iter().enumerate() {
        for scaling in [Scaling::Tensor, Scaling::Tile] {
            for (number, element) in ELEMENTS.into_iter().enumerate() {
                let error_path = [ErrorPath::Strict, ErrorPath::Fast][(turn + number) % 2];
                let rule = Rule::FourOverSix { metric, error_path, e4m3_max: E4m3Max::M256 };
                let search = Search { element, metric, rule: oracle::rule(rule), scaling };
                let mut rng = Rng::new(seed + number as u64);
                let found = (0..1000).find_map(|_| search.block(&mut rng));
                let (block, amax) = found.expect("a block at the bound");
                for outputs in [Outputs::Rowwise, Outputs::Columnwise, Outputs::Both] {
                    let config = Config::new(rule, scaling, outputs, ScaleLayout::Linear);
                    let config = config.expect("tensors and tiles have every output");
                    cases.push(search.case(config, &block, amax));
                }
            }
        }
    }
    cases
}

struct Search {
    element: InputType,
    metric: Metric,
    rule: reference::Rule,
    scaling: Scaling,
}

/// The errors of both candidates in units of s6, map4's times s4/s6, without any rounding to speak of,
/// and by how much they must differ for a kernel to be certain.
struct Errors {
    map6: f64,
    difference: f64,
    bound: f64,
}

impl Search {
    fn rows(&self) -> usize {
        if self.scaling == Scaling::Tile { 16 } else { 1 }
    }

    /// A block and an amax with which its errors differ by nine tenths of the bound. Large errors, for
    /// which the bound depends on them most.
    fn block(&self, rng: &mut Rng) -> Option<(Vec<u32>, f32)> {
        let largest = 1.0 + rng.unit() as f32;
        let element = |i| if i == 0 { largest } else { largest * (2.0 * rng.unit() as f32 - 1.0) };
        let bits: Vec<u32> =
            (0..16 * self.rows()).map(element).map(|x| narrow(x, self.element)).collect();
        let x =
            Input { element: self.element, shape: [self.rows(), 16], bits: bits.clone() }.values();
        // Where the sign of the difference less its part of the bound changes.
        let over = |amax: f32| {
            let errors = self.errors(&x, amax);
            errors.difference - 0.9 * errors.bound
        };
        let amaxes: Vec<f32> = (0..64).map(|i| 8.0 * (1.0 + i as f32 / 64.0)).collect();
        let pair = amaxes.windows(2).find(|pair| over(pair[0]) > 0.0 && over(pair[1]) < 0.0)?;
        let [mut above, mut below] = [pair[0], pair[1]];
        while below.to_bits() - above.to_bits() > 1 {
            let middle = f32::from_bits(above.to_bits().midpoint(below.to_bits()));
            if over(middle) > 0.0 { above = middle } else { below = middle }
        }
        // Where codes or scales change in between, the difference jumps past the bound.
        let errors = self.errors(&x, below);
        let part = errors.difference / errors.bound;
        let large = errors.map6 > 4.5 * self.rows() as f64 || self.metric == Metric::Mse;
        ((0.85..0.95).contains(&part) && large).then_some((bits, below))
    }

    fn errors(&self, x: &[f32], amax: f32) -> Errors {
        let global = GlobalScale::new(amax, self.rule.e4m3_max());
        let largest = x.iter().fold(0.0, |largest: f32, x| largest.max(x.abs()));
        let pair = ScalePair::new(largest, &global);
        let s6 = f64::from(pair.map6.to_f32());
        let error = |scale: E4m3| {
            let s = f64::from(scale.to_f32());
            let rows = x.as_chunks::<16>().0.iter();
            let terms = rows.flat_map(|row| {
                row.iter().zip(encode_row(row, scale, &global)).map(|(x, code)| {
                    let q = f64::from(code.to_f32().abs());
                    let d = (q * s - f64::from(x.abs()) / f64::from(global.decode)).abs() / s6;
                    if self.metric == Metric::Mae { d } else { d * d }
                })
            });
            terms.sum::<f64>()
        };
        let (map6, map4) = (error(pair.map6), error(pair.map4));
        let [of_scale, of_row, of_tile] = match self.metric {
            Metric::Mae => [1456.0, 41.0, 49.0],
            Metric::Mse => [592.0, 165.0, 173.0],
        };
        let of_error = if self.scaling == Scaling::Tile { of_tile } else { of_row };
        let bound = U * (of_scale * self.rows() as f64 + of_error * (map6 + map4));
        Errors { map6, difference: map4 - map6, bound }
    }

    fn case(&self, config: Config, block: &[u32], amax: f32) -> Uncertain {
        // Each row of a 1x16 block is the last one turned by an element, so that its columns are as good.
        let turned = |row: usize| {
            let mut line = block[row % self.rows() * 16..][..16].to_vec();
            line.rotate_left(if self.rows() == 1 { row } else { 0 });
            line.repeat(COPIES)
        };
        let bits = (0..16).flat_map(turned).collect();
        let input = Input { element: self.element, shape: [16, 16 * COPIES], bits };
        let columnwise = if config.outputs().columnwise() { vec![amax] } else { Vec::new() };
        let supplied = SuppliedAmax { rowwise: vec![amax], columnwise };
        let name = "at the bound of certainty";
        let case = draw::case(name, 0, config, input, Some(supplied));
        let sides = match config.outputs() {
            // One choice serves both outputs of a tile.
            Outputs::Both if self.scaling != Scaling::Tile => 2,
            _ => 1,
        };
        Uncertain { case, blocks: (sides * COPIES * 16 / self.rows()) as u64 }
    }
}
