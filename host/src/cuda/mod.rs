//! Quantization on NVIDIA GPUs since Ampere.
//!
//! [`Device`] opens a device (or borrows a context that another library made) and loads kernels as
//! they are needed. [`Device::quantizer`] checks a configuration and shape once; the [`Quantizer`]
//! then launches on device memory, on the caller's stream, without allocating or waiting:
//! [`Quantizer::launch`] on raw addresses, [`Quantizer::quantize`] on `cudarc`'s slices.
//! [`Device::group_quantizer`] and [`Device::dequantizer`] are its siblings. [`Device::quantize`] is
//! for tensors in host memory. All give the bits of the CPU path.
//!
//! The driver is loaded at run time. Without one, everything here is an [`crate::Error::Device`]
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
#[cfg(feature = "cli")]
mod backend;
mod dequantizer;
mod device;
mod driver;
mod error;
#[cfg(all(test, feature = "cli"))]
mod executed;
mod group;
mod host;
mod kernel;
pub(crate) mod memory;
mod plan;
mod quantizer;
mod tensor;

pub use address::{DeviceAddress, OutputAddresses, QuantizeAddresses, check_strides};
#[cfg(feature = "cli")]
pub use backend::CudaBackend;
pub use dequantizer::{AmaxLayout, DequantizeAddresses, Dequantizer};
pub use device::{Device, DeviceInfo, device_count, devices};
#[cfg(feature = "cli")]
pub(crate) use driver::check;
pub use error::DeviceError;
pub use fouroversix_kernels::launch::LaunchError;
pub use fouroversix_kernels::ptx::InstructionSet;
pub use group::{GroupQuantizer, GroupTable};
#[cfg(feature = "cli")]
pub(crate) use host::Resident;
#[cfg(feature = "cli")]
pub(crate) use kernel::CopyKernel;
pub use kernel::KernelInfo;
pub use plan::AmaxSource;
pub use quantizer::Quantizer;
pub use tensor::{DeviceAmax, DeviceQuantized, DeviceTensor};
