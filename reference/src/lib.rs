//! The oracle: scalar, bit-exact emulation of NVFP4 and Four Over Six quantization.
//!
//! Read it as the specification in code. It follows TransformerEngine (`core_nvfp4.cuh`,
//! `quantize_4over6_nvfp4.cuh`, `reference_nvfp4.py`) where that defines bits; steps T1 to T6 (training)
//! and S1 to S5 (scale search) are those of `docs/numerics.md`. It owns every number format it uses, it
//! depends on nothing, and none of the code that it judges depends on it.
//!
//! One `let` is one FP32 operation, rounded to nearest, ties to even, subnormals kept, never fused
//! with another: Rust guarantees that for `+ − × ÷` on `f32`.
//!
//! | step | where |
//! |---|---|
//! | widening of inputs, exact | [`Bf16::to_f32`], [`Fp16::to_f32`] |
//! | global scale, block scales, the factor before rounding | [`scale`] |
//! | codes and errors of a candidate | [`candidate`] |
//! | the choice between map4 and map6 | [`block`] |
//! | search: the best of 13 scales (S1 to S4) | [`search`] |
//! | transform before everything else (T1, T2) | [`transform`] |
//! | random bytes, stochastic codes (T3 to T5) | [`philox`], [`stochastic`] |
//! | all of it asked for at once | [`Config`], [`quantize_with`], [`quantize_columnwise_with`] |
//! | tensors: rowwise, columnwise, packing | [`quantize()`], [`quantize_columnwise`] |
//! | back to numbers | [`dequantize()`], [`Quantized::dequantize`] |
//! | scales as tensor cores read them | [`layout`] |
//!
//! ```
//! use fouroversix_reference::{E4m3Max, ErrorPath, Metric, Rule, Scaling, quantize};
//!
//! let rule = Rule::FourOverSix {
//!     metric: Metric::Mse,
//!     error_path: ErrorPath::Strict,
//!     e4m3_max: E4m3Max::M256,
//! };
//! let x: Vec<f32> = (0..32).map(|i| i as f32 - 15.5).collect();
//! let quantized = quantize(&x, 2, 16, rule, Scaling::Tensor, None)?;
//! assert_eq!(quantized.global_amax, [15.5]);
//! assert_eq!(quantized.codes.len(), 16);
//! assert_eq!(quantized.scales.len(), 2);
//! # Ok::<(), fouroversix_reference::Error>(())
//! ```
#![forbid(unsafe_code)]

mod bf16;
pub mod block;
pub mod candidate;
mod config;
mod dequantize;
mod e2m1;
mod e4m3;
mod error;
mod fp16;
pub mod layout;
mod minifloat;
pub mod philox;
mod quantize;
mod rule;
pub mod scale;
pub mod search;
pub mod stochastic;
pub mod transform;

pub use bf16::Bf16;
pub use block::{Candidate, CandidatePair, Decision};
pub use config::{Config, Rounding, Transforms};
pub use dequantize::dequantize;
pub use e2m1::E2m1;
pub use e4m3::E4m3;
pub use error::Error;
pub use fp16::Fp16;
pub use quantize::{
    Quantized, explain, quantize, quantize_columnwise, quantize_columnwise_with, quantize_with,
    transpose,
};
pub use rule::{E4m3Max, ErrorPath, Metric, Rule, Scaling};
pub use stochastic::{Direction, RandomState};
pub use transform::{Element, SignMask};
