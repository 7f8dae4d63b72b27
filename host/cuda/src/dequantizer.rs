//! Dequantization prepared.

use std::sync::Arc;

use cudarc::driver::{CudaStream, sys};
use fouroversix_core::abi::{DequantizeParams, Divisor, E4M3_MAX_256, ROW_SCALED, SWIZZLED};
use fouroversix_core::launch::{self, Launch as Geometry, LaunchError};
use fouroversix_core::shape::{check_dimension, expect_length};
use fouroversix_core::{
    E4m3Max, Element, Error, InputType, Nvfp4Tensor, Nvfp4View, ScaleLayout, named,
};

use super::address::{ALIGNMENT, DeviceAddress, WORD, needed, optional};
use super::device::Device;
use super::error::DeviceError;
use super::kernel::KernelInfo;
use super::launch::{CopyKernel, Launch};
use super::memory::{self, Elements};
use super::raw::RawStream;

/// How the global amax lies in device memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AmaxLayout {
    /// One FP32 for the tensor.
    Tensor,
    /// One FP32 for each row.
    Rows,
    /// One global scale for the tensor, as [`super::Quantizer::row_global_scales`] has it.
    TensorGlobalScale,
    /// One global scale for each row.
    RowGlobalScales,
}

named!(AmaxLayout, "layout of the amax", [Tensor, Rows, TensorGlobalScale, RowGlobalScales]);

impl AmaxLayout {
    /// `tensor`, `rows`, `tensor-global-scale` or `row-global-scales`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tensor => "tensor",
            Self::Rows => "rows",
            Self::TensorGlobalScale => "tensor-global-scale",
            Self::RowGlobalScales => "row-global-scales",
        }
    }

    const fn by_row(self) -> bool {
        matches!(self, Self::Rows | Self::RowGlobalScales)
    }

    /// Distance between amaxes in FP32 words.
    const fn stride(self) -> u32 {
        match self {
            Self::Tensor | Self::Rows => 1,
            Self::TensorGlobalScale | Self::RowGlobalScales => 4,
        }
    }
}

/// What a dequantization is prepared for, its shape aside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct DequantizeConfig {
    /// The element type written.
    pub output: InputType,
    /// The bound that the global scale was made with.
    pub e4m3_max: E4m3Max,
    /// How block scales lie. Default: [`ScaleLayout::Linear`].
    pub scale_layout: ScaleLayout,
    /// How the global amax lies. Default: [`AmaxLayout::Tensor`].
    pub amax_layout: AmaxLayout,
}

impl DequantizeConfig {
    /// To elements of type `output`, from tensors quantized with the bound `e4m3_max`, with linear
    /// scales and one amax.
    #[must_use]
    pub const fn new(output: InputType, e4m3_max: E4m3Max) -> Self {
        let (scale_layout, amax_layout) = (ScaleLayout::Linear, AmaxLayout::Tensor);
        Self { output, e4m3_max, scale_layout, amax_layout }
    }

    /// The same with another layout of block scales.
    #[must_use]
    pub const fn with_scale_layout(self, scale_layout: ScaleLayout) -> Self {
        Self { scale_layout, ..self }
    }

    /// The same with another layout of the global amax.
    #[must_use]
    pub const fn with_amax_layout(self, amax_layout: AmaxLayout) -> Self {
        Self { amax_layout, ..self }
    }
}

/// The device memory of one dequantization.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DequantizeAddresses {
    /// E2M1 codes, `[rows, cols/2]` bytes, 16-byte aligned.
    pub codes: DeviceAddress,
    /// E4M3 block scales, 16-byte aligned.
    pub scales: DeviceAddress,
    /// The global amax, laid out as was prepared for: 4-byte aligned.
    pub amax: DeviceAddress,
    /// `[rows, cols]` elements, row-major, 16-byte aligned. Written.
    pub output: DeviceAddress,
    /// A `u32`, 4-byte aligned, or null. When it is not zero as the launch runs, nothing is written.
    pub skip: DeviceAddress,
}

/// A dequantization prepared for one output type, layout and shape.
#[derive(Clone, Debug)]
pub struct Dequantizer {
    setup: DequantizeSetup,
    launch: Option<Launch<DequantizeParams>>,
}

