//! What a list of times comes to.

/// Times of one thing, in microseconds.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct Times {
    /// Half of the times are at most this.
    pub median: f64,
    /// A twentieth of the times are at most this.
    pub p5: f64,
    /// Nineteen twentieths of the times are at most this.
    pub p95: f64,
    /// How many there are.
    pub samples: usize,
}

impl Times {
    /// All times times a factor.
    pub(super) fn scaled(self, factor: f64) -> Self {
        let Self { median, p5, p95, samples } = self;
        Self { median: median * factor, p5: p5 * factor, p95: p95 * factor, samples }
    }

    /// Sorts `samples`, which must not be empty or hold NaN.
    pub(super) fn of(mut samples: Vec<f64>) -> Self {
        samples.sort_by(f64::total_cmp);
        let at = |share: f64| samples[((samples.len() - 1) as f64 * share).round() as usize];
        Self { median: at(0.5), p5: at(0.05), p95: at(0.95), samples: samples.len() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_the_middle() {
        let times = Times::of((0..=100).rev().map(f64::from).collect());
        assert_eq!((times.median, times.p5, times.p95, times.samples), (50.0, 5.0, 95.0, 101));
        assert_eq!(Times::of(vec![3.0]).median, 3.0);
    }
}
