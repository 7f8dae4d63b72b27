//! The kernels on a device: a module for each one in use, launched by the launch contract.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::error::Error;
use std::rc::Rc;

use cust::device::{Device, DeviceAttribute};
use cust::function::{BlockSize, GridSize};
use cust::launch;
use cust::memory::DeviceCopy;
use cust::module::Module;
use cust::stream::Stream;
use fouroversix_core::Kernel;
use fouroversix_core::abi::{AmaxParams, QuantizeParams};
use fouroversix_core::launch::Launch;

// `MODULES`: the PTX of every kernel by its name, sorted.
include!(concat!(env!("OUT_DIR"), "/modules.rs"));

/// A kernel's parameter. The derive macro of `cust` can't reach the types of another crate.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub struct Parameter<T>(T);

// SAFETY: the parameters of the launch contract are plain integers, made to be copied to a device.
unsafe impl DeviceCopy for Parameter<QuantizeParams> {}
// SAFETY: as above.
unsafe impl DeviceCopy for Parameter<AmaxParams> {}

/// The kernels of the current context. Dropped before it.
pub struct Kernels {
    loaded: RefCell<BTreeMap<Kernel, Rc<Module>>>,
    /// Multiprocessors of the device: the amax kernels' grids depend on it.
    pub multiprocessors: u32,
}

impl Kernels {
    /// None loaded yet.
    pub fn new(device: Device) -> Result<Self, Box<dyn Error>> {
        let multiprocessors = device.get_attribute(DeviceAttribute::MultiprocessorCount)?;
        Ok(Self { loaded: RefCell::default(), multiprocessors: multiprocessors as u32 })
    }

    /// The module of a kernel. The driver compiles it on first use; one module of all kernels
    /// would be 19 MB of PTX to compile.
    fn module(&self, kernel: Kernel) -> Result<Rc<Module>, Box<dyn Error>> {
        if let Some(module) = self.loaded.borrow().get(&kernel) {
            return Ok(module.clone());
        }
        let name = kernel.name();
        let at = MODULES.binary_search_by(|(other, _)| (*other).cmp(&name));
        let (_, ptx) = MODULES[at.map_err(|_| format!("the PTX has no kernel {kernel}"))?];
        let module = Rc::new(Module::from_ptx(ptx, &[])?);
        self.loaded.borrow_mut().insert(kernel, module.clone());
        Ok(module)
    }

    /// Enqueues a kernel on a stream. Returns at once.
    ///
    /// # Safety
    /// `params` is the kernel's, and what its addresses name holds as the clauses of the launch
    /// contract (`fouroversix_core::launch`) say until the stream is synchronized.
    pub unsafe fn launch<T: Copy>(
        &self,
        stream: &Stream,
        launch: &Launch,
        params: T,
    ) -> Result<(), Box<dyn Error>>
    where
        Parameter<T>: DeviceCopy,
    {
        if launch.grid.contains(&0) {
            return Ok(());
        }
        let module = self.module(launch.kernel)?;
        let function = module.get_function(launch.kernel.name().as_str())?;
        let [x, y, z] = launch.grid;
        let (grid, block) = (GridSize::xyz(x, y, z), BlockSize::x(launch.threads));
        let params = Parameter(params);
        // SAFETY: the caller's promise.
        unsafe { launch!(function<<<grid, block, launch.shared_bytes, stream>>>(params))? };
        Ok(())
    }
}
