//! Quantization on NVIDIA GPUs since Ampere.

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
pub use device::{Device, DeviceInfo, devices};
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
