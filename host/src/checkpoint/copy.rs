//! A model directory's other files: tokenizer, templates, licence, …

use std::fs;
use std::io;
use std::path::Path;

use super::configs::MODELOPT_CONFIG;
use super::error::CheckpointError;
use super::source::{Checkpoint, INDEX};
use super::workdir::{REPORTS, SUMMARY};

/// Endings of weight files in other formats, which would go stale beside the quantized ones.
const OTHER_WEIGHTS: [&str; 8] =
    [".safetensors", ".bin", ".pt", ".pth", ".gguf", ".h5", ".msgpack", ".onnx"];

/// Copies what is neither weights nor written anew; returns the names of weight files left out.
///
/// Folders are copied whole but for those of version control and caches (names that start with a
/// dot). Symbolic links are followed.
pub(crate) fn copy_others(
    checkpoint: &Checkpoint,
    out: &Path,
) -> Result<Vec<String>, CheckpointError> {
    let root = checkpoint.root();
    let mut skipped = Vec::new();
    for name in file_names(root)? {
        let source = root.join(&name);
        let is_shard = checkpoint.files().iter().any(|file| file.path() == source);
        let is_weights = OTHER_WEIGHTS.iter().any(|ending| name.ends_with(ending))
            || name.ends_with(".index.json");
        let is_rewritten =
            ["config.json", MODELOPT_CONFIG, SUMMARY, INDEX].contains(&name.as_str());
        if is_shard || is_rewritten || REPORTS.contains(&name.as_str()) {
            continue;
        }
        if source.is_dir() {
            if !name.starts_with('.') {
                copy_folder(&source, &out.join(&name))?;
            }
        } else if is_weights {
            skipped.push(name);
        } else {
            copy_file(&source, &out.join(&name))?;
        }
    }
    Ok(skipped)
}

fn copy_folder(source: &Path, target: &Path) -> Result<(), CheckpointError> {
    match fs::create_dir(target) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            return Err(CheckpointError::write(target, error));
        }
        _ => {}
    }
    for name in file_names(source)? {
        let (from, to) = (source.join(&name), target.join(&name));
        if from.is_dir() { copy_folder(&from, &to)? } else { copy_file(&from, &to)? }
    }
    Ok(())
}

fn copy_file(source: &Path, target: &Path) -> Result<(), CheckpointError> {
    let mut input = fs::File::open(source).map_err(|error| CheckpointError::read(source, error))?;
    let mut copy = || {
        let mut output = fs::File::create(target)?;
        io::copy(&mut input, &mut output)?;
        output.sync_all()
    };
    copy().map_err(|error| CheckpointError::write(target, error))
}

/// Names in a folder, sorted, so that runs do the same in the same order.
fn file_names(folder: &Path) -> Result<Vec<String>, CheckpointError> {
    let failed = |error| CheckpointError::read(folder, error);
    let mut names = Vec::new();
    for item in fs::read_dir(folder).map_err(failed)? {
        let name = item.map_err(failed)?.file_name();
        names.push(name.into_string().map_err(|name| {
            CheckpointError::malformed(
                folder,
                format!("the file name {name:?} is not UTF-8: rename it"),
            )
        })?);
    }
    names.sort();
    Ok(names)
}
