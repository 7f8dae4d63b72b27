//! What a report says of a tensor.

use fouroversix::checkpoint::{Figures, TensorRecord};

/// A tensor with both sets of figures.
pub(super) struct Row<'a> {
    pub(super) record: &'a TensorRecord,
    pub(super) chosen: Figures,
    pub(super) plain: Figures,
}

impl Row<'_> {
    /// Relative change of the error against plain NVFP4: −0.16 is 16% less.
    pub(super) fn change(&self) -> f64 {
        self.chosen.relative_mse() / self.plain.relative_mse() - 1.0
    }
}
