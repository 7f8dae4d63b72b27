//! Benchmarks.

#[cfg(all(feature = "cli", feature = "cuda"))]
pub mod kernels;
