//! What a check came to.

use std::fmt;

use super::mode::{Difference, Place};

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
    pub(super) fn new(mode: String) -> Self {
        Self { mode, elements: 0, mismatches: 0, first_mismatch: None }
    }

    pub(super) fn add(
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

    /// Adds what another thread's part came to.
    pub(super) fn merge(&mut self, part: Self) {
        self.elements += part.elements;
        self.mismatches += part.mismatches;
        self.first_mismatch = self.first_mismatch.take().or(part.first_mismatch);
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { mode, elements, mismatches, first_mismatch } = self;
        write!(f, "{mode}: {elements} elements, {mismatches} mismatches")?;
        first_mismatch.iter().try_for_each(|first| write!(f, "; first: {first}"))
    }
}
