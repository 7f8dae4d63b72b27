//! What every crate of fouroversix speaks of: the options of a quantization ([`config`]), tensors,
//! errors, kernels ([`kernel`], [`instruction_set`]) and how they are launched ([`launch`], [`abi`]).
//!
//! Without the default feature `std` there are [`config`], [`kernel`], [`instruction_set`] and [`abi`]
//! only, for GPUs.
#![cfg_attr(not(feature = "std"), no_std)]

pub mod abi;
#[cfg(feature = "std")]
mod amax;
pub mod config;
#[cfg(feature = "std")]
#[doc(hidden)]
pub mod debug;
#[cfg(feature = "std")]
mod deviation;
#[cfg(feature = "std")]
mod element;
#[cfg(feature = "std")]
mod error;
mod feature;
#[cfg(feature = "std")]
mod input_shape;
pub mod instruction_set;
pub mod kernel;
#[cfg(feature = "std")]
pub mod launch;
mod names;
#[cfg(feature = "serde")]
mod serialize;
#[cfg(feature = "std")]
pub mod shape;
#[cfg(feature = "std")]
mod tensor;
mod training;

#[cfg(feature = "std")]
pub use amax::Amax;
pub use config::{
    Config, ConfigBuilder, ConfigError, E4m3Max, ErrorPath, Feature, InputType, Metric, Outputs,
    Panel, RandomState, Rounding, Rule, ScaleLayout, Scaling, SignMask, Transforms,
};
#[cfg(feature = "std")]
pub use deviation::Deviation;
#[cfg(feature = "std")]
pub use element::{Element, Values, ValuesMut};
#[cfg(feature = "std")]
pub use error::Error;
#[cfg(feature = "std")]
pub use input_shape::{InputShape, check_shape};
pub use instruction_set::InstructionSet;
pub use kernel::Kernel;
#[cfg(feature = "std")]
pub use names::UnknownName;
#[cfg(feature = "std")]
pub use shape::ShapeError;
#[cfg(feature = "std")]
pub use tensor::{Choices, Nvfp4Mut, Nvfp4Tensor, Nvfp4View, Quantized, QuantizedMut};
