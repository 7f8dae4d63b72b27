//! What lies in a folder.

use std::ffi::OsString;
use std::fs;
use std::path::Path;

use super::error::CheckpointError;

/// Names in a folder, sorted, so that runs do the same in the same order.
pub(crate) fn names(folder: &Path) -> Result<Vec<OsString>, CheckpointError> {
    let failed = |error| CheckpointError::read(folder, error);
    let mut names = Vec::new();
    for item in fs::read_dir(folder).map_err(failed)? {
        names.push(item.map_err(failed)?.file_name());
    }
    names.sort();
    Ok(names)
}
