//! Loading a kernel.

use std::ffi::{CString, c_void};

use cudarc::driver::{result, sys};
use fouroversix_core::{InstructionSet, Kernel};
use fouroversix_ptx as ptx;

use super::driver::{check, code};
use super::error::DeviceError;

/// The driver's variable that has it compile PTX where there is machine code: `1`.
const FORCE_PTX: &str = "CUDA_FORCE_PTX_JIT";

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

/// What a kernel is on its device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct KernelInfo {
    /// Which kernel.
    pub kernel: Kernel,
    /// Registers that a thread uses.
    pub registers: u32,
    /// Bytes of stack and spills of a thread: zero, unless something went wrong.
    pub local_bytes: u32,
    /// Whether this build carried its machine code; else the driver's compiler made it of PTX.
    pub machine_code: bool,
}

/// What of a device and its driver decides what is loaded.
#[derive(Clone, Copy, Debug)]
pub(super) struct Target {
    pub(super) set: InstructionSet,
    /// Compute capability, (major, minor).
    pub(super) capability: (u32, u32),
    /// The CUDA version that the driver supports, (major, minor).
    pub(super) cuda: (u32, u32),
}

/// What the driver is given of a kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Image {
    MachineCode(&'static [u8]),
    Ptx(&'static str),
}

/// What there is of a kernel for a device, what loads soonest first.
fn images(target: Target, kernel: Kernel, ptx_alone: bool) -> impl Iterator<Item = Image> {
    let code = ptx::machine_code(target.capability, target.cuda, kernel);
    let code = code.filter(|_| !ptx_alone).map(Image::MachineCode);
    code.into_iter().chain(ptx::source(target.set, kernel).map(Image::Ptx))
}

impl Module {
    /// Loads a kernel's machine code; where there is none, or the driver refuses it, compiles the PTX, or
    /// takes what the driver compiled before from its cache.
    pub(super) fn load(target: Target, kernel: Kernel) -> Result<Self, DeviceError> {
        let ptx_alone = std::env::var_os(FORCE_PTX).is_some_and(|value| value == "1");
        let mut loaded = Err(DeviceError::MissingKernel { kernel, instruction_set: target.set });
        for image in images(target, kernel, ptx_alone) {
            loaded = Self::of(kernel, image);
            if loaded.is_ok() {
                break;
            }
        }
        loaded
    }

    fn of(kernel: Kernel, image: Image) -> Result<Self, DeviceError> {
        let module = match image {
            Image::MachineCode(code) => {
                let code = aligned(code);
                // SAFETY: it is a whole ELF file.
                unsafe { load(kernel, code.as_ptr().cast()) }
            }
            Image::Ptx(text) => {
                let text = CString::new(text).expect("PTX has no zero byte");
                // SAFETY: it is text that ends in a zero byte.
                unsafe { load(kernel, text.as_ptr().cast()) }
            }
        }?;
        // SAFETY: the module is loaded; it is unloaded once, here or when the value is dropped.
        let loaded = unsafe { find(module, kernel, image) };
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

/// Bytes in words: an ELF file's headers are read as such.
fn aligned(bytes: &[u8]) -> Vec<u64> {
    let word = |chunk: &[u8]| {
        let mut word = [0; 8];
        word[..chunk.len()].copy_from_slice(chunk);
        u64::from_ne_bytes(word)
    };
    bytes.chunks(8).map(word).collect()
}

/// # Safety
/// `image` must be text that ends in a zero byte, or a whole ELF file.
unsafe fn load(kernel: Kernel, image: *const c_void) -> Result<sys::CUmodule, DeviceError> {
    use sys::CUjit_option as Option;
    let mut log = vec![0u8; 4096];
    let mut options = [Option::CU_JIT_ERROR_LOG_BUFFER, Option::CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES];
    let mut values = [log.as_mut_ptr().cast::<c_void>(), log.len() as *mut c_void];
    let mut module = std::ptr::null_mut();
    // SAFETY: the caller vouches for the image; the options are those of the values, the log buffer
    // has the length given and outlives the call.
    let loaded = unsafe {
        sys::cuModuleLoadDataEx(
            &raw mut module,
            image,
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
unsafe fn find(module: sys::CUmodule, kernel: Kernel, image: Image) -> Result<Loaded, DeviceError> {
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
            machine_code: matches!(image, Image::MachineCode(_)),
        },
    })
}

#[cfg(test)]
mod tests {
    use fouroversix_core::InputType;

    use super::*;

    #[test]
    fn machine_code_comes_before_ptx_where_device_and_driver_take_it() {
        let images = |capability: (u32, u32), cuda, kernel, ptx_alone| {
            let set = InstructionSet::for_capability(capability.0, capability.1);
            let target = Target { set: set.expect("no device is too old"), capability, cuda };
            let images = images(target, kernel, ptx_alone);
            images.map(|image| matches!(image, Image::MachineCode(_))).collect::<Vec<_>>()
        };
        let (kernel, driver) = (Kernel::amax(false, InputType::Bf16), (99, 0));
        assert_eq!(images((9, 0), driver, kernel, false), [true, false]);
        assert_eq!(images((9, 0), driver, kernel, true), [false], "asked for");
        assert_eq!(images((9, 0), (11, 8), kernel, false), [false], "an old driver");
        assert_eq!(images((13, 0), driver, kernel, false), [false], "an unknown device");
        let grouped = Kernel::amax(true, InputType::Bf16);
        assert_eq!(images((9, 0), driver, grouped, false), [false], "not carried");
    }

    #[test]
    fn words_have_the_bytes() {
        let bytes: Vec<u8> = (0..27).collect();
        let words: Vec<u8> = aligned(&bytes).iter().flat_map(|word| word.to_ne_bytes()).collect();
        assert_eq!((&words[..27], words.len()), (&bytes[..], 32));
    }
}
