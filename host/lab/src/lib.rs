//! What maintainers measure: benchmarks, studies, and comparisons of a GPU with the CPU.

pub mod bench;
mod captured;
pub mod cli;
pub mod cross_check;
pub mod study;
