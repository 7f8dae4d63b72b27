//! Bias and variance: the mean over many draws against the input.

use fouroversix::{
    Config, Error, Nvfp4Mut, Nvfp4View, QuantizedMut, RandomState, Rounding, Rule, ScaleLayout,
};
use half::bf16;
use rayon::prelude::*;
use serde::Serialize;

use super::options::{Options, RULES};
use crate::study::sample::{self, Distribution};

/// One line of the table; all but the last relative to the power of the input.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RoundingRow {
    /// A distribution.
    pub source: &'static str,
    /// `plain`, `MAE` or `MSE`.
    pub rule: &'static str,
    /// `nearest` or `stochastic`.
    pub rounding: &'static str,
    /// Squared error of a draw, the mean of all.
    pub one: f64,
    /// Squared error of the mean of all draws.
    pub mean: f64,
    /// The variance of a draw over their number: what the column before holds without bias.
    pub variance: f64,
    /// The share of elements that no draw moves and that are not what they were: those beyond 6 times
    /// their block's scale, which saturate.
    pub saturation: f64,
    /// How much smaller magnitudes are in the mean, over the sum of magnitudes.
    pub shrinkage: f64,
}

/// Elements that a task adds up.
const CHUNK: usize = 1 << 12;

pub(super) fn run(
    options: &Options,
    progress: &mut dyn FnMut(&str),
) -> Result<Vec<RoundingRow>, Error> {
    let mut rows = Vec::new();
    for distribution in [Distribution::Normal, Distribution::StudentT] {
        progress(distribution.name());
        let mut input = vec![bf16::ZERO; options.shape[0] * options.shape[1]];
        sample::fill(distribution, options.seed, 0, &mut input);
        for (rule_name, rule) in RULES {
            for rounding in ["nearest", "stochastic"] {
                let moments = moments(options, &input, rule, rounding == "stochastic")?;
                let source = distribution.name();
                rows.push(moments.row(&input, source, rule_name, rounding));
            }
        }
    }
    Ok(rows)
}

/// Sums of what every element became, and of its square.
struct Moments {
    draws: u64,
    sums: Vec<[f64; 2]>,
}

fn moments(
    options: &Options,
    input: &[bf16],
    rule: Rule,
    stochastic: bool,
) -> Result<Moments, Error> {
    let Options { shape, seed, .. } = *options;
    // Nearest rounding draws nothing.
    let draws = if stochastic { options.draws } else { 1 };
    let (mut codes, mut scales) = (vec![0; input.len() / 2], vec![0; input.len() / 16]);
    let (mut amax, mut values) = ([0.0], vec![0.0_f32; input.len()]);
    let mut sums = vec![[0.0; 2]; input.len()];
    for offset in 0..draws {
        let rounding = Rounding::Stochastic(RandomState { seed, offset });
        let rounding = if stochastic { rounding } else { Rounding::Nearest };
        let config = Config::builder().rule(rule).rounding(rounding).build()?;
        let (codes, scales) = (&mut codes[..], &mut scales[..]);
        let out = Nvfp4Mut { codes, scales, global_amax: &mut amax };
        let out = QuantizedMut { rowwise: Some(out), columnwise: None };
        fouroversix::quantize_into(input, shape, &config, None, out)?;
        let view = Nvfp4View {
            codes,
            scales,
            global_amax: &amax,
            shape,
            scale_layout: ScaleLayout::Linear,
            e4m3_max: rule.e4m3_max(),
        };
        fouroversix::dequantize_into(view, &mut values)?;
        let chunks = sums.par_chunks_mut(CHUNK).zip(values.par_chunks(CHUNK));
        chunks.for_each(|(sums, values)| {
            for ([sum, squares], value) in sums.iter_mut().zip(values) {
                let value = f64::from(*value);
                *sum += value;
                *squares += value * value;
            }
        });
    }
    Ok(Moments { draws, sums })
}

impl Moments {
    fn row(
        &self,
        input: &[bf16],
        source: &'static str,
        rule: &'static str,
        rounding: &'static str,
    ) -> RoundingRow {
        let draws = self.draws as f64;
        let [mut one, mut of_mean, mut variance, mut saturation, mut shrunk] = [0.0; 5];
        let (mut power, mut magnitudes) = (0.0, 0.0);
        for ([sum, squares], x) in self.sums.iter().zip(input) {
            let (x, mean) = (x.to_f64(), sum / draws);
            // The mean of (value − x)².
            one += squares / draws - 2.0 * mean * x + x * x;
            of_mean += (mean - x) * (mean - x);
            let of_draw = squares / draws - mean * mean;
            variance += of_draw;
            // Sums of squares are rounded, by far less than one draw that differs would show.
            if of_draw <= 1e-9 * mean * mean {
                saturation += (mean - x) * (mean - x);
            }
            shrunk += (x - mean) * x.signum();
            power += x * x;
            magnitudes += x.abs();
        }
        let one = if self.draws == 1 { of_mean } else { one };
        let variance = if self.draws == 1 { 0.0 } else { variance / (draws - 1.0) };
        let saturation = if self.draws == 1 { 0.0 } else { saturation / power };
        RoundingRow {
            source,
            rule,
            rounding,
            one: one / power,
            mean: of_mean / power,
            variance: variance / power,
            saturation,
            shrinkage: shrunk / magnitudes,
        }
    }
}
