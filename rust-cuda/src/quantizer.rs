//! A quantization: device memory for its outputs, and the launches that fill it.

use std::error::Error;
use std::mem::size_of;

use cust::memory::{CopyDestination, DeviceBuffer};
use cust::stream::Stream;
use fouroversix_core::abi::{AmaxParams, GlobalScale, QuantizeParams, QuantizeTensor};
use fouroversix_core::launch::{self as contract, Launch};
use fouroversix_core::{Config, InputType, Outputs, Scaling};

use crate::kernels::Kernels;

/// Words of a global scale, of which the first is the amax.
const GLOBAL_WORDS: usize = size_of::<GlobalScale>() / 4;

/// One output on a device.
struct Output {
    codes: DeviceBuffer<u8>,
    scales: DeviceBuffer<u8>,
    global: DeviceBuffer<u32>,
}

/// What a quantization leaves of one output.
pub struct Quantized {
    /// `[lines, length/2]`.
    pub codes: Vec<u8>,
    /// `[lines, length/16]`, in the configuration's layout.
    pub scales: Vec<u8>,
    /// The bits of the amax, or of each line's.
    pub amax: Vec<u32>,
}

/// The launches of one configuration, input type and shape, with the memory that they write.
pub struct Quantizer {
    config: Config,
    input: InputType,
    shape: [usize; 2],
    /// Rowwise and columnwise: what is not wanted has no bytes.
    outputs: [Output; 2],
    /// Zero before the first amax kernel, which leaves it so.
    workspace: DeviceBuffer<u32>,
}

/// Device memory, every byte `0xA5`: what a kernel leaves out shows.
fn filled(bytes: usize) -> Result<DeviceBuffer<u8>, Box<dyn Error>> {
    Ok(DeviceBuffer::from_slice(&vec![0xA5; bytes])?)
}

impl Quantizer {
    /// For `[rows, cols]` tensors of type `input`.
    pub fn new(
        config: Config,
        input: InputType,
        shape: [usize; 2],
    ) -> Result<Self, Box<dyn Error>> {
        let output = |wanted: bool, [lines, length]: [usize; 2]| {
            let lines = if wanted { lines } else { 0 };
            let globals = if config.scaling() == Scaling::Row { lines } else { 1 };
            Ok::<_, Box<dyn Error>>(Output {
                codes: filled(lines * length / 2)?,
                scales: filled(config.scale_layout().bytes(lines, length))?,
                global: DeviceBuffer::from_slice(&vec![0; globals * GLOBAL_WORDS])?,
            })
        };
        let [rows, cols] = shape;
        let outputs = [
            output(config.outputs().rowwise(), [rows, cols])?,
            output(config.outputs().columnwise(), [cols, rows])?,
        ];
        let workspace = DeviceBuffer::from_slice(&[0; 4])?;
        Ok(Self { config, input, shape, outputs, workspace })
    }

    /// The tensor as kernels see it. One amax serves both outputs; row scaling has each output's.
    fn tensor(&self, input: &DeviceBuffer<u8>) -> QuantizeTensor {
        let [row, column] = &self.outputs;
        let by_row = self.config.scaling() == Scaling::Row;
        QuantizeTensor {
            input: input.as_device_ptr().as_raw(),
            codes: row.codes.as_device_ptr().as_raw(),
            scales: row.scales.as_device_ptr().as_raw(),
            codes_t: column.codes.as_device_ptr().as_raw(),
            scales_t: column.scales.as_device_ptr().as_raw(),
            global: row.global.as_device_ptr().as_raw(),
            global_t: if by_row { &column.global } else { &row.global }.as_device_ptr().as_raw(),
            ..contract::tensor(self.shape)
        }
    }

    fn quantize_params(&self, input: &DeviceBuffer<u8>) -> QuantizeParams {
        QuantizeParams {
            tensor: self.tensor(input),
            flags: contract::flags(&self.config),
            ..QuantizeParams::default()
        }
    }

    fn amax_params(&self, input: &DeviceBuffer<u8>, shape: [usize; 2], global: u64) -> AmaxParams {
        AmaxParams {
            input: input.as_device_ptr().as_raw(),
            global,
            workspace: self.workspace.as_device_ptr().as_raw(),
            rows: shape[0] as u64,
            cols: shape[1] as u64,
            flags: contract::rule_flags(self.config.rule()),
            ..AmaxParams::default()
        }
    }

    /// Whether each row's amax is found in the pass that quantizes it.
    fn is_one_pass(&self) -> bool {
        self.config.scaling() == Scaling::Row && self.config.outputs() == Outputs::Rowwise
    }

