//! What training asks of quantization: a mean without bias, and what a transform does to errors.

mod options;
mod rounding;
mod transform;

use std::fmt::Write;

use fouroversix::Error;
use serde::Serialize;

pub use options::Options;
pub use rounding::RoundingRow;
pub use transform::{Loss, TransformRow};

/// Both tables.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Record {
    /// Offsets that a mean is over.
    pub draws: u64,
    /// Bias and variance of each rounding.
    pub rounding: Vec<RoundingRow>,
    /// The error with a transform and without.
    pub transform: Vec<TransformRow>,
}

/// Both studies, on the CPU. `progress` is called with a line for each source.
///
/// # Errors
/// [`ShapeError::Dimension`](fouroversix::ShapeError::Dimension) when the columns are no multiple of 16.
pub fn run(options: &Options, progress: &mut dyn FnMut(&str)) -> Result<Record, Error> {
    Ok(Record {
        draws: options.draws,
        rounding: rounding::run(options, progress)?,
        transform: transform::run(options, progress)?,
    })
}

impl Record {
    /// The tables as Markdown.
    #[must_use]
    pub fn to_markdown(&self) -> String {
        let draws = self.draws;
        let mut out = format!(
            "## Bias and variance\n\n| source | rule | rounding | one draw | mean of {draws} | variance / \
             {draws} | saturation | shrinkage |\n|---|---|---|--:|--:|--:|--:|--:|\n"
        );
        for row in &self.rounding {
            let RoundingRow { source, rule, rounding, one, mean, variance, .. } = row;
            let RoundingRow { saturation, shrinkage, .. } = row;
            writeln!(
                out,
                "| {source} | {rule} | {rounding} | {one:.6} | {mean:.6} | {variance:.6} | \
                 {saturation:.6} | {:.3}% |",
                100.0 * shrinkage
            )
            .expect("writing to a string");
        }
        out += "\n## Transform\n\n| source | rule | as it is | transformed | ratio | others, as it is | \
                others, transformed |\n|---|---|--:|--:|--:|--:|--:|\n";
        for TransformRow { source, rule, without, with } in &self.transform {
            let ratio = with.all / without.all;
            let [[all, others], [of_all, of_others]] =
                [without, with].map(|loss| [loss.all, loss.others]);
            writeln!(
                out,
                "| {source} | {rule} | {all:.6} | {of_all:.6} | {ratio:.3} | {others:.6} | {of_others:.6} |"
            )
            .expect("writing to a string");
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_where_they_belong() {
        let options = Options { shape: [32, 256], draws: 64, seed: 3 };
        let record = run(&options, &mut |_| ()).unwrap();
        assert_eq!(record.rounding.len(), 2 * 3 * 2);
        for [nearest, stochastic] in record.rounding.as_chunks::<2>().0 {
            assert_eq!((nearest.rounding, stochastic.rounding), ("nearest", "stochastic"));
            assert_eq!((nearest.variance, nearest.one), (0.0, nearest.mean));
            assert!(stochastic.one > nearest.one, "a draw alone is worse");
            assert!(stochastic.mean < 0.1 * nearest.mean, "the mean is not");
            // Besides saturation, all that is left is what more draws would take away.
            let RoundingRow { mean, variance, saturation, .. } = stochastic;
            let left = (mean - variance - saturation).abs();
            assert!(left < 0.1 * variance, "{stochastic:?}");
            assert!(stochastic.shrinkage.abs() < 0.005, "{stochastic:?}");
        }
        for row in &record.transform {
            let ratio = row.with.all / row.without.all;
            let allowed = match (row.source.as_str(), row.rule) {
                ("normal", _) => 0.98..1.02,
                // What a transform costs where an outlier's block becomes 16 values of one size.
                ("normal, every 64th column times 32", "plain") => 1.5..2.5,
                ("normal, every 64th column times 32", _) => 1.0..1.4,
                _ => 0.9..1.2,
            };
            assert!(allowed.contains(&ratio), "{row:?}");
        }
        assert!(record.to_markdown().lines().count() > 24);
    }
}
