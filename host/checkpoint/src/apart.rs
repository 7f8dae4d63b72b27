//! The rule that nothing which is read is ever written, replaced or removed.

use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::copy::resolve;
use super::error::CheckpointError;
use super::folder::names;
use super::made::REPORTS;
use super::workdir::beside;
use super::write::parent_of;

/// Where an output goes once links are followed: the folder that it lies in must be there.
///
/// # Errors
/// [`CheckpointError::Write`] when that folder is missing; [`CheckpointError::Option`] for a path
/// without a name and for a link to nothing.
pub(crate) fn place(output: &Path) -> Result<PathBuf, CheckpointError> {
    if let Ok(there) = fs::canonicalize(output) {
        return Ok(there);
    }
    if fs::symlink_metadata(output).is_ok() {
        return Err(option(format!(
            "{} is a link to nothing: remove it or choose another output",
            output.display()
        )));
    }
    // Without the slash that may be at its end.
    let output: PathBuf = output.components().collect();
    let name = output.file_name().ok_or_else(|| {
        option(format!("{} names no file or folder: choose another output", output.display()))
    })?;
    let parent = parent_of(&output);
    // Said about the output: its remedies are those of writing.
    let parent =
        fs::canonicalize(parent).map_err(|error| CheckpointError::write(&output, error))?;
    Ok(parent.join(name))
}

/// Everything that a run reads.
#[derive(Debug)]
pub(crate) struct Read {
    /// Files and folders with links resolved.
    paths: Vec<PathBuf>,
}

impl Read {
    /// Of a run that reads `root` and, below it or linked from there, `others`.
    pub(crate) fn new<'a>(
        root: &Path,
        others: impl IntoIterator<Item = &'a Path>,
    ) -> Result<Self, CheckpointError> {
        let mut paths = vec![resolve(root)?];
        for path in others {
            paths.push(resolve(path)?);
        }
        Ok(Self { paths })
    }

    /// Refuses an output, at a place from [`place`], that is, holds or lies in something that is
    /// read; so with the folder or file beside it in which it grows.
    pub(crate) fn check(&self, output: &Path) -> Result<(), CheckpointError> {
        for target in [output.to_owned(), beside(output, ".partial")] {
            // Resolved again: what lies beside the output may be a link.
            let target = fs::canonicalize(&target).unwrap_or(target);
            let identity = fs::metadata(&target).ok();
            for path in &self.paths {
                let what = if target == *path || same_file(identity.as_ref(), path) {
                    "is"
                } else if target.starts_with(path) && path.is_dir() {
                    "lies in"
                } else if path.starts_with(&target) {
                    "holds"
                } else {
                    continue;
                };
                return Err(overlap(&target, what, path));
            }
        }
        Ok(())
    }
}

/// Refuses `output`, a file to be written over if it is there, when it is one that is read: `input`
/// or, where that is a folder, a file in it other than the pages of an earlier report.
///
/// # Errors
/// [`CheckpointError::Option`] with both names; [`CheckpointError::Read`].
pub fn check_not_read(output: &Path, input: &Path) -> Result<(), CheckpointError> {
    let Ok(target) = fs::metadata(output) else { return Ok(()) };
    if same_file(Some(&target), input) {
        return Err(overlap(output, "is", input));
    }
    let mut folders = if input.is_dir() { vec![resolve(input)?] } else { Vec::new() };
    let mut seen = folders.clone();
    while let Some(folder) = folders.pop() {
        for name in names(&folder)? {
            let path = folder.join(&name);
            let is_report = REPORTS.iter().any(|report| name == *report)
                && fs::symlink_metadata(&path).is_ok_and(|kind| kind.is_file());
            if !is_report && same_file(Some(&target), &path) {
                return Err(overlap(output, "is", &path));
            }
            if path.is_dir() {
                let folder = resolve(&path)?;
                if !seen.contains(&folder) {
                    seen.push(folder.clone());
                    folders.push(folder);
                }
            }
        }
    }
    Ok(())
}

/// Whether `path` is the file or folder of this identity; so are its hard links.
fn same_file(identity: Option<&Metadata>, path: &Path) -> bool {
    let Some((a, b)) = identity.zip(fs::metadata(path).ok()) else { return false };
    (a.dev(), a.ino()) == (b.dev(), b.ino())
}

fn overlap(target: &Path, what: &str, read: &Path) -> CheckpointError {
    let (target, read) = (target.display(), read.display());
    option(match what {
        "is" => format!("{target} is {read}, which is being read: choose another output"),
        "holds" => {
            format!("{target} holds {read}, which is being read: choose an output elsewhere")
        }
        _ => format!("{target} lies in {read}, which is being read: choose an output elsewhere"),
    })
}

fn option(problem: String) -> CheckpointError {
    CheckpointError::Option { problem }
}
