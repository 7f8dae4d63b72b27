//! Quantized tensors in device memory.

use std::fmt;
use std::sync::Arc;

use cudarc::driver::{CudaSlice, CudaStream, DevicePtr, DevicePtrMut};
use fouroversix_core::abi::GlobalScale;
use fouroversix_core::shape::expect_length;
use fouroversix_core::{E4m3Max, Element, Error, Nvfp4Tensor, Quantized, ScaleLayout};

use super::address::{OutputAddresses, QuantizeAddresses};
use super::error::DeviceError;
use super::memory;
use super::quantizer::Quantizer;
use super::setup::AmaxSource;

/// One quantization in device memory.
pub struct DeviceTensor {
    codes: CudaSlice<u8>,
    scales: CudaSlice<u8>,
    shape: [usize; 2],
}

impl fmt::Debug for DeviceTensor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DeviceTensor")
            .field("shape", &format_args!("{:?}", self.shape))
            .field("code_bytes", &self.codes.len())
            .field("scale_bytes", &self.scales.len())
            .finish_non_exhaustive()
    }
}

impl DeviceTensor {
    /// E2M1 codes, `[rows, cols/2]` bytes (one byte without meaning when that is none).
    #[must_use]
    pub fn codes(&self) -> &CudaSlice<u8> {
        &self.codes
    }

    /// E4M3 block scales, [`ScaleLayout::bytes`] bytes (one without meaning when that is none).
    #[must_use]
    pub fn scales(&self) -> &CudaSlice<u8> {
        &self.scales
    }

    /// `[rows, cols]` in elements.
    #[must_use]
    pub fn shape(&self) -> [usize; 2] {
        self.shape
    }
}

/// What a [`Quantizer`] writes, in device memory that may be used again for the next input.
pub struct DeviceQuantized {
    rowwise: Option<DeviceTensor>,
    columnwise: Option<DeviceTensor>,
    pub(super) workspace: CudaSlice<u8>,
    row_global_scales: (usize, usize),
    column_global_scales: (usize, usize),
    scale_layout: ScaleLayout,
    e4m3_max: E4m3Max,
}

impl Quantizer {
    /// Memory for what a quantization writes.
    pub(super) fn allocate_outputs(
        &self,
        stream: &Arc<CudaStream>,
    ) -> Result<DeviceQuantized, DeviceError> {
        let layout = self.config().scale_layout();
        let tensor = |[rows, cols]: [usize; 2]| {
            let codes = memory::allocate(stream, rows * cols / 2)?;
            let scales = memory::allocate(stream, layout.bytes(rows, cols))?;
            Ok::<_, DeviceError>(DeviceTensor { codes, scales, shape: [rows, cols] })
        };
        let [rows, cols] = self.shape();
        let outputs = self.config().outputs();
        Ok(DeviceQuantized {
            rowwise: outputs.rowwise().then(|| tensor([rows, cols])).transpose()?,
            columnwise: outputs.columnwise().then(|| tensor([cols, rows])).transpose()?,
            workspace: memory::zeroed(stream, self.workspace_bytes())?,
            row_global_scales: self.row_global_scales(),
            column_global_scales: self.column_global_scales(),
            scale_layout: layout,
            e4m3_max: self.config().rule().e4m3_max(),
        })
    }

    /// [`Quantizer::launch`] on slices, checked.
    pub(super) fn quantize_slices<T: Element>(
        &self,
        stream: &Arc<CudaStream>,
        input: &impl DevicePtr<T>,
        amax: Option<DeviceAmax<'_>>,
        out: &mut DeviceQuantized,
    ) -> Result<(), Error> {
        let [rows, cols] = self.shape();
        if T::TYPE != self.input_type() {
            return Err(DeviceError::ElementType { prepared: self.input_type() }.into());
        }
        expect_length("the input", input.len(), rows * cols)?;
        self.check_buffers(stream, input.stream(), out)?;
        let amax = self.check_amax(amax)?;

        let row_amax = amax.map(|amax| amax.rows.device_ptr(stream));
        let column_amax = amax.and_then(|amax| amax.columns).map(|it| it.device_ptr(stream));
        let (input, _read) = input.device_ptr(stream);
        let (workspace, _used) = out.workspace.device_ptr_mut(stream);
        let mut addresses = QuantizeAddresses {
            input,
            workspace,
            row_amax: row_amax.as_ref().map_or(0, |(address, _)| *address),
            column_amax: column_amax.as_ref().map_or(0, |(address, _)| *address),
            ..QuantizeAddresses::default()
        };
        let mut written = Vec::new();
        let parts = [
            (&mut out.rowwise, &mut addresses.rowwise),
            (&mut out.columnwise, &mut addresses.columnwise),
        ];
        for (tensor, addresses) in parts {
            if let Some(tensor) = tensor {
                let (codes, codes_written) = tensor.codes.device_ptr_mut(stream);
                let (scales, scales_written) = tensor.scales.device_ptr_mut(stream);
                *addresses = OutputAddresses { codes, scales };
                written.extend([codes_written, scales_written]);
            }
        }
        // SAFETY: the slices have the lengths and the context that the launch needs (checked
        // above), are borrowed for it, and cudarc orders their other uses with it.
        unsafe { self.enqueue(&addresses, stream.cu_stream()) }
    }

