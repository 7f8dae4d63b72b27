//! A model directory's other files: tokenizer, templates, licence, …
//!
//! All of them are looked at before anything is computed ([`SideFiles::find`]) and copied at the
//! end ([`SideFiles::copy`]).

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use super::declared::SIDE_FILES;
use super::error::CheckpointError;
use super::folder::names;
use super::made::{REPORTS, SUMMARY};
use super::replaced::{self, Weights};
use super::source::{Checkpoint, index_of};
use super::write::sync_folder;

/// Bytes of weights of its own that a model may have beside its tensors, whatever its size.
const SMALL: u64 = 64 << 20;

/// What is copied beside the tensors.
#[derive(Debug, Default)]
pub(crate) struct SideFiles {
    /// Paths below the model's folder, those that hold others first.
    pub(crate) folders: Vec<PathBuf>,
    pub(crate) files: Vec<PathBuf>,
    /// The folders that were looked into and the files, those that are read but not copied too;
    /// links resolved.
    pub(crate) resolved: Vec<PathBuf>,
    /// What is not copied, and why.
    pub(crate) notes: Vec<String>,
}

impl SideFiles {
    /// Finds what is neither a weight that the output replaces nor written anew.
    ///
    /// Symbolic links are followed. Folders whose names start with a dot (version control, caches)
    /// are left out.
    ///
    /// # Errors
    /// [`CheckpointError::Read`] for a file or folder that can't be read.
    pub(crate) fn find(checkpoint: &Checkpoint) -> Result<Self, CheckpointError> {
        let root = checkpoint.root();
        let resolved = resolve(root)?;
        let mut walk = Walk {
            checkpoint,
            modules: own_modules(root)?,
            room: checkpoint.tensors().map(|(_, entry)| entry.bytes()).sum::<u64>().max(SMALL),
            above: vec![resolved],
            found: Self::default(),
        };
        walk.folder(Path::new(""))?;
        Ok(walk.found)
    }

    /// Copies everything below `root` to below `out`.
    pub(crate) fn copy(&self, root: &Path, out: &Path) -> Result<(), CheckpointError> {
        for folder in &self.folders {
            let target = out.join(folder);
            match fs::create_dir(&target) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                    return Err(CheckpointError::write(&target, error));
                }
                _ => {}
            }
        }
        self.files.iter().try_for_each(|file| copy_file(&root.join(file), &out.join(file)))?;
        // Names are durable by their own folder alone; that of `out` itself is the caller's.
        self.folders.iter().try_for_each(|folder| sync_folder(&out.join(folder)))
    }
}

/// A walk through a model's folders.
struct Walk<'a> {
    checkpoint: &'a Checkpoint,
    /// Folders that hold modules with weights of their own.
    modules: Vec<PathBuf>,
    /// Bytes of weights that may still be copied.
    room: u64,
    /// The folders that the walk is in, links resolved.
    above: Vec<PathBuf>,
    found: SideFiles,
}

