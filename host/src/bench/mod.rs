//! Benchmarks.

#[cfg(feature = "cli")]
pub mod cpu;
#[cfg(all(feature = "cli", feature = "cuda"))]
pub mod kernels;