/// What a dequantization needs, worked out without a device.
#[derive(Clone, Copy, Debug)]
pub(super) struct DequantizeSetup {
    output: InputType,
    shape: [usize; 2],
    params: DequantizeParams,
}

impl DequantizeSetup {
    pub(super) fn new(config: &DequantizeConfig, shape: [usize; 2]) -> Result<Self, Error> {
        let DequantizeConfig { output, e4m3_max, scale_layout, amax_layout: amax } = *config;
        let [rows, cols] = shape;
        check_dimension("columns", cols)?;
        // Refuses what 32 bits do not hold.
        launch::dequantize(output, shape).map_err(DeviceError::from)?;
        let params = DequantizeParams {
            rows: rows as u32,
            cols: cols as u32,
            by_blocks: Divisor::new(cols as u32 / 16),
            flags: flags(scale_layout, e4m3_max, amax),
            ..DequantizeParams::default()
        };
        Ok(Self { output, shape, params })
    }

    /// The launch, unless the tensor is empty.
    pub(super) fn launch(&self) -> Result<Option<Geometry>, LaunchError> {
        if self.shape.contains(&0) {
            return Ok(None);
        }
        launch::dequantize(self.output, self.shape).map(Some)
    }

    pub(super) fn params(&self, at: &DequantizeAddresses) -> Result<DequantizeParams, DeviceError> {
        needed("the codes", at.codes, ALIGNMENT)?;
        needed("the scales", at.scales, ALIGNMENT)?;
        needed("the global amax", at.amax, WORD)?;
        needed("the output", at.output, ALIGNMENT)?;
        optional("the skip flag", at.skip, WORD)?;
        Ok(DequantizeParams {
            codes: at.codes,
            scales: at.scales,
            amax: at.amax,
            output: at.output,
            skip: at.skip,
            ..self.params
        })
    }
}

impl Device {
    /// Prepares dequantizations of `[rows, cols]` tensors.
    ///
    /// # Errors
    /// [`ShapeError::Dimension`](fouroversix_core::ShapeError::Dimension) when `cols` is not a multiple of 16; [`Error::Device`] when the shape
    /// is too large for one launch, the build lacks the kernel or the driver fails to load it.
    pub fn dequantizer(
        &self,
        config: &DequantizeConfig,
        shape: [usize; 2],
    ) -> Result<Dequantizer, Error> {
        let setup = DequantizeSetup::new(config, shape)?;
        let launch = setup
            .launch()
            .map_err(DeviceError::from)?
            .map(|launch| Launch::new(self, &launch))
            .transpose()?;
        Ok(Dequantizer { setup, launch })
    }

    /// Dequantizes a tensor in host memory: `fouroversix::dequantize`, bit for bit.
    ///
    /// # Errors
    /// As [`Device::dequantizer`]; and [`Error::Device`] when the device has no room for both.
    pub fn dequantize<T: Element>(&self, tensor: &Nvfp4Tensor) -> Result<Vec<T>, Error> {
        let [rows, cols] = tensor.shape();
        let mut output = vec![T::from_f32(0.0); rows * cols];
        self.dequantize_into(tensor.view(), &mut output)?;
        Ok(output)
    }

    /// [`Device::dequantize`] into the caller's buffer of `rows·cols` elements.
    ///
    /// # Errors
    /// As [`Device::dequantize`]; and as `fouroversix::dequantize_into`.
    pub fn dequantize_into<T: Element>(
        &self,
        tensor: Nvfp4View<'_>,
        output: &mut [T],
    ) -> Result<(), Error> {
        tensor.check()?;
        let Nvfp4View { codes, scales, global_amax, shape, scale_layout, e4m3_max } = tensor;
        expect_length("the output", output.len(), shape[0] * shape[1])?;
        let layout = if global_amax.len() == 1 { AmaxLayout::Tensor } else { AmaxLayout::Rows };
        let config = DequantizeConfig::new(T::TYPE, e4m3_max)
            .with_scale_layout(scale_layout)
            .with_amax_layout(layout);
        let dequantizer = self.dequantizer(&config, shape)?;
        if output.is_empty() {
            return Ok(());
        }
        let stream = self.new_stream()?;
        let codes = uploaded(&stream, codes)?;
        let scales = uploaded(&stream, scales)?;
        let amax = uploaded(&stream, global_amax)?;
        let result = memory::allocate(&stream, size_of_val(output))?;
        let addresses = DequantizeAddresses {
            codes: memory::address(&codes, &stream),
            scales: memory::address(&scales, &stream),
            amax: memory::address(&amax, &stream),
            output: memory::address(&result, &stream),
            skip: 0,
        };
        // SAFETY: the buffers have the lengths that the shape asks for, and are of this stream, on
        // which they are freed after the launch.
        unsafe { dequantizer.enqueue(&addresses, stream.cu_stream())? };
        Ok(memory::download(&stream, &result, Elements::of_mut(output))?)
    }
}