impl Walk<'_> {
    fn folder(&mut self, folder: &Path) -> Result<(), CheckpointError> {
        for name in names(&self.checkpoint.root().join(folder))? {
            let path = folder.join(&name);
            if !self.is_written_anew(&path) {
                self.item(path)?;
                continue;
            }
            let from = self.checkpoint.root().join(&path);
            if from.is_file() {
                self.found.resolved.push(resolve(&from)?);
            }
        }
        Ok(())
    }

    /// Whether the output has a file of this name of its own, or this is about the input only.
    fn is_written_anew(&self, path: &Path) -> bool {
        let shard =
            |file: &super::file::TensorFile| file.path() == self.checkpoint.root().join(path);
        self.checkpoint.files().iter().any(shard)
            || path.to_str().is_some_and(|path| {
                ["config.json", SUMMARY].contains(&path)
                    || SIDE_FILES.iter().any(|(file, _)| *file == path)
                    || path == index_of(self.checkpoint.stem())
                    || self.checkpoint.index_name() == Some(path)
                    || REPORTS.contains(&path)
            })
    }

    fn item(&mut self, path: PathBuf) -> Result<(), CheckpointError> {
        let from = self.checkpoint.root().join(&path);
        let kind = match fs::metadata(&from) {
            Ok(kind) => kind,
            Err(error) if is_dangling(&from, &error) => {
                self.leave_out(&path, "a link to nothing");
                return Ok(());
            }
            Err(error) => return Err(CheckpointError::read(&from, error)),
        };
        if kind.is_dir() {
            return self.subfolder(path, &from);
        }
        if !kind.is_file() {
            self.leave_out(&path, "no regular file");
            return Ok(());
        }
        let is_own = self.modules.iter().any(|module| path.starts_with(module));
        match if is_own { None } else { replaced::weights(&path) } {
            Some(Weights::Replaced) => {
                self.leave_out(&path, "weights that the output replaces");
                return Ok(());
            }
            Some(Weights::Other) => match self.room.checked_sub(kind.len()) {
                Some(room) => self.room = room,
                None => {
                    self.leave_out(&path, "more weights than the model has; copy it if it is used");
                    return Ok(());
                }
            },
            None => {}
        }
        // Found now and not when hours of work are done.
        File::open(&from).map_err(|error| CheckpointError::read(&from, error))?;
        self.found.resolved.push(resolve(&from)?);
        self.found.files.push(path);
        Ok(())
    }

    fn subfolder(&mut self, path: PathBuf, from: &Path) -> Result<(), CheckpointError> {
        if path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b".")) {
            return Ok(());
        }
        if replaced::is_training_state(&path) {
            self.leave_out(&path, "the state of a training");
            return Ok(());
        }
        let resolved = resolve(from)?;
        if self.above.iter().any(|above| above.starts_with(&resolved)) {
            self.leave_out(&path, "a link to a folder that it lies in");
            return Ok(());
        }
        self.found.resolved.push(resolved.clone());
        self.found.folders.push(path.clone());
        self.above.push(resolved);
        let walked = self.folder(&path);
        self.above.pop();
        walked
    }

    fn leave_out(&mut self, path: &Path, what: &str) {
        self.found.notes.push(format!("{} is not copied ({what})", path.display()));
    }
}

/// Folders of a sentence-transformers model, whose modules load weights of their own.
fn own_modules(root: &Path) -> Result<Vec<PathBuf>, CheckpointError> {
    // An array of objects with a path each; the root's own path is empty.
    let Some(modules) = read_array(&root.join("modules.json"))? else { return Ok(Vec::new()) };
    let path = |module: &serde_json::Value| Some(PathBuf::from(module.get("path")?.as_str()?));
    Ok(modules.iter().filter_map(path).filter(|path| !path.as_os_str().is_empty()).collect())
}

/// A JSON array from a file, or `None` when there is none that can be read as such.
fn read_array(path: &Path) -> Result<Option<Vec<serde_json::Value>>, CheckpointError> {
    if !fs::metadata(path).is_ok_and(|kind| kind.is_file()) {
        return Ok(None);
    }
    let text = fs::read(path).map_err(|error| CheckpointError::read(path, error))?;
    Ok(serde_json::from_slice(&text).ok())
}

/// Whether `error` is that of a link that leads nowhere or to itself.
fn is_dangling(path: &Path, error: &io::Error) -> bool {
    let leads_nowhere =
        matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
            || fs::canonicalize(path).is_err_and(|e| e.raw_os_error() == error.raw_os_error())
                && error.kind() != io::ErrorKind::PermissionDenied;
    leads_nowhere && fs::symlink_metadata(path).is_ok_and(|kind| kind.is_symlink())
}

fn copy_file(source: &Path, target: &Path) -> Result<(), CheckpointError> {
    let mut input = File::open(source).map_err(|error| CheckpointError::read(source, error))?;
    let mut copy = || {
        let mut output = File::create(target)?;
        io::copy(&mut input, &mut output)?;
        output.sync_all()
    };
    copy().map_err(|error| CheckpointError::write(target, error))
}

pub(crate) fn resolve(path: &Path) -> Result<PathBuf, CheckpointError> {
    fs::canonicalize(path).map_err(|error| CheckpointError::read(path, error))
}
