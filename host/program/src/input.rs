//! Checkpoints that a command is pointed at.

use std::path::Path;

use fouroversix::checkpoint::Checkpoint;

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
