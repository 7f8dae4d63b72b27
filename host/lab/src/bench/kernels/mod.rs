//! `fouroversix-lab bench kernels`: every kernel beside a copy of the same bytes, in the same run.
//!
//! The copy kernel does the quantize kernel's loads and stores and no arithmetic. The two take
//! turns, two launches of each, on the next of several tensors which together exceed the L2 cache,
//! timed by the device's own events. Outputs are compared with the CPU path before timing.

mod case;
mod machine;
mod measure;
mod options;
mod prepare;
mod record;
mod startup;
mod statistics;

pub use machine::Machine;
pub(crate) use measure::{Enqueue, in_graphs, in_turns};
pub use options::Options;
pub use record::{Record, Row};
pub use startup::{Startup, startup};
pub use statistics::Times;

use case::{Case, Data};

use fouroversix::Error;
use fouroversix::cuda::Device;
use fouroversix_core::shape::check_dimension;

/// Measures, calling `progress` with a line for each row.
///
/// A row whose output is not the CPU's is reported as wrong and not timed.
///
/// # Errors
/// [`ShapeError::Dimension`](fouroversix::ShapeError::Dimension) when the shape is not made of multiples of 16; [`Error::Device`] when the
/// driver fails.
pub fn run(
    device: &Device,
    options: &Options,
    progress: &mut dyn FnMut(&str),
) -> Result<Record, Error> {
    for (dimension, length) in ["rows", "columns"].into_iter().zip(options.shape) {
        check_dimension(dimension, length)?;
    }
    let mut rows = Vec::new();
    for case in case::all(options.shape) {
        let label = case.label();
        let selected = options.filter.split_whitespace().all(|word| label.contains(word));
        if !selected || (case.data == Data::Weights && options.weights.is_empty()) {
            continue;
        }
        let row = measure_case(device, &case, options)?;
        progress(&row.to_string());
        rows.push(row);
    }
    let machine = Machine::describe(device, options.commit.as_deref());
    let Options { warmup, iterations, .. } = *options;
    Ok(Record { machine, warmup, iterations, rows })
}

fn measure_case(device: &Device, case: &Case, options: &Options) -> Result<Row, Error> {
    let stream = device.stream()?;
    let prepared = prepare::prepare(device, &stream, case, options)?;
    let mut row = Row::new(case, &prepared.kernels);
    row.correct = prepared.correct;
    if !row.correct {
        return Ok(row);
    }
    let work = |slot, stream| prepared.work(slot, stream);
    let copy = |slot, stream| prepared.copy(slot, stream);
    let works: [&measure::Enqueue<'_>; 2] = [&work, &copy];
    let times = if case.graph {
        let iterations = (options.iterations / 20).max(20);
        measure::in_graphs(&stream, &works, prepared.slots(), options.warmup, iterations)?
    } else {
        measure::in_turns(&stream, &works, options.warmup, options.iterations)?
    };
    // The copy has the bytes of the quantization alone.
    row.time(times[0], times[1].scaled(case.bytes() as f64 / case.copy_bytes() as f64));
    Ok(row)
}
