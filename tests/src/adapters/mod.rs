//! The library's backends as the suite takes them.

mod cpu;
#[cfg(feature = "cuda")]
mod cuda;

pub use cpu::CpuBackend;
#[cfg(feature = "cuda")]
pub use cuda::CudaBackend;
