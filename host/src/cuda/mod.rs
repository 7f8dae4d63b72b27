//! Quantization on NVIDIA GPUs since Ampere.

mod address;
#[cfg(feature = "cli")]
mod backend;
mod dequantizer;
mod device;
mod driver;
mod error;
mod host;
mod kernel;
mod launch;
pub(crate) mod memory;
mod quantizer;
mod tensor;

pub use address::{DeviceAddress, OutputAddresses, QuantizeAddresses, check_strides};
#[cfg(feature = "cli")]
pub use backend::CudaBackend;
pub use dequantizer::{AmaxLayout, DequantizeAddresses, Dequantizer};
pub use device::{Device, DeviceInfo, InstructionSet, devices};
#[cfg(feature = "cli")]
pub(crate) use driver::check;
pub use error::DeviceError;
#[cfg(feature = "cli")]
pub(crate) use kernel::CopyKernel;
pub use kernel::KernelInfo;
pub use quantizer::{AmaxSource, Quantizer};
pub use tensor::{DeviceAmax, DeviceQuantized, DeviceTensor};
