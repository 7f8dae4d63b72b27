//! Quantization prepared: everything that can be checked and loaded before the first launch is.

use cudarc::driver::sys;
use fouroversix_kernels::abi::{
    AmaxParams, E4M3_MAX_256, GlobalScale, QuantizeParams, QuantizeTensor,
};
use fouroversix_kernels::config::{Config, InputType, Outputs, Scaling};

use super::address::{ALIGNMENT, OutputAddresses, QuantizeAddresses, WORD, needed, optional};
use super::device::Device;
use super::error::DeviceError;
#[cfg(feature = "cli")]
use super::kernel::CopyKernel;
use super::kernel::{KernelInfo, Launch};
use super::launch::{self, Geometry, SKIPPABLE};
use crate::cpu::check_shape;
use crate::error::Error;

/// Where the global amax of a quantization comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AmaxSource {
    /// The input. With row scaling and rowwise output in the same pass over it as the
    /// quantization, otherwise in a pass before.
    Input,
    /// FP32 values in device memory, used as they are. NaN or a negative value gives codes and
    /// scales without meaning.
    Supplied,
    /// The workspace, where an earlier launch left it: one of a quantizer with the same scaling,
    /// [`crate::E4m3Max`] and shape.
    Workspace,
}

/// A quantization prepared for one configuration, input type and shape.
///
/// Preparing checks the shape, chooses and loads the kernels. A launch then allocates nothing, does
/// not wait for the device and may be captured in a CUDA graph.
#[derive(Clone, Debug)]
pub struct Quantizer {
    device: Device,
    config: Config,
    input: InputType,
    shape: [usize; 2],
    source: AmaxSource,
    tensor: QuantizeTensor,
    flags: u32,
    workspace: Workspace,
    amax: Vec<(AmaxStep, Launch<AmaxParams>)>,
    quantize: Option<Launch<QuantizeParams>>,
}

/// What a launch of an amax kernel reads and writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum AmaxStep {
    /// The input's amax or amaxes, to the rowwise global scales.
    Input,
    /// The input's columns' amaxes, to the columnwise global scales.
    InputColumns,
    /// The supplied amax or amaxes, to the rowwise global scales.
    Supplied,
    /// The supplied columns' amaxes, to the columnwise global scales.
    SuppliedColumns,
}

/// How the workspace is laid out: 16 bytes of counters, then global scales.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Workspace {
    /// Global scales of the rowwise output, or of the tensor.
    rows: usize,
    /// Global scales of the columnwise output where it has its own.
    columns: usize,
}

impl Workspace {
    const COUNTERS: usize = 16;

    fn new(config: &Config, [rows, cols]: [usize; 2]) -> Self {
        if config.scaling() != Scaling::Row {
            return Self { rows: 1, columns: 0 };
        }
        let outputs = config.outputs();
        Self {
            rows: if outputs.rowwise() { rows } else { 0 },
            columns: if outputs.columnwise() { cols } else { 0 },
        }
    }

    const fn bytes(self) -> usize {
        Self::COUNTERS + (self.rows + self.columns) * size_of::<GlobalScale>()
    }

    const fn columns_offset(self) -> usize {
        if self.columns == 0 {
            return Self::COUNTERS;
        }
        Self::COUNTERS + self.rows * size_of::<GlobalScale>()
    }
}

impl Device {
    /// Prepares quantizations of `[rows, cols]` tensors with elements of type `input`.
    ///
    /// # Errors
    /// [`Error::Dimension`] when the shape does not suit the configuration (see
    /// [`crate::quantize()`]); [`Error::Device`] when it is too large for one launch, the build
    /// lacks the kernel or the driver fails to load it.
    pub fn quantizer(
        &self,
        config: &Config,
        input: InputType,
        shape: [usize; 2],
        source: AmaxSource,
    ) -> Result<Quantizer, Error> {
        Quantizer::new(self, config, input, shape, source)
    }
}

impl Quantizer {
    fn new(
        device: &Device,
        config: &Config,
        input: InputType,
        shape: [usize; 2],
        source: AmaxSource,
    ) -> Result<Self, Error> {
        let [rows, cols] = shape;
        check_shape(rows.saturating_mul(cols), shape, config)?;
        let mut this = Self {
            device: device.clone(),
            config: *config,
            input,
            shape,
            source,
            tensor: QuantizeTensor::default(),
            flags: launch::quantize_flags(config),
            workspace: Workspace::new(config, shape),
            amax: Vec::new(),
            quantize: None,
        };
        if rows == 0 || cols == 0 {
            return Ok(this);
        }
        this.tensor = launch::tensor(shape)?;
        let one_pass = source == AmaxSource::Input
            && config.scaling() == Scaling::Row
            && config.outputs() == Outputs::Rowwise;
        if !one_pass {
            for step in this.amax_steps() {
                let geometry = this.amax_geometry(step)?;
                this.amax.push((step, Launch::new(device, &geometry)?));
            }
        }
        let geometry = if one_pass {
            launch::quantize_rows(config, input, shape)
        } else {
            launch::quantize(config, input, shape)
        };
        this.quantize = Some(Launch::new(device, &geometry?)?);
        Ok(this)
    }

