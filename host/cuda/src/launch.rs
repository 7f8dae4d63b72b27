//! Launching a loaded kernel.

use std::ffi::c_void;
use std::marker::PhantomData;

use cudarc::driver::{result, sys};
use fouroversix_core::launch::Launch as Geometry;

use super::device::Device;
use super::driver::check;
use super::error::DeviceError;
use super::kernel::{KernelInfo, Loaded};

/// A kernel with its grid: what is left to say at a launch is the parameter and the stream.
#[derive(Clone, Debug)]
pub(super) struct Launch<P> {
    device: Device,
    loaded: Loaded,
    grid: [u32; 3],
    threads: u32,
    shared_bytes: u32,
    parameter: PhantomData<fn(&P)>,
}

/// A kernel that takes the place of another for comparison: same parameter, same bytes.
#[derive(Clone, Debug)]
pub struct CopyKernel<P>(pub(super) Launch<P>);

impl<P: Copy> Launch<P> {
    /// Loads the kernel that takes a `P`.
    pub(super) fn new(device: &Device, geometry: &Geometry) -> Result<Self, DeviceError> {
        let Geometry { kernel, grid, threads, shared_bytes } = *geometry;
        Ok(Self {
            device: device.clone(),
            loaded: device.load(kernel)?,
            grid,
            threads,
            shared_bytes,
            parameter: PhantomData,
        })
    }

    pub(super) fn info(&self) -> KernelInfo {
        self.loaded.info
    }

    /// Enqueues the kernel. Does not allocate, does not wait.
    ///
    /// # Safety
    /// The kernel's parameter must be a `P` or its first field, the addresses in it must be those of live device
    /// memory of the sizes that the kernel touches, and `stream` a stream of the device's context.
    pub(super) unsafe fn enqueue(
        &self,
        params: &P,
        stream: sys::CUstream,
    ) -> Result<(), DeviceError> {
        if self.grid.contains(&0) {
            return Ok(());
        }
        self.device.bind()?;
        let mut arguments = [(&raw const *params).cast_mut().cast::<c_void>()];
        let [x, y, z] = self.grid;
        // SAFETY: the driver copies the parameter before it returns; the rest is the caller's.
        let launched = unsafe {
            result::launch_kernel(
                self.loaded.function.0,
                (x, y, z),
                (self.threads, 1, 1),
                self.shared_bytes,
                stream,
                &mut arguments,
            )
        };
        check("launch a kernel", launched)
    }
}
