//! GPU kernels for NVFP4 quantization with Four Over Six adaptive block scaling.
//!
//! Compiled for `nvptx64-nvidia-cuda` by `cargo xtask ptx`, which commits the PTX in
//! `kernels-gpu/ptx`. For a host the crate is empty: what a host needs to launch the kernels is
//! `fouroversix-core` (the launch contract) and `fouroversix-ptx` (the PTX).
//!
//! Modules by role, each using those above it:
//! - `ptx`: instructions, memory, warps and thread blocks;
//! - `formats`: E4M3, the layouts of scales;
//! - `load`: what kernels read: tensors, blocks, tiles in shared memory;
//! - `decide`: from 16 elements to codes and a scale: the hot loop, near ties, the exact path;
//! - `kernels`: which thread has which block; the entries.
//!
//! SAFETY comments cite the numbered clauses of the launch contract (`fouroversix_core::launch`).
#![cfg_attr(target_arch = "nvptx64", no_std)]
#![cfg_attr(target_arch = "nvptx64", feature(abi_ptx, asm_experimental_arch))]
#![cfg_attr(all(target_arch = "nvptx64", not(nvvm)), feature(stdarch_nvptx))]
#![cfg_attr(target_arch = "nvptx64", allow(missing_docs))]

#[cfg(target_arch = "nvptx64")]
mod decide;
#[cfg(target_arch = "nvptx64")]
mod formats;
#[cfg(target_arch = "nvptx64")]
mod kernels;
#[cfg(target_arch = "nvptx64")]
mod load;
#[cfg(target_arch = "nvptx64")]
mod ptx;
