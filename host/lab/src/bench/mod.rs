//! Benchmarks.

pub mod cpu;
pub mod kernels;
pub mod ranks;
