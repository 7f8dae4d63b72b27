//! NVFP4 quantization with Four Over Six adaptive block scaling.

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
