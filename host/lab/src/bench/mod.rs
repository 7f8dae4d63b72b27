//! Benchmarks.

pub mod cpu;
pub mod kernels;
