//! One-instruction kernels on a GPU.

use std::ffi::{CString, c_void};
use std::sync::Arc;

use cudarc::driver::{CudaContext, CudaStream, DevicePtr, DevicePtrMut, DriverError, result, sys};
use fouroversix_ptx_executor::probe::{BLOCK, Probe, THREADS};

pub(crate) struct Device {
    context: Arc<CudaContext>,
    stream: Arc<CudaStream>,
    pub(crate) capability: (i32, i32),
    name: String,
}

/// A probe's module, unloaded on drop.
pub(crate) struct Kernel {
    module: sys::CUmodule,
    function: sys::CUfunction,
}

impl Drop for Kernel {
    fn drop(&mut self) {
        // SAFETY: loaded by `Device::load`, on the thread that drops it. A failure leaves the module
        // to the context's end.
        let _ = unsafe { result::module::unload(self.module) };
    }
}

impl Device {
    pub(crate) fn open(ordinal: usize) -> Result<Self, Box<dyn std::error::Error>> {
        // SAFETY: this only looks for the driver's library and loads it.
        if !unsafe { sys::is_culib_present() } {
            return Err("there is no CUDA driver here".into());
        }
        let context = CudaContext::new(ordinal).map_err(words)?;
        let capability = context.compute_capability().map_err(words)?;
        let name = context.name().map_err(words)?;
        let stream = context.new_stream().map_err(words)?;
        Ok(Self { context, stream, capability, name })
    }

    /// Name, compute capability and driver.
    pub(crate) fn description(&self) -> String {
        let (major, minor) = self.capability;
        let mut version = 0;
        // SAFETY: the driver writes one integer to a local variable.
        let known = unsafe { sys::cuDriverGetVersion(&raw mut version) }.result().is_ok();
        let cuda = if known {
            format!("CUDA {}.{}", version / 1000, version % 1000 / 10)
        } else {
            "CUDA of an unknown version".to_owned()
        };
        let kernel_module = std::fs::read_to_string("/sys/module/nvidia/version");
        let driver = kernel_module.map_or_else(|_| "unknown".to_owned(), |v| v.trim().to_owned());
        format!("{}, compute capability {major}.{minor}, driver {driver}, {cuda}", self.name)
    }

    fn target(&self) -> String {
        match self.capability {
            (major @ (10 | 12), _) => format!("sm_{major}0f"),
            (major, minor) => format!("sm_{}", (10 * major + minor).min(90)),
        }
    }

    /// Compiles a probe; on failure, the driver's words.
    pub(crate) fn load(&self, probe: &Probe) -> Result<Kernel, String> {
        use sys::CUjit_option as Option;
        self.context.bind_to_thread().map_err(words)?;
        let source = CString::new(probe.ptx_for(&self.target())).map_err(|e| e.to_string())?;
        let mut log = vec![0u8; 4096];
        let mut options =
            [Option::CU_JIT_ERROR_LOG_BUFFER, Option::CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES];
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
            format!("{}: {}", words(error), String::from_utf8_lossy(&log[..end]).trim())
        })?;
        // SAFETY: the module was loaded just now, and is unloaded when the kernel is dropped.
        let function = unsafe { result::module::get_function(module, c"probe".to_owned()) };
        let function = function.map_err(words)?;
        Ok(Kernel { module, function })
    }

    /// The outputs of one round.
    pub(crate) fn outputs(&self, kernel: &Kernel, inputs: &[u8]) -> Result<Vec<u8>, String> {
        self.launch(kernel, inputs).map_err(words)
    }

    fn launch(&self, kernel: &Kernel, inputs: &[u8]) -> Result<Vec<u8>, DriverError> {
        let input = self.stream.clone_htod(inputs)?;
        let mut output = self.stream.alloc_zeros::<u8>(inputs.len())?;
        {
            let (mut input, _reading) = input.device_ptr(&self.stream);
            let (mut output, _writing) = output.device_ptr_mut(&self.stream);
            let mut parameters =
                [(&raw mut input).cast::<c_void>(), (&raw mut output).cast::<c_void>()];
            // SAFETY: a probe takes the addresses of `THREADS` records of inputs and of outputs, which
            // live until the stream has been waited for, and touches no more than those.
            unsafe {
                result::launch_kernel(
                    kernel.function,
                    (THREADS / BLOCK, 1, 1),
                    (BLOCK, 1, 1),
                    0,
                    self.stream.cu_stream(),
                    &mut parameters,
                )?;
            }
        }
        // Faults of the kernel show here, and not at the next probe's doings.
        self.stream.synchronize()?;
        let outputs = self.stream.clone_dtoh(&output)?;
        self.stream.synchronize()?;
        Ok(outputs)
    }
}

/// A driver's error with its name and description.
fn words(error: DriverError) -> String {
    let name = error.error_name().map(|name| name.to_string_lossy().into_owned());
    let text = error.error_string().map(|text| text.to_string_lossy().into_owned());
    format!("{}: {}", name.unwrap_or_default(), text.unwrap_or_else(|_| format!("{error:?}")))
}
