//! The interface through `cudarc`'s contexts, streams and slices: for programs that use the same
//! version of it.

use std::sync::Arc;

use cudarc::driver::{CudaContext, CudaStream, DevicePtr, sys};
use fouroversix_core::{Element, Error};

use super::address::QuantizeAddresses;
use super::device::Device;
use super::group::{GroupQuantizer, GroupTable};
use super::quantizer::Quantizer;
use super::raw::{RawContext, RawStream};
use super::tensor::{DeviceAmax, DeviceQuantized};

impl From<sys::CUstream> for RawStream {
    fn from(stream: sys::CUstream) -> Self {
        stream.cast::<std::ffi::c_void>().into()
    }
}

impl From<&CudaStream> for RawStream {
    fn from(stream: &CudaStream) -> Self {
        stream.cu_stream().into()
    }
}

impl From<&Arc<CudaStream>> for RawStream {
    fn from(stream: &Arc<CudaStream>) -> Self {
        stream.cu_stream().into()
    }
}

impl From<RawStream> for sys::CUstream {
    fn from(stream: RawStream) -> Self {
        stream.handle()
    }
}

impl From<sys::CUcontext> for RawContext {
    fn from(context: sys::CUcontext) -> Self {
        context.cast::<std::ffi::c_void>().into()
    }
}

impl From<RawContext> for sys::CUcontext {
    fn from(context: RawContext) -> Self {
        context.handle()
    }
}

impl Device {
    /// Uses a context that the program has opened with `cudarc`.
    ///
    /// # Errors
    /// As [`Device::new`].
    pub fn with_context(context: Arc<CudaContext>) -> Result<Self, Error> {
        Ok(Self::in_context(context)?)
    }

    /// The context, as `cudarc` has it.
    #[must_use]
    pub fn context(&self) -> &Arc<CudaContext> {
        self.cuda_context()
    }

    /// A new stream of the context.
    ///
    /// # Errors
    /// [`Error::Device`] when the driver fails.
    pub fn stream(&self) -> Result<Arc<CudaStream>, Error> {
        Ok(self.new_stream()?)
    }
}

impl Quantizer {
    /// Allocates what a quantization writes.
    ///
    /// # Errors
    /// [`Error::Device`] when the driver has no such memory.
    pub fn allocate(&self, stream: &Arc<CudaStream>) -> Result<DeviceQuantized, Error> {
        Ok(self.allocate_outputs(stream)?)
    }

    /// [`Quantizer::launch`] on `cudarc`'s slices, in the order of `stream`.
    ///
    /// `input` is `[rows, cols]` row-major. `amax` is for [`super::AmaxSource::Supplied`]: one value
    /// or one for each row, and with row scaling and columnwise output one for each column. Does not
    /// wait.
    ///
    /// # Errors
    /// [`Error::Shape`], [`Error::AmaxKind`], [`Error::Outputs`] when a buffer does not suit what
    /// was prepared; [`Error::Device`] when one is misaligned or of another context, or the driver
    /// fails.
    pub fn quantize<T: Element>(
        &self,
        stream: &Arc<CudaStream>,
        input: &impl DevicePtr<T>,
        amax: Option<DeviceAmax<'_>>,
        out: &mut DeviceQuantized,
    ) -> Result<(), Error> {
        self.quantize_slices(stream, input, amax, out)
    }
}

impl GroupQuantizer {
    /// [`GroupQuantizer::write_table`] to memory that it allocates and the table keeps.
    ///
    /// # Errors
    /// As [`GroupQuantizer::write_table`].
    pub fn table(
        &self,
        stream: &Arc<CudaStream>,
        addresses: &[QuantizeAddresses],
    ) -> Result<GroupTable, Error> {
        let memory = super::memory::allocate(stream, self.table_bytes())?;
        let at = super::memory::address(&memory, stream);
        // SAFETY: the memory has the bytes, was allocated on the stream, and lives as long as the
        // table.
        let table = unsafe { self.write_table(at, addresses, stream)? };
        Ok(table.keeping(memory))
    }
}