    /// The amax launches that come before the quantization, unless it is done in one pass.
    fn amax_steps(&self) -> Vec<AmaxStep> {
        let (rows, columns) = match self.source {
            AmaxSource::Input => (AmaxStep::Input, AmaxStep::InputColumns),
            AmaxSource::Supplied => (AmaxStep::Supplied, AmaxStep::SuppliedColumns),
            AmaxSource::Workspace => return Vec::new(),
        };
        let Workspace { rows: row_count, columns: column_count } = self.workspace;
        let steps = [(row_count, rows), (column_count, columns)];
        steps.into_iter().filter(|(count, _)| *count > 0).map(|(_, step)| step).collect()
    }

    fn amax_geometry(&self, step: AmaxStep) -> Result<Geometry, DeviceError> {
        let by_row = self.config.scaling() == Scaling::Row;
        Ok(match step {
            AmaxStep::Input if by_row => launch::amax_rows(self.input, self.shape)?,
            AmaxStep::Input => launch::amax(self.input, self.shape)?,
            AmaxStep::InputColumns => launch::amax_columns(self.input, self.shape)?,
            AmaxStep::Supplied => launch::global_scales(self.workspace.rows)?,
            AmaxStep::SuppliedColumns => launch::global_scales(self.workspace.columns)?,
        })
    }

    /// What was prepared for.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The element type of the input.
    #[must_use]
    pub fn input_type(&self) -> InputType {
        self.input
    }

    /// `[rows, cols]` of the input in elements.
    #[must_use]
    pub fn shape(&self) -> [usize; 2] {
        self.shape
    }

    /// Where the global amax comes from.
    #[must_use]
    pub fn amax_source(&self) -> AmaxSource {
        self.source
    }

    /// Bytes of workspace that a launch needs. They must be zero before the first launch that uses
    /// them, and no two launches that use the same ones may overlap.
    #[must_use]
    pub fn workspace_bytes(&self) -> usize {
        self.workspace.bytes()
    }

    /// Offset into the workspace of the global scales of the rowwise output (one, or with row
    /// scaling one for each row), and their number. Each is 16 bytes: amax, S_enc, S_dec as FP32,
    /// and a value of the kernels' own. Of a quantizer with one amax for the tensor this is the
    /// columnwise output's too.
    #[must_use]
    pub fn row_global_scales(&self) -> (usize, usize) {
        (Workspace::COUNTERS, self.workspace.rows)
    }

    /// As [`Quantizer::row_global_scales`], of the columnwise output.
    #[must_use]
    pub fn column_global_scales(&self) -> (usize, usize) {
        match self.workspace.columns {
            0 => self.row_global_scales(),
            columns => (self.workspace.columns_offset(), columns),
        }
    }

    /// Numbers of global scales of the rowwise output (or the tensor) and, where it has its own,
    /// the columnwise output.
    pub(super) fn global_scale_counts(&self) -> [usize; 2] {
        [self.workspace.rows, self.workspace.columns]
    }

    /// The device that was prepared for.
    #[must_use]
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// Enqueues the quantization on `stream`.
    ///
    /// Codes, scales and global amax are those of [`crate::quantize()`], bit for bit, the padding
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
    /// device's context (null for the default stream).
    pub unsafe fn launch(
        &self,
        at: &QuantizeAddresses,
        stream: sys::CUstream,
    ) -> Result<(), Error> {
        // SAFETY: the caller's promise.
        unsafe {
            self.launch_amax(at, stream)?;
            self.launch_quantize(at, stream)
        }
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
        stream: sys::CUstream,
    ) -> Result<(), Error> {
        if self.amax.is_empty() {
            return Ok(());
        }
        optional("the skip flag", at.skip, WORD)?;
        needed("the workspace", at.workspace, ALIGNMENT)?;
        for (step, launch) in &self.amax {
            let params = self.amax_params(*step, at)?;
            // SAFETY: the kernel's parameter is `AmaxParams`; the rest is the caller's promise.
            unsafe { launch.enqueue(&params, stream)? };
        }
        Ok(())
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
        stream: sys::CUstream,
    ) -> Result<(), Error> {
        let Some(launch) = &self.quantize else { return Ok(()) };
        let params = self.quantize_params(at)?;
        // SAFETY: the kernel's parameter is `QuantizeParams`; the rest is the caller's promise.
        unsafe { launch.enqueue(&params, stream) }.map_err(Error::from)
    }

