//! The table of a study of errors.

use fouroversix::Scaling;
use serde::Serialize;

/// Scalings by their names in the table.
pub(super) const SCALINGS: [(&str, Scaling); 3] =
    [("tensor", Scaling::Tensor), ("row", Scaling::Row), ("tile", Scaling::Tile)];

/// One line of the table.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Row {
    /// A distribution or the name given to the weights.
    pub source: String,
    /// `tensor`, `row` or `tile`.
    pub scaling: &'static str,
    /// `plain`, `map4 only, A = 448`, …
    pub rule: &'static str,
    /// Squared error over the power of the input.
    pub relative_mse: f64,
    /// The same in decibels, as signal over noise.
    pub sqnr_db: f64,
    /// Share of blocks that took map4, where there was a choice.
    pub map4_share: Option<f64>,
}

/// The table.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Table {
    /// By source, then scaling, then rule.
    pub rows: Vec<Row>,
}
