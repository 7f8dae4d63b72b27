//! How long until a process has its first result from the device.

use std::fmt;
use std::time::Instant;

use fouroversix::cuda::{AmaxSource, Device, devices};
use fouroversix::{Config, Element, Error, InputType, Rule};
use half::bf16;
use serde::Serialize;

/// Milliseconds of the steps to a first result, in order.
///
/// With the driver's cache cold the kernels are compiled, with it warm they are only loaded: run
/// with `CUDA_CACHE_PATH` set to an empty directory, then again.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Startup {
    /// From the start of the process's own code to here.
    pub before: f64,
    /// Loading and initializing the driver, and looking at the devices.
    pub driver: f64,
    /// Opening the device: its context.
    pub device: f64,
    /// Preparing a quantization: loading or compiling its kernels.
    pub kernels: f64,
    /// Copying a tensor in, amax, quantization, copying the result back.
    pub result: f64,
    /// All of it.
    pub total: f64,
}

/// Goes from nothing to a quantized 128x4096 tensor on device `ordinal`.
///
/// `begin` is when the process began. For a true figure nothing may have used a device before.
///
/// # Errors
/// [`Error::Device`] when there is no such device or the driver fails.
pub fn startup(begin: Instant, ordinal: usize) -> Result<Startup, Error> {
    let milliseconds = |from: Instant| from.elapsed().as_secs_f64() * 1000.0;
    let before = milliseconds(begin);
    let step = Instant::now();
    devices()?;
    let driver = milliseconds(step);
    let step = Instant::now();
    let device = Device::new(ordinal)?;
    let device_time = milliseconds(step);
    let rule = Rule::MSE;
    let (config, shape) = (Config::rowwise(rule), [128, 4096]);
    let step = Instant::now();
    let prepared = device.quantizer(&config, InputType::Bf16, shape, AmaxSource::Input)?;
    let kernels = milliseconds(step);
    let step = Instant::now();
    let input: Vec<bf16> =
        (0..128 * 4096).map(|i| <bf16 as Element>::from_f32((i % 977) as f32 - 488.0)).collect();
    device.quantize(&input, shape, &config)?;
    let result = milliseconds(step);
    drop(prepared);
    let total = milliseconds(begin);
    Ok(Startup { before, driver, device: device_time, kernels, result, total })
}

impl fmt::Display for Startup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { before, driver, device, kernels, result, total } = self;
        write!(
            f,
            "first result after {total:.1} ms: {before:.1} before, {driver:.1} driver, {device:.1} \
             device, {kernels:.1} kernels, {result:.1} copies and launches"
        )
    }
}