    /// Enqueues what leaves the global scales on the device.
    ///
    /// # Safety
    /// `input` has the elements of the shape and stays as it is until the stream is synchronized.
    unsafe fn enqueue_amax(
        &self,
        kernels: &Kernels,
        stream: &Stream,
        input: &DeviceBuffer<u8>,
    ) -> Result<(), Box<dyn Error>> {
        let [rows, cols] = self.shape;
        let QuantizeTensor { global, global_t, .. } = self.tensor(input);
        // SAFETY: launches and parameters are made for one shape by the launch contract; the
        // buffers have the sizes that it gives, and device memory is aligned to 256 bytes.
        unsafe {
            if self.config.scaling() != Scaling::Row {
                let launch =
                    contract::amax(self.input, (rows * cols) as u64, kernels.multiprocessors);
                let params = self.amax_params(input, [1, rows * cols], global);
                return kernels.launch(stream, &launch, params);
            }
            if self.config.outputs().rowwise() && !self.is_one_pass() {
                let launch = contract::amax_rows(self.input, self.shape)?;
                kernels.launch(stream, &launch, self.amax_params(input, self.shape, global))?;
            }
            if self.config.outputs().columnwise() {
                let launch = contract::amax_columns(self.input, self.shape)?;
                kernels.launch(stream, &launch, self.amax_params(input, self.shape, global_t))?;
            }
        }
        Ok(())
    }

    fn launch(&self) -> Result<Launch, Box<dyn Error>> {
        Ok(if self.is_one_pass() {
            contract::quantize_rows(&self.config, self.input, self.shape)?
        } else {
            contract::quantize(&self.config, self.input, self.shape)?
        })
    }

    /// Enqueues the kernel that writes codes and block scales.
    ///
    /// # Safety
    /// As [`Quantizer::enqueue`]; the global scales are there.
    pub unsafe fn enqueue_quantize(
        &self,
        kernels: &Kernels,
        stream: &Stream,
        input: &DeviceBuffer<u8>,
    ) -> Result<(), Box<dyn Error>> {
        // SAFETY: as above, and the caller's promise.
        unsafe { kernels.launch(stream, &self.launch()?, self.quantize_params(input)) }
    }

    /// Enqueues a whole quantization on the caller's stream. Nothing waits.
    ///
    /// # Safety
    /// `input` has the elements of the shape and stays as it is until the stream is synchronized.
    pub unsafe fn enqueue(
        &self,
        kernels: &Kernels,
        stream: &Stream,
        input: &DeviceBuffer<u8>,
    ) -> Result<(), Box<dyn Error>> {
        // SAFETY: the caller's promise; a stream's kernels run in order.
        unsafe {
            self.enqueue_amax(kernels, stream, input)?;
            self.enqueue_quantize(kernels, stream, input)
        }
    }

    /// Enqueues the copy that moves as many bytes as [`Quantizer::enqueue_quantize`]: its limit.
    ///
    /// # Safety
    /// As [`Quantizer::enqueue`].
    pub unsafe fn enqueue_copy(
        &self,
        kernels: &Kernels,
        stream: &Stream,
        input: &DeviceBuffer<u8>,
    ) -> Result<(), Box<dyn Error>> {
        let launch = contract::copy_quantize(self.input, self.shape)?;
        let mut params = self.quantize_params(input);
        if !self.config.outputs().rowwise() {
            // The copy writes rowwise addresses first: the columnwise output has as many bytes.
            let tensor = &mut params.tensor;
            (tensor.codes, tensor.codes_t) = (tensor.codes_t, 0);
            (tensor.scales, tensor.scales_t) = (tensor.scales_t, 0);
        } else if !self.config.outputs().columnwise() {
            (params.tensor.codes_t, params.tensor.scales_t) = (0, 0);
        }
        // SAFETY: as in `enqueue_amax`, and the caller's promise.
        unsafe { kernels.launch(stream, &launch, params) }
    }

    /// Copies an output to the host: rowwise or columnwise. The stream has been synchronized.
    pub fn read(&self, columnwise: bool) -> Result<Quantized, Box<dyn Error>> {
        let Output { codes, scales, .. } = &self.outputs[usize::from(columnwise)];
        let shared = self.config.scaling() != Scaling::Row;
        let global = &self.outputs[usize::from(columnwise && !shared)].global;
        let mut quantized = Quantized {
            codes: vec![0; codes.len()],
            scales: vec![0; scales.len()],
            amax: Vec::new(),
        };
        let mut words = vec![0; global.len()];
        codes.copy_to(&mut quantized.codes[..])?;
        scales.copy_to(&mut quantized.scales[..])?;
        global.copy_to(&mut words[..])?;
        quantized.amax = words.into_iter().step_by(GLOBAL_WORDS).collect();
        Ok(quantized)
    }
}