    fn check_buffers(
        &self,
        stream: &CudaStream,
        input: &CudaStream,
        out: &DeviceQuantized,
    ) -> Result<(), Error> {
        let config = self.config();
        let [rows, cols] = self.shape();
        let outputs = config.outputs();
        if out.rowwise.is_some() != outputs.rowwise()
            || out.columnwise.is_some() != outputs.columnwise()
        {
            return Err(Error::Outputs { configured: outputs, passed: "tensors of other outputs" });
        }
        let parts = [(&out.rowwise, [rows, cols]), (&out.columnwise, [cols, rows])];
        for (tensor, [rows, cols]) in parts {
            let Some(tensor) = tensor else { continue };
            expect_length("the code buffer", tensor.codes.len(), (rows * cols / 2).max(1))?;
            let bytes = config.scale_layout().bytes(rows, cols);
            expect_length("the scale buffer", tensor.scales.len(), bytes.max(1))?;
        }
        expect_length("the workspace", out.workspace.len(), self.workspace_bytes())?;
        let context = self.device().cuda_context().cu_ctx();
        let buffers = [("the stream", stream), ("the input", input)];
        let outputs = [("the output", out.workspace.stream().as_ref())];
        for (buffer, stream) in buffers.into_iter().chain(outputs) {
            if stream.context().cu_ctx() != context {
                return Err(DeviceError::OtherContext { buffer }.into());
            }
        }
        Ok(())
    }

    fn check_amax<'a>(
        &self,
        amax: Option<DeviceAmax<'a>>,
    ) -> Result<Option<DeviceAmax<'a>>, Error> {
        if self.amax_source() != AmaxSource::Supplied {
            return match amax {
                None => Ok(None),
                Some(_) => Err(Error::AmaxKind { expected: "none, as was prepared" }),
            };
        }
        let amax = amax.ok_or(Error::AmaxKind { expected: "one, as was prepared" })?;
        let [rows, columns] = self.global_scale_counts();
        if rows > 0 {
            expect_length("the supplied row amax", amax.rows.len(), rows)?;
        }
        if columns > 0 {
            let slice = amax.columns;
            let slice = slice.ok_or(Error::AmaxKind { expected: "one for each row and column" })?;
            expect_length("the supplied column amax", slice.len(), columns)?;
        }
        let context = self.device().cuda_context().cu_ctx();
        let slices = [Some(amax.rows), amax.columns];
        if slices.into_iter().flatten().any(|slice| slice.context().cu_ctx() != context) {
            return Err(DeviceError::OtherContext { buffer: "the supplied amax" }.into());
        }
        Ok(Some(amax))
    }
}

/// A supplied global amax in device memory.
#[derive(Clone, Copy, Debug)]
pub struct DeviceAmax<'a> {
    /// One for the tensor, or one for each row. Not looked at with row scaling and only columnwise
    /// output.
    pub rows: &'a CudaSlice<f32>,
    /// With row scaling and columnwise output one for each column.
    pub columns: Option<&'a CudaSlice<f32>>,
}

impl fmt::Debug for DeviceQuantized {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DeviceQuantized")
            .field("rowwise", &self.rowwise)
            .field("columnwise", &self.columnwise)
            .field("scale_layout", &self.scale_layout)
            .field("e4m3_max", &self.e4m3_max)
            .field("workspace_bytes", &self.workspace.len())
            .finish_non_exhaustive()
    }
}

impl DeviceQuantized {
    /// The quantization of the input, where configured.
    #[must_use]
    pub fn rowwise(&self) -> Option<&DeviceTensor> {
        self.rowwise.as_ref()
    }

    /// That of its transpose, where configured.
    #[must_use]
    pub fn columnwise(&self) -> Option<&DeviceTensor> {
        self.columnwise.as_ref()
    }

    /// Copies the tensors to host memory and waits for them.
    ///
    /// # Errors
    /// [`Error::Device`] when the driver fails, earlier work on the stream included.
    pub fn to_host(&self, stream: &Arc<CudaStream>) -> Result<Quantized, Error> {
        let mut workspace = vec![0u32; self.workspace.len() / 4];
        memory::download(stream, &self.workspace, &mut workspace)?;
        let fetch = |tensor: &DeviceTensor, (offset, count): (usize, usize)| {
            let [rows, cols] = tensor.shape;
            let mut codes = vec![0u8; rows * cols / 2];
            memory::download(stream, &tensor.codes, &mut codes)?;
            let mut scales = vec![0u8; self.scale_layout.bytes(rows, cols)];
            memory::download(stream, &tensor.scales, &mut scales)?;
            let words = &workspace[offset / 4..][..count * size_of::<GlobalScale>() / 4];
            let amax = words.iter().step_by(4).map(|bits| f32::from_bits(*bits)).collect();
            let (layout, bound) = (self.scale_layout, self.e4m3_max);
            Ok::<_, Error>(Nvfp4Tensor::from_parts(
                codes,
                scales,
                amax,
                [rows, cols],
                layout,
                bound,
            )?)
        };
        let rowwise = self.rowwise.as_ref().map(|it| fetch(it, self.row_global_scales));
        let columnwise = self.columnwise.as_ref().map(|it| fetch(it, self.column_global_scales));
        Ok(Quantized { rowwise: rowwise.transpose()?, columnwise: columnwise.transpose()? })
    }
}
