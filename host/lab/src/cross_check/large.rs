//! One tensor of more than 2³² elements.

use fouroversix::cuda::internals as memory;
use fouroversix::cuda::{AmaxSource, Device};
use fouroversix::{
    Amax, Config, E4m3Max, Error, ErrorPath, InputType, Metric, Nvfp4Tensor, Outputs, Quantized,
    Rule, ScaleLayout, Scaling, amax, quantize_outputs,
};
use half::bf16;

use super::fill::{Distribution, fill};
use super::mode::Difference;
use super::report::Report;

/// More than 2³² elements, and a last panel that is not whole.
const SHAPE: [usize; 2] = [65_552, 65_536];
/// Rows of a panel: whole 128-row tiles of swizzled scales.
const PANEL: usize = 2048;
const SEED: u64 = 0x2B99_2DDF_A232_49D6;
/// Above everything else in the tensor.
const LAST: f32 = 9.5;

/// Compares a tensor of 65552x65536 elements, amax pass included, whole.
///
/// Takes 19 GB of device memory and 6 GB of host memory.
///
/// # Errors
/// [`Error::Device`] when the driver fails, for example for want of memory.
pub fn large(device: &Device, progress: &mut dyn FnMut(&str)) -> Result<Vec<Report>, Error> {
    let [rows, cols] = SHAPE;
    let stream = device.stream()?;
    let mut input = memory::allocate(&stream, rows * cols * size_of::<bf16>())?;
    let mut largest = 0.0f32;
    for first in (0..rows).step_by(PANEL) {
        let panel = panel(first);
        largest = largest.max(amax(&panel));
        let offset = first * cols * size_of::<bf16>();
        memory::upload_at(&stream, memory::Elements::of(&panel), &mut input, offset)?;
    }
    assert_eq!(largest, LAST, "the last element is the amax");
    progress("input of 4296015872 elements is on the device");

    let mut reports = Vec::new();
    for config in configs() {
        let quantizer = device.quantizer(&config, InputType::Bf16, SHAPE, AmaxSource::Input)?;
        let out = quantizer.allocate(&stream)?;
        let mut addresses = out.addresses(&stream);
        addresses.input = memory::address(&input, &stream);
        // SAFETY: the buffers were allocated for this shape on this stream, where they are freed.
        unsafe { quantizer.launch(&addresses, stream.cu_stream())? };
        let actual = out.to_host(&stream)?;
        drop(out);
        let mut report = Report::new(format!("large {config:?}"));
        for first in (0..rows).step_by(PANEL) {
            compare_panel(&config, first, &actual, &mut report)?;
        }
        progress(&report.to_string());
        reports.push(report);
    }
    Ok(reports)
}

fn configs() -> [Config; 4] {
    let rule = |metric, error_path, e4m3_max| Rule::FourOverSix { metric, error_path, e4m3_max };
    let mae = rule(Metric::Mae, ErrorPath::Fast, E4m3Max::M256);
    let mse = rule(Metric::Mse, ErrorPath::Strict, E4m3Max::M448);
    let (linear, swizzled) = (ScaleLayout::Linear, ScaleLayout::Swizzled128x4);
    [
        (Rule::Plain, Scaling::Tensor, Outputs::Rowwise, linear),
        (mae, Scaling::Tensor, Outputs::Rowwise, swizzled),
        (mse, Scaling::Tile, Outputs::Both, linear),
        (mse, Scaling::Row, Outputs::Rowwise, linear),
    ]
    .map(|(rule, scaling, outputs, layout)| {
        Config::new(rule, scaling, outputs, layout).expect("defined by the contract")
    })
}

/// The rows from `first` on, at most [`PANEL`].
fn panel(first: usize) -> Vec<bf16> {
    let [rows, cols] = SHAPE;
    let count = PANEL.min(rows - first);
    let mut panel = vec![bf16::ZERO; count * cols];
    fill(Distribution::Normal, SEED ^ (first as u64) << 32, &mut panel);
    if first + count == rows {
        *panel.last_mut().expect("panels are not empty") = bf16::from_f32(LAST);
    }
    panel
}

fn compare_panel(
    config: &Config,
    first: usize,
    actual: &Quantized,
    report: &mut Report,
) -> Result<(), Error> {
    let panel = panel(first);
    let shape = [panel.len() / SHAPE[1], SHAPE[1]];
    let expected = if config.scaling() == Scaling::Row {
        quantize_outputs(&panel, shape, config, None)?
    } else {
        quantize_outputs(&panel, shape, config, Some(Amax::Tensor(LAST)))?
    };
    let mut difference = Difference::default();
    if let (Some(expected), Some(actual)) = (&expected.rowwise, &actual.rowwise) {
        compare_rows(&mut difference, expected, actual, first);
    }
    if let (Some(expected), Some(actual)) = (&expected.columnwise, &actual.columnwise) {
        compare_columns(&mut difference, expected, actual, first);
    }
    report.add(panel.len(), difference, |_| format!("in the panel from row {first}"));
    Ok(())
}

/// A panel's rows follow each other in the whole.
fn compare_rows(
    difference: &mut Difference,
    expected: &Nvfp4Tensor,
    actual: &Nvfp4Tensor,
    first: usize,
) {
    let cols = SHAPE[1];
    let codes = &actual.codes()[first * cols / 2..][..expected.codes().len()];
    difference.bytes("rowwise", "codes", expected.codes(), codes);
    let offset = expected.scale_layout().bytes(first, cols);
    let scales = &actual.scales()[offset..][..expected.scales().len()];
    difference.bytes("rowwise", "scales", expected.scales(), scales);
    let from = if actual.global_amax().len() == 1 { 0 } else { first };
    for (expected, actual) in expected.global_amax().iter().zip(&actual.global_amax()[from..]) {
        let (expected, actual) = (expected.to_le_bytes(), actual.to_le_bytes());
        difference.bytes("rowwise", "amax", &expected, &actual);
    }
}

/// A panel's rows are some columns of the transpose: linear scales only.
fn compare_columns(
    difference: &mut Difference,
    expected: &Nvfp4Tensor,
    actual: &Nvfp4Tensor,
    first: usize,
) {
    let [rows, cols] = SHAPE;
    let count = expected.shape()[1];
    for column in 0..cols {
        let here = &expected.codes()[column * count / 2..][..count / 2];
        let there = &actual.codes()[(column * rows + first) / 2..][..count / 2];
        difference.bytes("columnwise", "codes", here, there);
        let here = &expected.scales()[column * count / 16..][..count / 16];
        let there = &actual.scales()[(column * rows + first) / 16..][..count / 16];
        difference.bytes("columnwise", "scales", here, there);
    }
}
