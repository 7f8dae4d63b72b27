//! NVFP4 quantization with Four Over Six adaptive block scaling.

mod element;
mod error;
mod tensor;

pub use element::Element;
pub use error::Error;
pub use fouroversix_kernels::config::{
    Config, ConfigError, E4m3Max, ErrorPath, InputType, Metric, Outputs, Rule, ScaleLayout, Scaling,
};
pub use tensor::{Nvfp4Tensor, Quantized};
