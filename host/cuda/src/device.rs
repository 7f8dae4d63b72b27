//! Devices: what there is, which kernels suit it, and the handle that launches them.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use cudarc::driver::{CudaContext, result, sys};
use fouroversix_core::{Error, InstructionSet, Kernel};

use super::driver::{self, check};
use super::error::DeviceError;
use super::kernel::{Loaded, Module, Target};
use super::raw::RawContext;

/// What is known of a device before it is used.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct DeviceInfo {
    /// Its number among the visible devices.
    pub ordinal: usize,
    /// The driver's name for it.
    pub name: String,
    /// Compute capability, (major, minor).
    pub compute_capability: (u32, u32),
    /// Bytes of device memory.
    pub memory: u64,
    /// Streaming multiprocessors.
    pub multiprocessors: u32,
    /// Bytes of L2 cache.
    pub l2_cache: u64,
    /// The CUDA version that the driver supports, (major, minor).
    pub driver_version: (u32, u32),
    /// The kernels that it gets; none when it is too old.
    pub instruction_set: Option<InstructionSet>,
}

impl DeviceInfo {
    fn query(ordinal: usize, device: sys::CUdevice) -> Result<Self, DeviceError> {
        use sys::CUdevice_attribute as Attribute;
        // SAFETY: `device` came from the driver.
        let attribute = |which| unsafe { result::device::get_attribute(device, which) };
        let number = |which| {
            let value = check("describe a device", attribute(which))?;
            Ok::<_, DeviceError>(u32::try_from(value).unwrap_or(0))
        };
        let major = number(Attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR)?;
        let minor = number(Attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR)?;
        // SAFETY: `device` came from the driver.
        let memory = unsafe { result::device::total_mem(device) };
        Ok(Self {
            ordinal,
            name: check("name a device", result::device::get_name(device))?,
            compute_capability: (major, minor),
            memory: check("measure a device's memory", memory)? as u64,
            multiprocessors: number(Attribute::CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT)?,
            l2_cache: number(Attribute::CU_DEVICE_ATTRIBUTE_L2_CACHE_SIZE)?.into(),
            driver_version: driver::version()?,
            instruction_set: InstructionSet::for_capability(major, minor),
        })
    }
}

/// Every CUDA device that the driver sees, those too old for the kernels included.
///
/// # Errors
/// [`DeviceError::DriverAbsent`] or [`DeviceError::Driver`], in [`Error::Device`].
pub fn devices() -> Result<Vec<DeviceInfo>, Error> {
    Ok((0..count()?)
        .map(|ordinal| DeviceInfo::query(ordinal, get(ordinal)?))
        .collect::<Result<_, DeviceError>>()?)
}

/// How many CUDA devices the driver sees, those too old for the kernels included.
///
/// # Errors
/// As [`devices`].
pub fn device_count() -> Result<usize, Error> {
    Ok(count()?)
}

fn count() -> Result<usize, DeviceError> {
    driver::load()?;
    let count = check("count devices", result::device::get_count())?;
    Ok(usize::try_from(count).unwrap_or(0))
}

fn get(ordinal: usize) -> Result<sys::CUdevice, DeviceError> {
    let count = count()?;
    match i32::try_from(ordinal) {
        Ok(index) if ordinal < count => check("open a device", result::device::get(index)),
        _ => Err(DeviceError::NoSuchDevice { ordinal, count }),
    }
}

/// A CUDA device with the kernels that have been used on it.
///
/// Clones share the kernels. Thread-safe: launches may come from any thread, the handle makes its
/// context current where it is not. A kernel is loaded when the first quantizer that needs it is
/// prepared, never during a launch: from machine code where the build has it for the device (feature
/// `machine-code`), else compiled by the driver, or taken from the driver's cache. The driver's own
/// variable `CUDA_FORCE_PTX_JIT=1` has it compile every kernel.
#[derive(Clone)]
pub struct Device {
    shared: Arc<Shared>,
}

struct Shared {
    // Unloads its modules before the context is released.
    modules: Mutex<HashMap<Kernel, Module>>,
    context: Arc<CudaContext>,
    info: DeviceInfo,
    instruction_set: InstructionSet,
}

impl Device {
    /// Opens a device by its number, in its primary context (the one that CUDA's runtime API and
    /// thus most libraries use).
    ///
    /// # Errors
    /// [`Error::Device`]: no driver, no such device, a compute capability below 8.0, or a failure
    /// of the driver.
    pub fn new(ordinal: usize) -> Result<Self, Error> {
        let device = get(ordinal)?;
        // Before a context is made: that takes long, and a device too old needs none.
        supported(&DeviceInfo::query(ordinal, device)?)?;
        let context = check("create a context", CudaContext::new(ordinal))?;
        Ok(Self::from_context(context)?)
    }

    pub(super) fn in_context(context: Arc<CudaContext>) -> Result<Self, DeviceError> {
        driver::load()?;
        Self::from_context(context)
    }

