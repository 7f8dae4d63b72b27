//! Quantization on NVIDIA GPUs since Ampere.
//!
//! [`Device`] opens a device (or borrows a context that another library made) and loads kernels as
//! they are needed. [`Device::quantizer`] checks a configuration and shape once; the [`Quantizer`]
//! then launches on device memory, on the caller's stream, without allocating or waiting:
//! [`Quantizer::launch`] on raw addresses, [`Quantizer::quantize`] on `cudarc`'s slices.
//! [`Device::group_quantizer`] and [`Device::dequantizer`] are its siblings. [`Device::quantize`] is
//! for tensors in host memory. All give the bits of the CPU path.
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

mod address;
#[cfg(feature = "checkpoint")]
mod checkpoint;
mod dequantizer;
mod device;
mod driver;
mod error;
#[cfg(test)]
mod executed;
mod group;
mod host;
mod kernel;
mod memory;
mod plan;
mod quantizer;
mod tensor;

pub use address::{DeviceAddress, OutputAddresses, QuantizeAddresses, check_strides};
pub use dequantizer::{AmaxLayout, DequantizeAddresses, Dequantizer};
pub use device::{Device, DeviceInfo, device_count, devices};
pub use error::DeviceError;
pub use fouroversix_core::launch::LaunchError;
pub use fouroversix_core::{InstructionSet, Kernel};
pub use group::{GroupQuantizer, GroupTable};
pub use kernel::KernelInfo;
pub use plan::AmaxSource;
pub use quantizer::Quantizer;
pub use tensor::{DeviceAmax, DeviceQuantized, DeviceTensor};

/// What this project's benchmarks use besides: no part of the interface, may change at any time.
#[doc(hidden)]
pub mod internals {
    pub use crate::driver::check;
    pub use crate::host::Resident;
    pub use crate::kernel::CopyKernel;
    pub use crate::memory::{
        Elements, Plain, address, allocate, download, upload, upload_at, zeroed,
    };
}
