//! What is measured, and how often.

/// What to measure.
#[derive(Clone, Debug)]
pub struct Options {
    /// `[rows, cols]` of the large tensors; multiples of 16.
    pub shape: [usize; 2],
    /// Launches of each work that are not timed.
    pub warmup: usize,
    /// Launches of each work that are timed.
    pub iterations: usize,
    /// Only rows whose group and name contain every word of it.
    pub filter: String,
    /// Real weights for the rows that ask for them; those rows are left out when there are none.
    pub weights: Vec<f32>,
    /// The commit that was built, for the record.
    pub commit: Option<String>,
}

impl Default for Options {
    /// The benchmark of TransformerEngine PR 3068: `[16384, 6144]`, 20 and 2000.
    fn default() -> Self {
        Self {
            shape: [16_384, 6144],
            warmup: 20,
            iterations: 2000,
            filter: String::new(),
            weights: Vec::new(),
            commit: None,
        }
    }
}
