//! GPU kernels for NVFP4 quantization with Four Over Six adaptive block scaling.
//!
//! Compiled for `nvptx64-nvidia-cuda` by `cargo xtask ptx`, which commits the PTX in
//! `kernels-gpu/ptx`. For a host the crate is empty: what a host needs to launch the kernels is
//! `fouroversix-core` (the launch contract) and `fouroversix-ptx` (the PTX).
#![cfg_attr(target_arch = "nvptx64", no_std)]
#![cfg_attr(target_arch = "nvptx64", feature(abi_ptx, asm_experimental_arch))]
#![cfg_attr(all(target_arch = "nvptx64", not(nvvm)), feature(stdarch_nvptx))]
#![cfg_attr(target_arch = "nvptx64", allow(missing_docs))]

#[cfg(target_arch = "nvptx64")]
mod device;
