//! The driver library: loaded at run time, absent without a panic.
//!
//! `cudarc` panics when it calls into a library or a function that is not there, so both are
//! looked up here first, once, and the answer is kept.

use std::sync::OnceLock;

use cudarc::driver::{DriverError, result, sys};

use super::error::DeviceError;

#[cfg(windows)]
const LIBRARIES: [&str; 1] = ["nvcuda.dll"];
#[cfg(not(windows))]
const LIBRARIES: [&str; 2] = ["libcuda.so.1", "libcuda.so"];

/// The functions that the library may call.
const FUNCTIONS: [&str; 44] = [
    "cuInit",
    "cuDriverGetVersion",
    "cuDeviceGet",
    "cuDeviceGetCount",
    "cuDeviceGetName",
    "cuDeviceGetAttribute",
    "cuDeviceTotalMem_v2",
    "cuDevicePrimaryCtxRetain",
    "cuDevicePrimaryCtxRelease_v2",
    "cuCtxGetCurrent",
    "cuCtxSetCurrent",
    "cuCtxGetDevice",
    "cuCtxSynchronize",
    "cuEventCreate",
    "cuEventDestroy_v2",
    "cuEventElapsedTime",
    "cuEventRecord",
    "cuEventSynchronize",
    "cuFuncGetAttribute",
    "cuGetErrorName",
    "cuGetErrorString",
    "cuGraphDestroy",
    "cuGraphExecDestroy",
    "cuGraphInstantiateWithFlags",
    "cuGraphLaunch",
    "cuLaunchKernel",
    "cuMemAllocAsync",
    "cuMemAlloc_v2",
    "cuMemFreeAsync",
    "cuMemFree_v2",
    "cuMemGetInfo_v2",
    "cuMemcpy2DAsync_v2",
    "cuMemcpyDtoHAsync_v2",
    "cuMemcpyHtoDAsync_v2",
    "cuMemsetD8Async",
    "cuModuleGetFunction",
    "cuModuleLoadDataEx",
    "cuModuleUnload",
    "cuStreamBeginCapture_v2",
    "cuStreamCreate",
    "cuStreamDestroy_v2",
    "cuStreamEndCapture",
    "cuStreamSynchronize",
    "cuStreamWaitEvent",
];

/// Loads and initializes the driver; later calls repeat the first one's answer.
pub(super) fn load() -> Result<(), DeviceError> {
    static LOADED: OnceLock<Result<(), DeviceError>> = OnceLock::new();
    LOADED.get_or_init(|| open().and_then(|()| check("initialize", result::init()))).clone()
}

fn open() -> Result<(), DeviceError> {
    let mut reason = String::new();
    for name in LIBRARIES {
        // SAFETY: loading runs the initializers of NVIDIA's driver library, which ask nothing of
        // the caller.
        match unsafe { libloading::Library::new(name) } {
            Ok(library) => {
                let missing = FUNCTIONS.into_iter().find(|function| {
                    // SAFETY: only the function's presence is looked at.
                    unsafe { library.get::<*const ()>(function.as_bytes()) }.is_err()
                });
                // Kept loaded for the life of the process: the driver is used through cudarc.
                std::mem::forget(library);
                return match missing {
                    Some(symbol) => Err(DeviceError::DriverTooOld { symbol }),
                    None => Ok(()),
                };
            }
            Err(error) if reason.is_empty() => {
                // The loader's own words are one level down.
                let cause = std::error::Error::source(&error);
                reason = cause.map_or_else(|| error.to_string(), ToString::to_string);
            }
            Err(_) => {}
        }
    }
    Err(DeviceError::DriverAbsent { reason })
}

/// Gives a driver error its name, its description and what was being done.
pub fn check<T>(action: &'static str, result: Result<T, DriverError>) -> Result<T, DeviceError> {
    result.map_err(|error| DeviceError::Driver {
        action,
        code: code(error),
        description: match error.error_string() {
            Ok(text) => text.to_string_lossy().into_owned(),
            Err(_) => "no description".to_owned(),
        },
    })
}

/// The driver's name for an error.
pub(super) fn code(error: DriverError) -> String {
    match error.error_name() {
        Ok(name) => name.to_string_lossy().into_owned(),
        Err(_) => format!("{:?}", error.0),
    }
}

/// The CUDA version that the driver supports, as (major, minor).
pub(super) fn version() -> Result<(u32, u32), DeviceError> {
    let mut version = 0;
    // SAFETY: the driver writes one integer to a local variable.
    let result = unsafe { sys::cuDriverGetVersion(&raw mut version) }.result();
    check("report its version", result)?;
    let version = u32::try_from(version).unwrap_or(0);
    Ok((version / 1000, version % 1000 / 10))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn absent_driver_is_an_error_not_a_panic() {
        match load() {
            Ok(()) => assert!(version().is_ok_and(|(major, _)| major >= 11)),
            Err(error) => assert!(!error.to_string().is_empty()),
        }
    }
}
