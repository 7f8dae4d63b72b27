//! NVFP4 quantization with Four Over Six adaptive block scaling, bit-exact on every backend.
//!
//! NVFP4 stores an element in 4 bits (E2M1), a block of 16 elements with an 8-bit scale (E4M3), and
//! a tensor or row with an FP32 one. Four Over Six tries two scales for a block, which map its
//! maximum to 6 or to 4, and keeps the one with the smaller error. `docs/numerics.md` says what
//! every bit must be.
//!
//! | to | start with |
//! |---|---|
//! | say how to quantize | [`Config`]: [`Rule`], [`Scaling`], [`Outputs`], [`ScaleLayout`] |
//! | quantize a slice, and come back | [`quantize()`], [`dequantize()`]; [`quantize_into`] without allocating |
//! | use a GPU | [`cuda::Device`], for device memory on your own stream |
//! | read and write models | [`checkpoint`] |
//!
//! Features: `cuda` (the GPU side; needs no toolkit to build and no driver to start), `checkpoint`
//! (safetensors files and model directories), `cli` (the program, and the benchmarks and studies
//! that it runs). All are on by default; without them there is the CPU path.

#[cfg(feature = "cli")]
pub mod bench;
#[cfg(feature = "checkpoint")]
pub mod checkpoint;
pub mod cpu;
#[cfg(all(feature = "cli", feature = "cuda"))]
pub mod cross_check;
#[cfg(feature = "cuda")]
pub mod cuda;
mod dequantize;
mod element;
mod error;
mod quantize;
#[cfg(feature = "cli")]
pub mod study;
mod tensor;

pub use dequantize::{Deviation, dequantize, dequantize_into, deviation};
pub use element::Element;
pub use error::Error;
pub use fouroversix_kernels::config::{
    Config, ConfigError, E4m3Max, ErrorPath, InputType, Metric, Outputs, Rule, ScaleLayout, Scaling,
};
pub use quantize::{Amax, amax, quantize, quantize_into, quantize_with_amax, row_amax};
pub use tensor::{Choices, Nvfp4Mut, Nvfp4Tensor, Nvfp4View, Quantized, QuantizedMut};

/// Runs the README's program.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;
