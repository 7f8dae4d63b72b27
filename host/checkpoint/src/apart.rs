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

/// A path with links resolved, and the device and number of what it names and of every folder
/// above: a bind mount gives one folder two paths that no link tells from each other.
#[derive(Debug)]
struct Place {
    path: PathBuf,
    /// Nearest first; that of `path` itself is missing when nothing is there.
    own: Option<(u64, u64)>,
    above: Vec<(u64, u64)>,
    is_dir: bool,
}

impl Place {
    fn of(path: PathBuf) -> Self {
        let identity = |path: &Path| fs::metadata(path).ok().map(|meta| (meta.dev(), meta.ino()));
        let own = identity(&path);
        let above = path.ancestors().skip(1).filter_map(identity).collect();
        let is_dir = path.is_dir();
        Self { path, own, above, is_dir }
    }

    /// What `self`, to be written, is to `read`; nothing when they are apart.
    fn overlap(&self, read: &Self) -> Option<&'static str> {
        let same = |id: Option<(u64, u64)>, other: Option<(u64, u64)>| id.is_some() && id == other;
        let within =
            |id: Option<(u64, u64)>, above: &[(u64, u64)]| id.is_some_and(|id| above.contains(&id));
        if self.path == read.path || same(self.own, read.own) {
            Some("is")
        } else if read.is_dir
            && (self.path.starts_with(&read.path) || within(read.own, &self.above))
        {
            Some("lies in")
        } else if read.path.starts_with(&self.path) || within(self.own, &read.above) {
            Some("holds")
        } else {
            None
        }
    }
}

/// Everything that a run reads.
#[derive(Debug)]
pub(crate) struct Read {
    places: Vec<Place>,
}

impl Read {
    /// Of a run that reads `root` and, below it or linked from there, `others`.
    pub(crate) fn new<'a>(
        root: &Path,
        others: impl IntoIterator<Item = &'a Path>,
    ) -> Result<Self, CheckpointError> {
        let mut places = vec![Place::of(resolve(root)?)];
        for path in others {
            places.push(Place::of(resolve(path)?));
        }
        Ok(Self { places })
    }

    /// Refuses an output, at a place from [`place`], that is, holds or lies in something that is
    /// read; so with the folder or file beside it in which it grows.
    pub(crate) fn check(&self, output: &Path) -> Result<(), CheckpointError> {
        for target in [output.to_owned(), beside(output, ".partial")] {
            // Resolved again: what lies beside the output may be a link.
            let target = Place::of(fs::canonicalize(&target).unwrap_or(target));
            for read in &self.places {
                if let Some(what) = target.overlap(read) {
                    return Err(overlap(&target.path, what, &read.path));
                }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn place(path: &str, own: u64, above: &[u64], is_dir: bool) -> Place {
        let id = |number: u64| (1, number);
        Place {
            path: path.into(),
            own: (own != 0).then_some(id(own)),
            above: above.iter().copied().map(id).collect(),
            is_dir,
        }
    }

    #[test]
    fn folders_that_have_two_paths_are_one() {
        // The model's folder, number 5, is mounted once more at /mnt.
        let model = place("/home/model", 5, &[4, 2], true);
        let shard = place("/home/model/x", 7, &[5, 4, 2], false);
        for (output, expected) in [
            (place("/mnt", 5, &[2], true), Some("is")),
            (place("/mnt/out", 0, &[5, 2], false), Some("lies in")),
            (place("/home/model/out", 0, &[5, 4, 2], false), Some("lies in")),
            (place("/other", 4, &[2], true), Some("holds")),
            (place("/home", 4, &[2], true), Some("holds")),
            (place("/home/out", 0, &[4, 2], false), None),
        ] {
            assert_eq!(output.overlap(&model), expected, "{output:?}");
        }
        assert_eq!(place("/mnt/x", 7, &[5, 2], false).overlap(&shard), Some("is"));
        assert_eq!(place("/home/model/y", 8, &[5, 4, 2], false).overlap(&shard), None);
    }
}
