//! Weights that a study is pointed at.

use std::path::Path;

use fouroversix_cli::error::CliError;

use crate::study::{self, Weights};

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
