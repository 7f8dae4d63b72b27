//! Checkpoints that a command is pointed at.

use std::path::Path;

use fouroversix::checkpoint::Checkpoint;
use fouroversix::study::{self, Weights};

use super::error::CliError;

/// Opens a checkpoint, which must hold a tensor: a command has nothing to do with one that is empty.
pub(crate) fn open(path: &Path) -> Result<Checkpoint, CliError> {
    let checkpoint = Checkpoint::open(path)?;
    if checkpoint.tensors().next().is_none() {
        return Err(CliError::of(
            "malformed",
            format!("{} holds no tensor: pass a checkpoint with weights", path.display()),
        ));
    }
    Ok(checkpoint)
}

/// The matrices of a checkpoint that a study can quantize, one or more.
pub(crate) fn weights(path: &Path) -> Result<Vec<Weights>, CliError> {
    let weights = study::load(path)?;
    if weights.is_empty() {
        return Err(CliError::of(
            "nothing-selected",
            format!(
                "{} has no 2-D float tensor with dimensions in multiples of 16: pass other weights",
                path.display()
            ),
        ));
    }
    Ok(weights)
}
