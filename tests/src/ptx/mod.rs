//! The shipped PTX, run by the executor and put to the test.
//!
//! The executor itself is the crate [`fouroversix_ptx_executor`].

mod backend;
pub mod fallback;
mod host;
pub mod large;
pub mod mutants;
pub mod reach;

pub use backend::PtxBackend;
