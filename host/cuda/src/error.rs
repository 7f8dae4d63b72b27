//! What can go wrong with a device.

use std::fmt;

use fouroversix_core::launch::LaunchError;
use fouroversix_core::{Error, InputType, InstructionSet, Kernel, ShapeError};

/// A failure of the CUDA side. `Display` names the offending value and the remedy.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DeviceError {
    /// The CUDA driver library could not be loaded.
    DriverAbsent {
        /// The loader's own words.
        reason: String,
    },
    /// The driver library lacks a function.
    DriverTooOld {
        /// The function's name.
        symbol: &'static str,
    },
    /// There is no such device.
    NoSuchDevice {
        /// The ordinal asked for.
        ordinal: usize,
        /// How many devices there are.
        count: usize,
    },
    /// No context is current on the calling thread, or the one passed is null.
    NoContext,
    /// The device is older than Ampere.
    ComputeCapability {
        /// The device's name.
        name: String,
        /// Its compute capability.
        capability: (u32, u32),
    },
    /// A call to the driver failed.
    Driver {
        /// What was being done.
        action: &'static str,
        /// The driver's name for the error, for example `CUDA_ERROR_OUT_OF_MEMORY`.
        code: String,
        /// The driver's description of it.
        description: String,
    },
    /// The driver's compiler rejected a kernel.
    Compilation {
        /// The kernel.
        kernel: Kernel,
        /// The driver's name for the error.
        code: String,
        /// The compiler's log.
        log: String,
    },
    /// The library was built without the kernel.
    MissingKernel {
        /// The kernel.
        kernel: Kernel,
        /// The instruction set it was wanted for.
        instruction_set: InstructionSet,
    },
    /// An address is null.
    Null {
        /// Which buffer.
        buffer: &'static str,
    },
    /// An address is not aligned.
    Misaligned {
        /// Which buffer.
        buffer: &'static str,
        /// Its address.
        address: u64,
        /// What the address must be a multiple of, in bytes.
        alignment: u64,
    },
    /// No launch serves the request.
    Launch(LaunchError),
    /// The elements are of another type than was prepared for.
    ElementType {
        /// What was prepared for.
        prepared: InputType,
    },
    /// NVIDIA's library of matrix products could not be loaded.
    CublasAbsent,
    /// A call to NVIDIA's library of matrix products failed.
    Cublas {
        /// What was being done.
        action: &'static str,
        /// The library's name for the error.
        status: String,
    },
    /// The quantizer finds its amaxes in the pass that quantizes, so nothing can be done with them
    /// before.
    AmaxInPassing,
    /// NVIDIA's library of collectives could not be loaded.
    NcclAbsent {
        /// The loader's own words.
        reason: String,
    },
    /// A call to NVIDIA's library of collectives failed.
    Nccl {
        /// What was being done.
        action: &'static str,
        /// The library's number for the error.
        status: i32,
        /// The library's description of it.
        description: String,
    },
    /// A buffer belongs to another device or context than the launch.
    OtherContext {
        /// Which buffer.
        buffer: &'static str,
    },
}

