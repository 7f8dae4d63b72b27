//! Whole runs: a checkpoint in, a checkpoint out.

use std::path::Path;

use super::array::{Array, PartOutcome, parts_begun};
use super::error::CheckpointError;
use super::modelopt::ModelOptQuantizer;
use super::options::QuantizeOptions;
use super::part::Part;
use super::planned::Planned;
use super::quantizer::QuantizePanels;
use super::run::Runner;
use super::settings::Observer;
use super::source::Checkpoint;
use super::summary::Summary;

/// Quantizes `checkpoint` to `output`: a file to a file, a directory to a directory.
///
/// The output appears when it is complete. A directory that was interrupted goes on where it
/// stopped; see [`super`].
///
/// # Errors
/// Those of [`super::decide`]; [`CheckpointError::Exists`]; [`CheckpointError::NonFinite`];
/// [`CheckpointError::Write`], after which a directory's finished shards are kept.
pub fn quantize_checkpoint(
    checkpoint: &Checkpoint,
    output: &Path,
    options: &QuantizeOptions,
    quantizer: &mut dyn QuantizePanels,
    observer: &mut dyn Observer,
) -> Result<Summary, CheckpointError> {
    let mut own = ModelOptQuantizer;
    let quantizer = if options.as_modelopt { &mut own } else { quantizer };
    let planned = Planned::new(checkpoint, output, options)?;
    let job = planned.job(output, options.force);
    let mut runner =
        Runner::new(&planned.checkpoint, &planned.plan, planned.settings, quantizer, observer);
    job.run(&mut runner, planned.summary.clone())
}

/// Makes part `part` of what [`quantize_checkpoint`] makes of a directory; any number of processes,
/// on machines that share a file system, may each make one.
///
/// A part that was interrupted goes on where it stopped. The last one to end puts the output in its
/// place, the same bytes as one run's.
///
/// # Errors
/// As [`quantize_checkpoint`]; and [`CheckpointError::Option`] for a single file, for `options` that
/// replace an output, while another process makes the part, and when other parts were begun with
/// other options, another number of parts or another input. What is finished is kept.
pub fn quantize_part(
    checkpoint: &Checkpoint,
    output: &Path,
    options: &QuantizeOptions,
    part: Part,
    quantizer: &mut dyn QuantizePanels,
    observer: &mut dyn Observer,
) -> Result<PartOutcome, CheckpointError> {
    let mut own = ModelOptQuantizer;
    let quantizer = if options.as_modelopt { &mut own } else { quantizer };
    let array = Array::new(checkpoint, output, options, part.count())?;
    array.part(part, quantizer, observer)
}

/// Verifies the parts that [`quantize_part`] made and puts the output in its place, if that was not
/// done by the last of them.
///
/// # Errors
/// As [`quantize_part`]; and [`CheckpointError::Option`] that names the parts which are not
/// complete.
pub fn finish_parts(
    checkpoint: &Checkpoint,
    output: &Path,
    options: &QuantizeOptions,
    observer: &mut dyn Observer,
) -> Result<PartOutcome, CheckpointError> {
    let count = parts_begun(output)?.unwrap_or(1);
    Array::new(checkpoint, output, options, count)?.finish(observer)
}