impl Dequantizer {
    /// Enqueues the dequantization on `stream`.
    ///
    /// Writes what `fouroversix::dequantize` gives, bit for bit (for NaN some NaN). Does not
    /// allocate, does not wait, may be captured. An empty tensor enqueues nothing.
    ///
    /// # Errors
    /// [`Error::Device`]: an address null or misaligned, or a failure of the driver.
    ///
    /// # Safety
    /// As [`super::Quantizer::launch`], with [`DequantizeAddresses`].
    pub unsafe fn launch(
        &self,
        at: &DequantizeAddresses,
        stream: impl Into<RawStream>,
    ) -> Result<(), Error> {
        // SAFETY: the caller's promise.
        unsafe { self.enqueue(at, stream.into().handle()) }
    }

    /// # Safety
    /// As [`Dequantizer::launch`].
    unsafe fn enqueue(&self, at: &DequantizeAddresses, stream: sys::CUstream) -> Result<(), Error> {
        let Some(launch) = &self.launch else { return Ok(()) };
        let params = self.setup.params(at)?;
        // SAFETY: the kernel's parameter is `DequantizeParams`; the rest is the caller's promise.
        unsafe { launch.enqueue(&params, stream) }.map_err(Error::from)
    }

    /// The kernel that does the loads and stores of the dequantize kernel and nothing else.
    pub fn copy_kernel(&self, device: &Device) -> Result<CopyKernel<DequantizeParams>, Error> {
        let launch = launch::copy_dequantize(self.setup.output, self.setup.shape)
            .map_err(DeviceError::from)?;
        Ok(CopyKernel(Launch::new(device, &launch)?))
    }

    /// Enqueues a copy kernel where the dequantization would be.
    ///
    /// # Safety
    /// As [`Dequantizer::launch`].
    pub unsafe fn launch_copy(
        &self,
        copy: &CopyKernel<DequantizeParams>,
        at: &DequantizeAddresses,
        stream: impl Into<RawStream>,
    ) -> Result<(), Error> {
        let params = self.setup.params(at)?;
        // SAFETY: the kernel's parameter is `DequantizeParams`; the rest is the caller's promise.
        unsafe { copy.0.enqueue(&params, stream.into().handle()) }.map_err(Error::from)
    }

    /// What the driver's compiler made of the kernel.
    #[must_use]
    pub fn kernels(&self) -> Vec<KernelInfo> {
        self.launch.iter().map(Launch::info).collect()
    }
}

fn flags(layout: ScaleLayout, bound: E4m3Max, amax: AmaxLayout) -> u32 {
    let mut flags = amax.stride() << 16;
    if layout == ScaleLayout::Swizzled128x4 {
        flags |= SWIZZLED;
    }
    if bound == E4m3Max::M256 {
        flags |= E4M3_MAX_256;
    }
    if amax.by_row() {
        flags |= ROW_SCALED;
    }
    flags
}

fn uploaded<T: memory::Plain>(
    stream: &Arc<CudaStream>,
    from: &[T],
) -> Result<cudarc::driver::CudaSlice<u8>, DeviceError> {
    let mut to = memory::allocate(stream, size_of_val(from))?;
    memory::upload(stream, from, &mut to)?;
    Ok(to)
}

#[cfg(test)]
mod tests {
    use super::AmaxLayout;
    use crate::AmaxSource;

    #[test]
    fn names_read_back() {
        assert!(AmaxLayout::ALL.iter().all(|it| it.to_string().parse() == Ok(*it)));
        assert!(AmaxSource::ALL.iter().all(|it| it.to_string().parse() == Ok(*it)));
        assert!("nonsense".parse::<AmaxSource>().is_err());
    }
}
