//! GPU kernels for NVFP4 quantization with Four Over Six adaptive block scaling.
//!
//! The crate has two faces. Compiled for `nvptx64-nvidia-cuda` it *is* the kernels. Compiled for a
//! host it is what a host needs to launch them: the vocabulary of the library ([`config`]), the
//! launch contract and the committed PTX.
#![no_std]

pub mod abi;
pub mod config;
