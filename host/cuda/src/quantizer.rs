//! Quantization prepared: everything that can be checked and loaded before the first launch is.

use cudarc::driver::sys;
use fouroversix_core::abi::{QuantizeParams, TrainingParams, TransformAmaxParams};
use fouroversix_core::{Config, Error, InputType, RandomState, launch};

use super::address::QuantizeAddresses;
use super::device::Device;
use super::error::DeviceError;
use super::kernel::KernelInfo;
use super::launch::{CopyKernel, Launch};
use super::raw::RawStream;
use super::setup::{AmaxSource, AmaxStep, QuantizeSetup};

/// A quantization prepared for one configuration, input type and shape.
///
/// Preparing checks the shape, chooses and loads the kernels. A launch then allocates nothing, does
/// not wait for the device and may be captured in a CUDA graph.
#[derive(Clone, Debug)]
pub struct Quantizer {
    device: Device,
    setup: QuantizeSetup,
    amax: Vec<(AmaxStep, Launch<TransformAmaxParams>)>,
    quantize: Option<Launch<TrainingParams>>,
}

impl Device {
    /// Prepares quantizations of `[rows, cols]` tensors with elements of type `input`.
    ///
    /// # Errors
    /// [`ShapeError::Dimension`](fouroversix_core::ShapeError::Dimension) when the shape does not suit the configuration (see
    /// `fouroversix::quantize`); [`Error::Device`] when it is too large for one launch, the build
    /// lacks the kernel or the driver fails to load it.
    pub fn quantizer(
        &self,
        config: &Config,
        input: InputType,
        shape: [usize; 2],
        source: AmaxSource,
    ) -> Result<Quantizer, Error> {
        Quantizer::new(self, QuantizeSetup::new(config, input, shape, source)?)
    }
}

impl Quantizer {
    fn new(device: &Device, setup: QuantizeSetup) -> Result<Self, Error> {
        let multiprocessors = device.info().multiprocessors;
        let amax = setup.amax_launches(multiprocessors).map_err(DeviceError::from)?.into_iter();
        let amax = amax.map(|(step, launch)| Ok((step, Launch::new(device, &launch)?)));
        let amax = amax.collect::<Result<_, DeviceError>>()?;
        let quantize = setup.quantize_launch().map_err(DeviceError::from)?;
        let quantize = quantize.map(|launch| Launch::new(device, &launch)).transpose()?;
        Ok(Self { device: device.clone(), setup, amax, quantize })
    }