impl fmt::Display for DeviceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DriverAbsent { reason } => write!(
                f,
                "no CUDA driver on this machine ({reason}): install NVIDIA's driver, or use the CPU"
            ),
            Self::DriverTooOld { symbol } => write!(
                f,
                "the CUDA driver has no function {symbol}: install a driver for CUDA 12 or later"
            ),
            Self::NoSuchDevice { ordinal, count: 0 } => write!(
                f,
                "there is no CUDA device {ordinal}: the driver sees no device, check \
                 CUDA_VISIBLE_DEVICES or use the CPU"
            ),
            Self::NoSuchDevice { ordinal, count } => write!(
                f,
                "there is no CUDA device {ordinal}: the driver sees {count}, numbered from 0"
            ),
            Self::NoContext => f.write_str(
                "no CUDA context is current on this thread: make one current or open the device \
                 by its number",
            ),
            Self::ComputeCapability { name, capability: (major, minor) } => write!(
                f,
                "{name} has compute capability {major}.{minor}, but the kernels need 8.0 (Ampere) \
                 or later: use a later device or the CPU"
            ),
            Self::Driver { action, code, description } => {
                write!(f, "the CUDA driver failed to {action}: {code} ({description})")
            }
            Self::Compilation { kernel, code, log } => write!(
                f,
                "the CUDA driver could not compile kernel {kernel}: {code} ({}): a newer driver may \
                 help",
                log.trim()
            ),
            Self::MissingKernel { kernel, instruction_set } => write!(
                f,
                "this build carries no kernel {kernel} for {instruction_set}: use the CPU for this \
                 configuration, or build with the feature of that instruction set"
            ),
            Self::Null { buffer } => {
                write!(f, "the address of {buffer} is null: pass device memory")
            }
            Self::Misaligned { buffer, address, alignment } => write!(
                f,
                "the address of {buffer}, {address:#x}, is not a multiple of {alignment} bytes: \
                 allocate it apart or copy it to an aligned address"
            ),
            Self::Launch(error) => error.fmt(f),
            Self::ElementType { prepared } => write!(
                f,
                "the elements are not {prepared}, which the launch was prepared for: prepare one \
                 for their type"
            ),
            Self::CublasAbsent => f.write_str(
                "neither the loader nor CUDA_HOME gives a cublasLt of CUDA 12 or 13: put its folder on \
                 LD_LIBRARY_PATH, or its path in FOUROVERSIX_CUBLASLT",
            ),
            Self::Cublas { action, status } => {
                write!(f, "cuBLASLt failed to {action}: {status}")
            }
            Self::AmaxInPassing => f.write_str(
                "the amaxes are found in the pass that quantizes: prepare the quantizer with \
                 AmaxSource::InputApart to reduce them over ranks before",
            ),
            Self::NcclAbsent { reason } => write!(
                f,
                "no NCCL on this machine ({reason}): install it and put its folder on \
                 LD_LIBRARY_PATH, or its path in FOUROVERSIX_NCCL, or bring another AllReduceMax"
            ),
            Self::Nccl { action, status, description } => write!(
                f,
                "NCCL failed to {action}: {description} (status {status}): NCCL_DEBUG=INFO says more"
            ),
            Self::OtherContext { buffer } => write!(
                f,
                "{buffer} belongs to another CUDA context than the launch: copy it to this device"
            ),
        }
    }
}

impl std::error::Error for DeviceError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Launch(error) => error.source(),
            _ => None,
        }
    }
}

impl From<ShapeError> for DeviceError {
    fn from(error: ShapeError) -> Self {
        Self::Launch(error.into())
    }
}

impl From<LaunchError> for DeviceError {
    fn from(error: LaunchError) -> Self {
        Self::Launch(error)
    }
}

impl DeviceError {
    /// The device's own error in an [`Error::Device`] of this crate.
    #[must_use]
    pub fn of(error: &Error) -> Option<&Self> {
        match error {
            Error::Device(error) => error.downcast_ref(),
            _ => None,
        }
    }
}

impl From<DeviceError> for Error {
    fn from(error: DeviceError) -> Self {
        Self::Device(Box::new(error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sentences_name_value_and_remedy() {
        let error = DeviceError::Misaligned { buffer: "the input", address: 0x1002, alignment: 16 };
        assert_eq!(
            error.to_string(),
            "the address of the input, 0x1002, is not a multiple of 16 bytes: allocate it apart or \
             copy it to an aligned address"
        );
        let error = DeviceError::NoSuchDevice { ordinal: 3, count: 2 };
        assert_eq!(
            error.to_string(),
            "there is no CUDA device 3: the driver sees 2, numbered from 0"
        );
    }
}
