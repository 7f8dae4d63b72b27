//! The oracle: scalar, bit-exact emulation of NVFP4 and Four Over Six quantization.
//!
//! Read it as the specification in code. It follows TransformerEngine (`core_nvfp4.cuh`,
//! `quantize_4over6_nvfp4.cuh`, `reference_nvfp4.py`) where that defines bits; steps have the numbers of
//! `docs/numerics.md`: 1 to 12, T1 to T6 for training, S1 to S5 for scale search. It owns every number
//! format it uses, it depends on nothing, and none of the code that it judges depends on it.
//!
//! One `let` is one FP32 operation, rounded to nearest, ties to even, subnormals kept, never fused
//! with another: Rust guarantees that for `+ − × ÷` on `f32`.
//!
//! | step | what | where |
//! |---|---|---|
//! | | widening of inputs, exact | [`Bf16::to_f32`], [`Fp16::to_f32`] |
//! | 1 to 5 | maxima, global scale, block scales, the factor before rounding | [`scale`] |
//! | 5 to 8 | codes and errors of a candidate | [`candidate`] |
//! | 9 | the choice between map4 and map6 | [`block`] |
//! | S1 to S4 | the best of 13 scales | [`search`] |
//! | T1, T2 | transform before everything else | [`transform`] |
//! | T3 to T5 | random bytes, stochastic codes | [`philox`], [`stochastic`] |
//! | | all of it asked for at once | [`Config`], [`quantize_with`], [`quantize_columnwise_with`] |
//! | 10, 11 | tensors: rowwise, columnwise, packing | [`quantize()`], [`quantize_columnwise`] |
//! | 11 | scales as tensor cores read them | [`layout`] |
//! | 12 | back to numbers | [`dequantize()`], [`Quantized::dequantize`] |
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
pub use block::{CandidatePair, Decision};
pub use candidate::Candidate;
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
