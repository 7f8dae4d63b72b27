//! GPU kernels for NVFP4 quantization with Four Over Six adaptive block scaling.
//!
//! The crate has two faces. Compiled for `nvptx64-nvidia-cuda` it *is* the kernels. Compiled for a
//! host it is what a host needs to launch them: the vocabulary of the library ([`config`]), the
//! launch contract and the committed PTX.
#![cfg_attr(target_arch = "nvptx64", no_std)]
#![cfg_attr(target_arch = "nvptx64", feature(abi_ptx, asm_experimental_arch))]
#![cfg_attr(all(target_arch = "nvptx64", not(nvvm)), feature(stdarch_nvptx))]
#![cfg_attr(target_arch = "nvptx64", allow(missing_docs))]

pub mod abi;
pub mod config;
#[cfg(target_arch = "nvptx64")]
mod device;
#[cfg(not(target_arch = "nvptx64"))]
pub mod launch;
#[cfg(not(target_arch = "nvptx64"))]
pub mod ptx;
