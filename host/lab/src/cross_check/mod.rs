//! A device against the CPU path on the same machine: every bit, on as many elements as asked.
//!
//! [`random`] draws fast random tensors, [`adversarial`] the conformance suite's inputs at the
//! edges of every decision, [`large`] makes one tensor of more than 2³² elements, [`handle`] uses
//! the device in every way there is.

mod adversarial;
mod fill;
mod handle;
mod large;
mod mode;
mod random;

use std::fmt;

pub use adversarial::adversarial;
pub(crate) use fill::{Distribution, fill};
pub use handle::handle;
pub use large::large;
pub use random::{Options, random};

use mode::{Difference, Place};

/// What comparing one mode came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Element type, rule, scaling and outputs, for example `bf16 mse-strict-256 tile both`.
    pub mode: String,
    /// Elements compared.
    pub elements: u64,
    /// Bytes of codes and scales, and amaxes, that differ.
    pub mismatches: u64,
    /// The first of them, in words.
    pub first_mismatch: Option<String>,
}

impl Report {
    fn new(mode: String) -> Self {
        Self { mode, elements: 0, mismatches: 0, first_mismatch: None }
    }

    fn add(
        &mut self,
        elements: usize,
        difference: Difference,
        input: impl FnOnce(&Place) -> String,
    ) {
        self.elements += elements as u64;
        self.mismatches += difference.count;
        if let (None, Some(place)) = (&self.first_mismatch, &difference.first) {
            let Place { output, part, offset, expected, actual } = place;
            self.first_mismatch = Some(format!(
                "{output} {part} at {offset}: expected {expected:#x}, got {actual:#x}; {}",
                input(place)
            ));
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { mode, elements, mismatches, first_mismatch } = self;
        write!(f, "{mode}: {elements} elements, {mismatches} mismatches")?;
        first_mismatch.iter().try_for_each(|first| write!(f, "; first: {first}"))
    }
}