    fn quantize_params(&self, at: &QuantizeAddresses) -> Result<QuantizeParams, DeviceError> {
        optional("the skip flag", at.skip, WORD)?;
        Ok(QuantizeParams {
            tensor: self.tensor(at)?,
            skip: at.skip,
            flags: self.flags | if at.skip == 0 { 0 } else { SKIPPABLE },
            ..QuantizeParams::default()
        })
    }

    /// The tensor of a launch, its addresses checked.
    pub(super) fn tensor(&self, at: &QuantizeAddresses) -> Result<QuantizeTensor, DeviceError> {
        let outputs = self.config.outputs();
        needed("the input", at.input, ALIGNMENT)?;
        needed("the workspace", at.workspace, ALIGNMENT)?;
        check_output(outputs.rowwise(), ["the codes", "the scales"], &at.rowwise)?;
        let names = ["the columnwise codes", "the columnwise scales"];
        check_output(outputs.columnwise(), names, &at.columnwise)?;
        Ok(QuantizeTensor {
            input: at.input,
            codes: at.rowwise.codes,
            scales: at.rowwise.scales,
            codes_t: at.columnwise.codes,
            scales_t: at.columnwise.scales,
            global: at.workspace + self.row_global_scales().0 as u64,
            global_t: at.workspace + self.column_global_scales().0 as u64,
            ..self.tensor
        })
    }

    fn amax_params(
        &self,
        step: AmaxStep,
        at: &QuantizeAddresses,
    ) -> Result<AmaxParams, DeviceError> {
        let [rows, cols] = self.shape.map(|length| length as u64);
        let by_row = self.config.scaling() == Scaling::Row;
        let (input, rows, cols, buffer, alignment) = match step {
            AmaxStep::Input if by_row => (at.input, rows, cols, "the input", ALIGNMENT),
            AmaxStep::Input => (at.input, 1, rows * cols, "the input", ALIGNMENT),
            AmaxStep::InputColumns => (at.input, rows, cols, "the input", ALIGNMENT),
            AmaxStep::Supplied => {
                (at.row_amax, self.workspace.rows as u64, 0, "the supplied amax", WORD)
            }
            AmaxStep::SuppliedColumns => {
                (at.column_amax, self.workspace.columns as u64, 0, "the supplied amax", WORD)
            }
        };
        needed(buffer, input, alignment)?;
        let (offset, _) = match step {
            AmaxStep::Input | AmaxStep::Supplied => self.row_global_scales(),
            AmaxStep::InputColumns | AmaxStep::SuppliedColumns => self.column_global_scales(),
        };
        Ok(AmaxParams {
            input,
            global: at.workspace + offset as u64,
            workspace: at.workspace,
            skip: at.skip,
            rows,
            cols,
            flags: self.flags & E4M3_MAX_256 | if at.skip == 0 { 0 } else { SKIPPABLE },
            reserved: 0,
        })
    }

    /// The kernel that does the loads and stores of the quantize kernel and nothing else.
    #[cfg(feature = "cli")]
    pub(crate) fn copy_kernel(&self) -> Result<CopyKernel<QuantizeParams>, Error> {
        let geometry = launch::copy_quantize(self.input, self.shape)?;
        Ok(CopyKernel(Launch::new(&self.device, &geometry)?))
    }

    /// Enqueues a copy kernel where the quantization would be.
    ///
    /// # Safety
    /// As [`Quantizer::launch`].
    #[cfg(feature = "cli")]
    pub(crate) unsafe fn launch_copy(
        &self,
        copy: &CopyKernel<QuantizeParams>,
        at: &QuantizeAddresses,
        stream: sys::CUstream,
    ) -> Result<(), Error> {
        let params = self.quantize_params(at)?;
        // SAFETY: the kernel's parameter is `QuantizeParams`; the rest is the caller's promise.
        unsafe { copy.0.enqueue(&params, stream) }.map_err(Error::from)
    }

    /// What the driver's compiler made of the kernels: names, registers, bytes of stack.
    #[must_use]
    pub fn kernels(&self) -> Vec<KernelInfo> {
        let amax = self.amax.iter().map(|(_, launch)| launch.info());
        amax.chain(self.quantize.iter().map(Launch::info)).collect()
    }
}

fn check_output(
    wanted: bool,
    [codes, scales]: [&'static str; 2],
    at: &OutputAddresses,
) -> Result<(), DeviceError> {
    if !wanted {
        return Ok(());
    }
    needed(codes, at.codes, ALIGNMENT)?;
    needed(scales, at.scales, ALIGNMENT)
}
