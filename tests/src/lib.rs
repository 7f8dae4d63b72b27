//! Bitwise conformance: golden cases, the backends they are stamped on, and the shipped PTX in an
//! executor.

pub mod adapters;
pub mod backend;
pub mod carried;
pub mod case;
pub mod coverage;
pub mod dequantize_case;
pub mod extent;
pub mod generate;
pub mod golden;
pub mod not_checked;
pub mod oracle;
pub mod ptx;
pub mod report;
pub mod rng;
pub mod suite;

/// Runs the README's program. It is not of a published crate: those have READMEs of their own.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;