    /// Uses the context current on this thread, whoever made it.
    ///
    /// # Errors
    /// As [`Device::new`]; and [`DeviceError::NoContext`] when none is current.
    ///
    /// # Safety
    /// The context must live until the handle and its clones, and what was made with them, are
    /// gone.
    pub unsafe fn current() -> Result<Self, Error> {
        driver::load()?;
        let context = check("find the current context", result::ctx::get_current())?;
        // SAFETY: the context is a live one, and the caller keeps it alive.
        unsafe { Self::borrow(context.unwrap_or(std::ptr::null_mut())) }
    }

    /// Uses a raw context. It is borrowed: dropping the handle does not destroy it.
    ///
    /// # Errors
    /// As [`Device::current`].
    ///
    /// # Safety
    /// `context` must be null or a context that is not destroyed before the handle and its clones,
    /// and what was made with them, are gone.
    pub unsafe fn from_raw(context: impl Into<RawContext>) -> Result<Self, Error> {
        // SAFETY: the caller's promise.
        unsafe { Self::borrow(context.into().handle()) }
    }

    /// # Safety
    /// As [`Device::from_raw`].
    unsafe fn borrow(context: sys::CUcontext) -> Result<Self, Error> {
        driver::load()?;
        if context.is_null() {
            return Err(DeviceError::NoContext.into());
        }
        // SAFETY: the caller vouches for the context.
        check("use the context", unsafe { result::ctx::set_current(context) })?;
        let mut device = 0;
        // SAFETY: the driver writes one integer to a local variable.
        let found = unsafe { sys::cuCtxGetDevice(&raw mut device) }.result();
        check("find the context's device", found)?;
        let ordinal = usize::try_from(device).unwrap_or(0);
        // SAFETY: context and device belong together. cudarc would destroy the context with the
        // last reference to it; the one forgotten below keeps that from happening.
        let context = unsafe { CudaContext::from_raw_context(ordinal, device, context) };
        let context = check("use the context", context)?;
        std::mem::forget(context.clone());
        Ok(Self::from_context(context)?)
    }

    fn from_context(context: Arc<CudaContext>) -> Result<Self, DeviceError> {
        let info = DeviceInfo::query(context.ordinal(), context.cu_device())?;
        let instruction_set = supported(&info)?;
        let modules = Mutex::default();
        Ok(Self { shared: Arc::new(Shared { modules, context, info, instruction_set }) })
    }

    /// What is known of the device.
    #[must_use]
    pub fn info(&self) -> &DeviceInfo {
        &self.shared.info
    }

    /// Which kernels the device runs.
    #[must_use]
    pub fn instruction_set(&self) -> InstructionSet {
        self.shared.instruction_set
    }

    pub(super) fn cuda_context(&self) -> &Arc<CudaContext> {
        &self.shared.context
    }

    /// Makes the context current on this thread unless it is.
    pub(super) fn bind(&self) -> Result<(), DeviceError> {
        let context = self.shared.context.cu_ctx();
        let current = check("find the current context", result::ctx::get_current())?;
        if current == Some(context) {
            return Ok(());
        }
        // SAFETY: the context lives as long as `self`.
        check("make the context current", unsafe { result::ctx::set_current(context) })
    }

    /// The kernel, loaded now unless it has been.
    pub(super) fn load(&self, kernel: Kernel) -> Result<Loaded, DeviceError> {
        self.bind()?;
        let mut modules = self.shared.modules.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(module) = modules.get(&kernel) {
            return Ok(module.loaded());
        }
        let DeviceInfo { compute_capability: capability, driver_version: cuda, .. } =
            self.shared.info;
        let target = Target { set: self.shared.instruction_set, capability, cuda };
        let module = Module::load(target, kernel)?;
        let loaded = module.loaded();
        modules.insert(kernel, module);
        Ok(loaded)
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        // The modules, dropped next, are unloaded in the current context. A failure leaves them to
        // the end of theirs.
        // SAFETY: the context is alive.
        let _ = unsafe { result::ctx::set_current(self.context.cu_ctx()) };
    }
}

impl fmt::Debug for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Device").field("info", &self.shared.info).finish_non_exhaustive()
    }
}

fn supported(info: &DeviceInfo) -> Result<InstructionSet, DeviceError> {
    info.instruction_set.ok_or_else(|| DeviceError::ComputeCapability {
        name: info.name.clone(),
        capability: info.compute_capability,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_that_is_not_there_is_an_error() {
        let error = Device::new(9999).expect_err("no machine has so many devices");
        let text = error.to_string();
        assert!(text.contains("9999") || text.contains("no CUDA driver"), "{text}");
        // SAFETY: a null context is refused before it is used.
        let error = unsafe { Device::from_raw(std::ptr::null_mut::<std::ffi::c_void>()) }
            .expect_err("null");
        assert!(matches!(error, Error::Device(_)), "{error}");
    }

    #[test]
    fn listing_without_a_driver_is_an_error() {
        match devices() {
            Ok(list) => assert!(list.iter().all(|info| !info.name.is_empty())),
            Err(error) => assert!(error.to_string().contains("CUDA"), "{error}"),
        }
    }
}
