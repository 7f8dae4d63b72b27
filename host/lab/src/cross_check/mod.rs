//! A device against the CPU path on the same machine: every bit, on as many elements as asked.
//!
//! [`random`] draws fast random tensors, [`adversarial`] the conformance suite's inputs at the
//! edges of every decision, [`large`] makes one tensor of more than 2³² elements, [`handle`] uses
//! the device in every way there is, [`soak`] in all of them at once, and [`faults`] lets it fail.

mod adversarial;
mod faults;
mod fill;
mod handle;
mod large;
mod launched;
mod mode;
mod random;
mod report;
mod soak;

pub use adversarial::adversarial;
pub use faults::faults;
pub(crate) use fill::{Distribution, fill};
pub use handle::handle;
pub use large::large;
pub use random::{Options, random};
pub use report::Report;
pub use soak::{SoakOptions, soak};
