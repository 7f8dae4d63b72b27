//! What this program made, and a run may therefore replace.

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::error::CheckpointError;

/// A file that only directories made here have; no others are replaced.
pub(crate) const SUMMARY: &str = "fouroversix.json";

/// The page and the table that `report` writes into a directory unless told otherwise. They are
/// about that directory, and not copied into one made from it.
pub const REPORTS: [&str; 2] = ["fouroversix-report.html", "fouroversix-report.csv"];

/// Refuses an output that is there, unless `force` and it is empty or holds only what runs write.
pub(crate) fn check_output(output: &Path, force: bool) -> Result<(), CheckpointError> {
    if fs::symlink_metadata(output).is_err() {
        return Ok(());
    }
    if !force {
        return Err(CheckpointError::Exists { path: output.to_owned() });
    }
    let mut found = files_below(output).map_err(|error| CheckpointError::write(output, error))?;
    if found.is_empty() {
        return Ok(());
    }
    let summary = output.join(SUMMARY);
    let is_file = fs::symlink_metadata(&summary).is_ok_and(|kind| kind.is_file());
    let Some(made) = is_file.then(|| fs::read(&summary).ok()).flatten() else {
        let problem = format!(
            "{} exists and has no {SUMMARY}, so this program did not make it and does not replace \
             it: remove it yourself or choose another output",
            output.display()
        );
        return Err(CheckpointError::Option { problem });
    };
    let made: Made = serde_json::from_slice(&made).unwrap_or_default();
    let ours = |name: &String| {
        name == SUMMARY
            || REPORTS.contains(&name.as_str())
            || made.files.binary_search(name).is_ok()
    };
    found.retain(|name| !ours(name));
    let Some(first) = found.first() else { return Ok(()) };
    let others = match found.len() {
        1 => String::new(),
        count => format!(" and {} more", count - 1),
    };
    let problem = format!(
        "{} holds {first}{others}, which this program did not write and would have to remove: move \
         it away or choose another output",
        output.display()
    );
    Err(CheckpointError::Option { problem })
}

/// The part of a summary that says which files a run wrote, sorted.
#[derive(Default, Deserialize)]
struct Made {
    files: Vec<String>,
}

/// Everything below a folder but folders that are not empty, as [`listed_name`] has it, sorted.
pub(crate) fn files_below(root: &Path) -> std::io::Result<Vec<String>> {
    let mut found = Vec::new();
    let mut folders = vec![PathBuf::new()];
    while let Some(folder) = folders.pop() {
        let mut is_empty = true;
        for item in fs::read_dir(root.join(&folder))? {
            is_empty = false;
            let item = item?;
            let path = folder.join(item.file_name());
            // Links are not followed: they are what is removed.
            if item.file_type()?.is_dir() {
                folders.push(path)
            } else {
                found.push(listed_name(&path))
            }
        }
        if is_empty && folder != Path::new("") {
            found.push(format!("{}/", listed_name(&folder)));
        }
    }
    found.sort();
    Ok(found)
}

/// A path below an output as its summary lists it; bytes that are not UTF-8 are escaped.
fn listed_name(path: &Path) -> String {
    match path.to_str() {
        Some(name) => name.to_owned(),
        None => format!("bytes:{}", path.as_os_str().as_encoded_bytes().escape_ascii()),
    }
}

/// Refuses a file that is there, unless `force` and it is empty or one that runs write.
pub(crate) fn check_output_file(output: &Path, force: bool) -> Result<(), CheckpointError> {
    let Ok(kind) = fs::metadata(output) else { return Ok(()) };
    if !force {
        return Err(CheckpointError::Exists { path: output.to_owned() });
    }
    if is_made_here(output, &kind) {
        return Ok(());
    }
    let problem = format!(
        "{} exists and this program did not make it (no fouroversix in its header), so it does not \
         replace it: remove it yourself or choose another output",
        output.display()
    );
    Err(CheckpointError::Option { problem })
}

/// Refuses a file beside the output, where the output is to grow, that no run has left there.
pub(crate) fn check_partial_file(partial: &Path) -> Result<(), CheckpointError> {
    match fs::symlink_metadata(partial) {
        Ok(kind) if !is_made_here(partial, &kind) => Err(foreign(partial)),
        _ => Ok(()),
    }
}

/// Whether a file is empty, or safetensors with this program's mark in its header. It may be cut.
fn is_made_here(path: &Path, kind: &fs::Metadata) -> bool {
    if !kind.is_file() || kind.len() == 0 {
        return kind.is_file();
    }
    let start = || {
        let mut file = File::open(path)?;
        let mut length = [0; 8];
        file.read_exact(&mut length)?;
        let mut json = Vec::new();
        file.take(u64::from_le_bytes(length).min(MARKED_WITHIN)).read_to_end(&mut json)?;
        Ok::<_, std::io::Error>(json)
    };
    // Metadata come first in the headers that are written here.
    start().is_ok_and(|json| {
        json.starts_with(b"{\"__metadata__\":") && json.windows(MARK.len()).any(|part| part == MARK)
    })
}

/// What the metadata of every file that is written here hold, and within how many bytes.
const MARK: &[u8] = b"\"fouroversix.";
const MARKED_WITHIN: u64 = 4096;

/// Says that something is in a run's way which no run left there.
pub(crate) fn foreign(path: &Path) -> CheckpointError {
    let problem = format!(
        "{} lies where the output is to grow and no run left it there: move it away or choose \
         another output",
        path.display()
    );
    CheckpointError::Option { problem }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn force_replaces_only_what_was_made_here() {
        let folder = std::env::temp_dir().join(format!("fouroversix-made-{}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).unwrap();
        let output = folder.join("model");
        check_output(&output, false).unwrap();
        fs::create_dir(&output).unwrap();
        assert!(matches!(check_output(&output, false), Err(CheckpointError::Exists { .. })));
        check_output(&output, true).unwrap();
        fs::write(output.join("thesis.txt"), "years of work").unwrap();
        assert!(matches!(check_output(&output, true), Err(CheckpointError::Option { .. })));
        fs::write(output.join(SUMMARY), "{\"files\": []}").unwrap();
        let said = check_output(&output, true).unwrap_err().to_string();
        assert!(said.contains("thesis.txt"), "{said}");
        fs::write(output.join(SUMMARY), "{\"files\": [\"thesis.txt\"]}").unwrap();
        check_output(&output, true).unwrap();
        fs::create_dir(output.join("mine")).unwrap();
        let said = check_output(&output, true).unwrap_err().to_string();
        assert!(said.contains("mine/"), "{said}");
        fs::remove_dir_all(&folder).unwrap();
    }
}
