//! The measurements by which Four Over Six was argued, repeated.
//!
//! `docs/studies.md` says what each shows and how the random tensors are made.

pub mod agreement;
pub mod error;
pub mod grouped;
mod sample;
pub mod training;
mod weights;

pub use sample::{Distribution, fill, sample};
pub use weights::{Weights, load};
