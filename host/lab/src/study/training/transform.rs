//! The error with a Hadamard transform and without, on data with outliers and without.

use fouroversix::{Config, Error, Rule, SignMask, Transforms};
use half::bf16;
use serde::Serialize;

use super::options::{Options, RULES};
use crate::study::sample::{self, Distribution};

/// One line of the table.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TransformRow {
    /// What was quantized.
    pub source: String,
    /// `plain`, `MAE` or `MSE`.
    pub rule: &'static str,
    /// As it is.
    pub without: Loss,
    /// When the input is transformed, quantized, and transformed back in FP64.
    pub with: Loss,
}

/// What quantization loses.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Loss {
    /// Squared error over the power of the input.
    pub all: f64,
    /// The same of the elements that are no outliers.
    pub others: f64,
}

/// The signs: TransformerEngine's.
const SIGNS: SignMask = SignMask::TRANSFORMER_ENGINE;

/// Elements of this column of each 64 are outliers.
const OUTLIER: usize = 5;

pub(super) fn run(
    options: &Options,
    progress: &mut dyn FnMut(&str),
) -> Result<Vec<TransformRow>, Error> {
    let columns = |factor: f32| {
        (format!("normal, every 64th column times {factor}"), Distribution::Normal, factor)
    };
    let sources = [
        (Distribution::Normal.name().to_owned(), Distribution::Normal, 1.0),
        columns(4.0),
        columns(8.0),
        columns(32.0),
        (Distribution::StudentT.name().to_owned(), Distribution::StudentT, 1.0),
    ];
    let mut rows = Vec::new();
    for (source, distribution, factor) in sources {
        progress(&source);
        let mut input = vec![bf16::ZERO; options.shape[0] * options.shape[1]];
        sample::fill(distribution, options.seed, 0, &mut input);
        for x in input.iter_mut().skip(OUTLIER).step_by(64) {
            *x = bf16::from_f32(x.to_f32() * factor);
        }
        for (rule, of) in RULES {
            let without = loss(options, &input, of, None)?;
            let with = loss(options, &input, of, Some(SIGNS))?;
            rows.push(TransformRow { source: source.clone(), rule, without, with });
        }
    }
    Ok(rows)
}

/// What a tensor loses that is quantized and comes back.
fn loss(
    options: &Options,
    input: &[bf16],
    rule: Rule,
    signs: Option<SignMask>,
) -> Result<Loss, Error> {
    let transforms = Transforms { rowwise: signs, columnwise: None };
    let config = Config::builder().rule(rule).transforms(transforms).build()?;
    let tensor = fouroversix::quantize(input, options.shape, &config)?;
    let values: Vec<f32> = fouroversix::dequantize(&tensor)?;
    let blocks = input.chunks_exact(16).zip(values.chunks_exact(16)).enumerate();
    // Squared errors and powers, of outliers and of the others.
    let mut sums = [[0.0; 2]; 2];
    for (block, (input, values)) in blocks {
        let mut back: [f64; 16] = std::array::from_fn(|i| values[i].into());
        if let Some(signs) = signs {
            transform_back(&mut back, signs);
        }
        for (i, (x, value)) in input.iter().zip(back).enumerate() {
            let x = x.to_f64();
            let [squares, power] = &mut sums[usize::from((16 * block + i) % 64 != OUTLIER)];
            *squares += (value - x) * (value - x);
            *power += x * x;
        }
    }
    let [outliers, others] = sums;
    let all = (outliers[0] + others[0]) / (outliers[1] + others[1]);
    Ok(Loss { all, others: others[0] / others[1] })
}

/// The matrix is symmetric and its own inverse; then the signs.
fn transform_back(block: &mut [f64; 16], signs: SignMask) {
    for distance in [1, 2, 4, 8] {
        for i in (0..16).filter(|i| i & distance == 0) {
            let (low, high) = (block[i], block[i + distance]);
            (block[i], block[i + distance]) = (low + high, low - high);
        }
    }
    for (i, x) in block.iter_mut().enumerate() {
        *x *= if signs.0 >> i & 1 == 1 { -0.25 } else { 0.25 };
    }
}
