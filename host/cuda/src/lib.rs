//! Quantization on NVIDIA GPUs since Ampere.
//!
//! [`Device`] opens a device (or borrows a context that another library made) and loads kernels as
//! they are needed. [`Device::quantizer`] checks a configuration and shape once; the [`Quantizer`]
//! then launches on device memory, on the caller's stream, without allocating or waiting:
//! [`Quantizer::launch`] takes addresses and a [`RawStream`], whichever library made them. With the
//! feature `cudarc` there are functions on its contexts, streams and slices besides: for programs
//! that use the same version of it (0.19).
//! [`Device::group_quantizer`] and [`Device::dequantizer`] are its siblings. [`Device::quantize`] is
//! for tensors in host memory. All give the bits of the CPU path.
//!
//! A tensor that is cut over several devices is quantized as a whole: [`AmaxReduction`] brings its
//! amaxes together, through NCCL (feature `nccl`) or whatever a program has.
//!
//! The driver is loaded at run time. Without one, everything here is an [`Error::Device`](fouroversix_core::Error::Device)
//! that says so.
//!
//! ```
//! use fouroversix::cuda::Device;
//! use fouroversix::{Config, Rule};
//!
//! let (input, shape, config) = ([0.5f32; 64], [2, 32], Config::rowwise(Rule::Plain));
//! match Device::new(0) {
//!     Ok(device) => {
//!         let quantized = device.quantize(&input, shape, &config)?;
//!         assert_eq!(quantized, fouroversix::quantize(&input, shape, &config)?);
//!     }
//!     Err(error) => println!("on the CPU then: {error}"),
//! }
//! # Ok::<(), fouroversix::Error>(())
//! ```

// What only the interface through cudarc uses is compiled without it too, and used by nobody.
#![cfg_attr(not(feature = "cudarc"), allow(dead_code, unreachable_pub))]

mod address;
#[cfg(feature = "checkpoint")]
mod checkpoint;
mod dequantizer;
mod device;
mod driver;
mod error;
#[cfg(test)]
mod executed;
#[cfg(test)]
mod executed_ranks;
mod group;
mod host;
mod kernel;
mod launch;
mod memory;
#[cfg(feature = "nccl")]
mod nccl;
mod quantizer;
mod raw;
mod reduction;
mod setup;
mod tensor;
#[cfg(feature = "cudarc")]
mod with_cudarc;

pub use address::{DeviceAddress, OutputAddresses, QuantizeAddresses, check_strides};
pub use dequantizer::{AmaxLayout, DequantizeAddresses, DequantizeConfig, Dequantizer};
pub use device::{Device, DeviceInfo, device_count, devices};
pub use error::DeviceError;
pub use fouroversix_core::launch::LaunchError;
pub use fouroversix_core::{InstructionSet, Kernel};
pub use group::{GroupQuantizer, GroupTable};
pub use kernel::KernelInfo;
#[cfg(feature = "nccl")]
pub use nccl::{NcclCommunicator, NcclId};
pub use quantizer::Quantizer;
pub use raw::{RawContext, RawStream};
pub use reduction::{AllReduceMax, AmaxReduction, Split};
pub use setup::AmaxSource;
#[cfg(feature = "cudarc")]
pub use tensor::{DeviceAmax, DeviceQuantized, DeviceTensor};

/// What this project's benchmarks use besides: no part of the interface, may change at any time.
#[cfg(feature = "cudarc")]
#[doc(hidden)]
pub mod internals {
    pub use crate::driver::check;
    pub use crate::host::Resident;
    pub use crate::launch::CopyKernel;
    pub use crate::memory::{
        Elements, Plain, address, allocate, download, upload, upload_at, zeroed,
    };
}
