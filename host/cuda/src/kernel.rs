//! Loading a kernel.

use std::ffi::{CStr, CString, c_void};

use cudarc::driver::{result, sys};
use fouroversix_core::{InstructionSet, Kernel};
use fouroversix_ptx as ptx;

use super::driver::{check, code};
use super::error::DeviceError;

/// A module that holds one kernel. Unloaded on drop, in the current context.
pub(super) struct Module {
    module: sys::CUmodule,
    loaded: Loaded,
}

// SAFETY: the driver's handles may be used from any thread.
unsafe impl Send for Module {}

/// The kernel of a loaded module.
#[derive(Clone, Copy, Debug)]
pub(super) struct Loaded {
    pub(super) function: Function,
    pub(super) info: KernelInfo,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Function(pub(super) sys::CUfunction);

// SAFETY: the driver's handles may be used from any thread.
unsafe impl Send for Function {}
// SAFETY: as above; the driver locks where it must.
unsafe impl Sync for Function {}

/// What the driver's compiler made of a kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct KernelInfo {
    /// Which kernel.
    pub kernel: Kernel,
    /// Registers that a thread uses.
    pub registers: u32,
    /// Bytes of stack and spills of a thread: zero, unless something went wrong.
    pub local_bytes: u32,
}

impl Module {
    /// Compiles a kernel's PTX, or takes what the driver compiled before from its cache.
    pub(super) fn load(set: InstructionSet, kernel: Kernel) -> Result<Self, DeviceError> {
        let missing = || DeviceError::MissingKernel { kernel, instruction_set: set };
        let source = ptx::source(set, kernel).ok_or_else(missing)?;
        let source = CString::new(source).map_err(|_| missing())?;
        let module = compile(kernel, &source)?;
        // SAFETY: the module is loaded; it is unloaded once, here or when the value is dropped.
        let loaded = unsafe { find(module, kernel) };
        let loaded = loaded.inspect_err(|_| {
            // SAFETY: nothing of the module is in use. The error at hand says more than a failure
            // to unload would.
            let _ = unsafe { result::module::unload(module) };
        })?;
        Ok(Self { module, loaded })
    }

    pub(super) fn loaded(&self) -> Loaded {
        self.loaded
    }
}

impl Drop for Module {
    fn drop(&mut self) {
        // SAFETY: loaded by `load`. A failure leaves the module to the context's end.
        let _ = unsafe { result::module::unload(self.module) };
    }
}

fn compile(kernel: Kernel, source: &CStr) -> Result<sys::CUmodule, DeviceError> {
    use sys::CUjit_option as Option;
    let mut log = vec![0u8; 4096];
    let mut options = [Option::CU_JIT_ERROR_LOG_BUFFER, Option::CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES];
    let mut values = [log.as_mut_ptr().cast::<c_void>(), log.len() as *mut c_void];
    let mut module = std::ptr::null_mut();
    // SAFETY: `source` ends in a zero byte, the options are those of the values, the log buffer
    // has the length given and outlives the call.
    let loaded = unsafe {
        sys::cuModuleLoadDataEx(
            &raw mut module,
            source.as_ptr().cast(),
            options.len() as u32,
            options.as_mut_ptr(),
            values.as_mut_ptr(),
        )
    };
    loaded.result().map_err(|error| {
        let end = log.iter().position(|byte| *byte == 0).unwrap_or(log.len());
        DeviceError::Compilation {
            kernel,
            code: code(error),
            log: String::from_utf8_lossy(&log[..end]).into_owned(),
        }
    })?;
    Ok(module)
}

/// # Safety
/// `module` must be loaded.
unsafe fn find(module: sys::CUmodule, kernel: Kernel) -> Result<Loaded, DeviceError> {
    use sys::CUfunction_attribute as Attribute;
    let entry = CString::new(kernel.name().as_str()).expect("kernel names have no zero byte");
    // SAFETY: as the caller vouches.
    let function = unsafe { result::module::get_function(module, entry) };
    let function = check("find a kernel in its module", function)?;
    let attribute = |which| {
        // SAFETY: the function was found just now.
        let value = unsafe { result::function::get_function_attribute(function, which) };
        Ok::<u32, DeviceError>(u32::try_from(check("describe a kernel", value)?).unwrap_or(0))
    };
    Ok(Loaded {
        function: Function(function),
        info: KernelInfo {
            kernel,
            registers: attribute(Attribute::CU_FUNC_ATTRIBUTE_NUM_REGS)?,
            local_bytes: attribute(Attribute::CU_FUNC_ATTRIBUTE_LOCAL_SIZE_BYTES)?,
        },
    })
}
