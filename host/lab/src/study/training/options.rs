//! What the studies of training run on.

use fouroversix::Rule;

/// What is quantized.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// `[rows, cols]` of the random tensors, multiples of 16.
    pub shape: [usize; 2],
    /// Offsets that a mean is over.
    pub draws: u64,
    /// What the tensors and the random bytes depend on.
    pub seed: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self { shape: [256, 1024], draws: 1024, seed: 46 }
    }
}

/// The rules, and what tables call them.
pub(super) const RULES: [(&str, Rule); 3] =
    [("plain", Rule::Plain), ("MAE", Rule::MAE), ("MSE", Rule::MSE)];
