//! A device that fails: too little memory, a launch that goes wrong, a device that is lost by it. An error
//! value each time, or the right bits; never a panic or other bytes.

use cudarc::driver::CudaSlice;
use fouroversix::cuda::internals::{self as memory};
use fouroversix::cuda::{AmaxSource, Device};
use fouroversix::{Config, Error, InputType, Rule, quantize_outputs};
use half::bf16;

use super::fill::{Distribution, fill};
use super::mode::Difference;
use super::report::Report;

const SHAPE: [usize; 2] = [8192, 8192];

/// The faults, the last of which leaves the device unusable to this process.
///
/// # Errors
/// [`Error::Device`] when the driver fails before anything was done to it.
pub fn faults(device: &Device, progress: &mut dyn FnMut(&str)) -> Result<Vec<Report>, Error> {
    let config = Config::rowwise(Rule::MSE);
    let mut input = vec![bf16::ZERO; SHAPE[0] * SHAPE[1]];
    fill(Distribution::Normal, 1, &mut input);
    let expected = quantize_outputs(&input, SHAPE, &config, None)?;

    // Memory is taken until nothing is left, and given back piece by piece: each allocation of a call is
    // the first one that fails.
    let mut report = Report::new("too little memory".to_owned());
    let stream = device.stream()?;
    let mut held: Vec<CudaSlice<u8>> = Vec::new();
    let mut size = 1_usize << 30;
    while size >= 1 << 20 {
        match memory::allocate(&stream, size) {
            Ok(slice) => held.push(slice),
            Err(_) => size /= 2,
        }
    }
    let (mut failed, mut passed) = (0, 0);
    loop {
        match device.quantize_outputs(&input, SHAPE, &config, None) {
            Ok(actual) => {
                passed += 1;
                let difference = Difference::between(&expected, &actual);
                report.add(input.len(), difference, |_| format!("after {failed} errors"));
            }
            Err(error) => {
                failed += 1;
                progress(&format!("too little memory: {error}"));
            }
        }
        // The smallest first.
        if passed > 2 || held.pop().is_none() {
            break;
        }
    }
    drop(held);
    let none_failed = u64::from(failed == 0);
    report.add(0, Difference { count: none_failed, first: None }, |_| String::new());
    progress(&report.to_string());

    // An address that is aligned and nobody's: the launch fails, and the device with it.
    let mut lost = Report::new("a lost device".to_owned());
    let quantizer = device.quantizer(&config, InputType::Bf16, SHAPE, AmaxSource::Input)?;
    let out = quantizer.allocate(&stream)?;
    let mut at = out.addresses(&stream);
    at.input = 1 << 20;
    // SAFETY: it is not, on purpose: the device refuses the access and the process goes on without it.
    let launched = unsafe { quantizer.launch(&at, stream.cu_stream()) };
    let copied = out.to_host(&stream);
    for (what, error) in [("launch", launched.err()), ("copy", copied.err())] {
        if let Some(error) = &error {
            progress(&format!("a lost device, {what}: {error}"));
        }
    }
    for _ in 0..3 {
        let answer = device.quantize_outputs(&input, SHAPE, &config, None);
        let wrong = match &answer {
            Ok(actual) => Difference::between(&expected, actual),
            Err(_) => Difference::default(),
        };
        lost.add(input.len(), wrong, |_| "after a failed launch".to_owned());
        if let Err(error) = answer {
            progress(&format!("a lost device, afterwards: {error}"));
        }
    }
    Ok(vec![report, lost])
}
