//! How long until a process has its first result from the device.

use std::fmt;
use std::time::Instant;

use fouroversix::cuda::{AmaxSource, Device, devices};
use fouroversix::{Config, Element, Error, InputType, Rule};
use half::bf16;
use serde::Serialize;

/// Milliseconds of the steps to a first result, in order.
///
/// Kernels come from machine code; with `CUDA_FORCE_PTX_JIT=1` the driver compiles their PTX, if
/// `CUDA_CACHE_DISABLE=1` keeps it from what it compiled before.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Startup {
    /// From the start of the process's own code, making the tensor with it.
    pub before: f64,
    /// Loading and initializing the driver, and looking at the devices.
    pub driver: f64,
    /// Opening the device: its context.
    pub device: f64,
    /// Preparing a quantization: loading or compiling its kernels.
    pub kernels: f64,
    /// Copying a tensor in, amax, quantization, copying the result back.
    pub result: f64,
    /// All of these.
    pub total: f64,
    /// The step before once more, when nothing of it is a first time.
    pub again: f64,
    /// Whether the kernels were machine code.
    pub machine_code: bool,
}

/// Goes from nothing to a quantized 128x4096 tensor on device `ordinal`.
///
/// `begin` is when the process began. For a true figure nothing may have used a device before.
///
/// # Errors
/// [`Error::Device`] when there is no such device or the driver fails.
pub fn startup(begin: Instant, ordinal: usize) -> Result<Startup, Error> {
    let milliseconds = |from: Instant| from.elapsed().as_secs_f64() * 1000.0;
    let (config, shape) = (Config::rowwise(Rule::MSE), [128, 4096]);
    let input: Vec<bf16> =
        (0..128 * 4096).map(|i| <bf16 as Element>::from_f32((i % 977) as f32 - 488.0)).collect();
    let before = milliseconds(begin);
    let step = Instant::now();
    devices()?;
    let driver = milliseconds(step);
    let step = Instant::now();
    let device = Device::new(ordinal)?;
    let device_time = milliseconds(step);
    let step = Instant::now();
    let prepared = device.quantizer(&config, InputType::Bf16, shape, AmaxSource::Input)?;
    let kernels = milliseconds(step);
    let step = Instant::now();
    device.quantize(&input, shape, &config)?;
    let result = milliseconds(step);
    let total = milliseconds(begin);
    let step = Instant::now();
    device.quantize(&input, shape, &config)?;
    let again = milliseconds(step);
    let machine_code = prepared.kernels().iter().all(|kernel| kernel.machine_code);
    Ok(Startup { before, driver, device: device_time, kernels, result, total, again, machine_code })
}

impl fmt::Display for Startup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { before, driver, device, kernels, result, total, again, machine_code } = self;
        let code = if *machine_code { "machine code" } else { "PTX" };
        write!(
            f,
            "first result after {total:.1} ms: {before:.1} before, {driver:.1} driver, {device:.1} \
             device, {kernels:.1} kernels ({code}), {result:.1} copies and launches ({again:.1} once more)"
        )
    }
}
