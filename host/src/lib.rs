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
//! | quantize a slice, and come back | [`quantize()`], [`quantize_both`], [`dequantize()`]; [`quantize_into`] without allocating |
//! | use a GPU | [`cuda::Device`], for device memory on your own stream |
//! | read and write models | [`checkpoint`] |
//!
//! Work is spread over rayon's threads: the global pool, or the caller's own where the call is made
//! in it, as in `pool.install(|| quantize(&weights, shape, &config))`. The bits do not depend on it.
//!
//! Features, none of them on by default: `cuda` (the GPU side; needs no toolkit to build and no
//! driver to start) and `checkpoint` (safetensors files and model directories). The program is the
//! crate `fouroversix-cli`.

mod dequantize;
mod quantize;

pub use dequantize::{dequantize, dequantize_into, deviation};
#[cfg(feature = "checkpoint")]
pub use fouroversix_checkpoint as checkpoint;
pub use fouroversix_core::{
    Amax, Choices, Config, ConfigBuilder, ConfigError, Deviation, E4m3Max, Element, Error,
    ErrorPath, Feature, InputShape, InputType, Metric, Nvfp4Mut, Nvfp4Tensor, Nvfp4View, Outputs,
    Panel, Quantized, QuantizedMut, RandomState, Rounding, Rule, ScaleLayout, Scaling, ShapeError,
    SignMask, Transforms, UnknownName,
};
pub use fouroversix_cpu as cpu;
#[cfg(feature = "cuda")]
pub use fouroversix_cuda as cuda;
pub use quantize::{
    amax, quantize, quantize_both, quantize_into, quantize_outputs, quantize_with_amax, row_amax,
};

/// Runs the program of the crate's README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