    /// What was prepared for.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.setup.config
    }

    /// The element type of the input.
    #[must_use]
    pub fn input_type(&self) -> InputType {
        self.setup.input
    }

    /// `[rows, cols]` of the input in elements.
    #[must_use]
    pub fn shape(&self) -> [usize; 2] {
        self.setup.shape
    }

    /// Where the global amax comes from.
    #[must_use]
    pub fn amax_source(&self) -> AmaxSource {
        self.setup.source
    }

    /// Bytes of workspace that a launch needs. They must be zero before the first launch that uses
    /// them, and no two launches that use the same ones may overlap.
    #[must_use]
    pub fn workspace_bytes(&self) -> usize {
        self.setup.workspace.bytes()
    }

    /// Offset into the workspace of the global scales of the rowwise output (one, or with row
    /// scaling one for each row), and their number. Each is 16 bytes: amax, S_enc, S_dec as FP32,
    /// and a value of the kernels' own. Of a quantizer with one amax for the tensor this is the
    /// columnwise output's too.
    #[must_use]
    pub fn row_global_scales(&self) -> (usize, usize) {
        self.setup.row_global_scales()
    }

    /// As [`Quantizer::row_global_scales`], of the columnwise output.
    #[must_use]
    pub fn column_global_scales(&self) -> (usize, usize) {
        self.setup.column_global_scales()
    }

    /// Draws the random bytes of later launches from another state, where rounding is stochastic. Count the
    /// offset up from one launch to the next; or give its address,
    /// [`QuantizeAddresses::random_state`].
    pub fn set_random_state(&mut self, state: RandomState) {
        self.setup.set_random_state(state);
    }

    /// Numbers of global scales of the rowwise output (or the tensor) and, where it has its own,
    /// the columnwise output.
    pub(super) fn global_scale_counts(&self) -> [usize; 2] {
        [self.setup.workspace.rows, self.setup.workspace.columns]
    }

    pub(super) const fn setup(&self) -> &QuantizeSetup {
        &self.setup
    }

    /// The device that was prepared for.
    #[must_use]
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// Enqueues the quantization on `stream`.
    ///
    /// Codes, scales and global amax are those of `fouroversix::quantize`, bit for bit, the padding
    /// of swizzled scales zero. Does not allocate, does not wait, may be captured. An empty tensor
    /// enqueues nothing.
    ///
    /// # Errors
    /// [`Error::Device`]: an address null or misaligned where it must not be, or a failure of the
    /// driver.
    ///
    /// # Safety
    /// The addresses must be those of live memory of the device with the lengths that
    /// [`QuantizeAddresses`] states, and stay so until the work is done; what is written must not
    /// be touched by other work that may run at the same time. `stream` must be a stream of the
    /// device's context ([`RawStream::DEFAULT`] for the default one).
    pub unsafe fn launch(
        &self,
        at: &QuantizeAddresses,
        stream: impl Into<RawStream>,
    ) -> Result<(), Error> {
        // SAFETY: the caller's promise.
        unsafe { self.enqueue(at, stream.into().handle()) }
    }

    /// # Safety
    /// As [`Quantizer::launch`].
    pub(super) unsafe fn enqueue(
        &self,
        at: &QuantizeAddresses,
        stream: sys::CUstream,
    ) -> Result<(), Error> {
        // SAFETY: the caller's promise.
        unsafe {
            self.enqueue_amax(at, stream)?;
            self.enqueue_quantize(at, stream)
        }
    }

    /// # Safety
    /// As [`Quantizer::launch_amax`].
    unsafe fn enqueue_amax(
        &self,
        at: &QuantizeAddresses,
        stream: sys::CUstream,
    ) -> Result<(), Error> {
        for (step, launch) in &self.amax {
            let params = self.setup.amax_params(*step, at)?;
            // SAFETY: the kernel's parameter is `TransformAmaxParams` or its first field; the rest is the
            // caller's promise.
            unsafe { launch.enqueue(&params, stream)? };
        }
        Ok(())
    }

    /// # Safety
    /// As [`Quantizer::launch_quantize`].
    unsafe fn enqueue_quantize(
        &self,
        at: &QuantizeAddresses,
        stream: sys::CUstream,
    ) -> Result<(), Error> {
        let Some(launch) = &self.quantize else { return Ok(()) };
        let params = self.setup.quantize_params(at)?;
        // SAFETY: the kernel's parameter is `TrainingParams` or its first field; the rest is the caller's
        // promise.
        unsafe { launch.enqueue(&params, stream) }.map_err(Error::from)
    }

    /// The first part of [`Quantizer::launch`]: the passes that leave global scales in the
    /// workspace. Nothing when the amax comes from the workspace or is found in the same pass.
    ///
    /// # Errors
    /// As [`Quantizer::launch`].
    ///
    /// # Safety
    /// As [`Quantizer::launch`]; the outputs are not touched.
    pub unsafe fn launch_amax(
        &self,
        at: &QuantizeAddresses,
        stream: impl Into<RawStream>,
    ) -> Result<(), Error> {
        // SAFETY: the caller's promise.
        unsafe { self.enqueue_amax(at, stream.into().handle()) }
    }

    /// The second part of [`Quantizer::launch`].
    ///
    /// # Errors
    /// As [`Quantizer::launch`].
    ///
    /// # Safety
    /// As [`Quantizer::launch`]; and the workspace must hold what [`Quantizer::launch_amax`] leaves.
    pub unsafe fn launch_quantize(
        &self,
        at: &QuantizeAddresses,
        stream: impl Into<RawStream>,
    ) -> Result<(), Error> {
        // SAFETY: the caller's promise.
        unsafe { self.enqueue_quantize(at, stream.into().handle()) }
    }

    /// The kernel that does the loads and stores of the quantize kernel and nothing else.
    pub fn copy_kernel(&self) -> Result<CopyKernel<QuantizeParams>, Error> {
        let geometry =
            launch::copy_quantize(self.setup.input, self.setup.shape).map_err(DeviceError::from)?;
        Ok(CopyKernel(Launch::new(&self.device, &geometry)?))
    }

    /// Enqueues a copy kernel where the quantization would be.
    ///
    /// # Safety
    /// As [`Quantizer::launch`].
    pub unsafe fn launch_copy(
        &self,
        copy: &CopyKernel<QuantizeParams>,
        at: &QuantizeAddresses,
        stream: impl Into<RawStream>,
    ) -> Result<(), Error> {
        let params = self.setup.copy_params(at)?;
        // SAFETY: the kernel's parameter is `QuantizeParams`; the rest is the caller's promise.
        unsafe { copy.0.enqueue(&params, stream.into().handle()) }.map_err(Error::from)
    }

    /// What the driver's compiler made of the kernels: names, registers, bytes of stack.
    #[must_use]
    pub fn kernels(&self) -> Vec<KernelInfo> {
        let amax = self.amax.iter().map(|(_, launch)| launch.info());
        amax.chain(self.quantize.iter().map(Launch::info)).collect()
    }
}
