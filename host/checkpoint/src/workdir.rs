//! Where a directory grows until it is finished.
//!
//! Beside the output `OUT` lies `OUT.partial` with the shards made so far (`out/`), a journal of
//! those that are complete and a lock. A finished directory appears by renaming `OUT.partial/out`
//! to `OUT`, so `OUT` is never half-written. After an interruption the journal's shards are checked
//! against their checksums and kept; a journal of other options or another input is thrown away.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};

use super::error::CheckpointError;
use super::journal::{Finished, Journal, fresh, read_journal};
use super::made::foreign;
use super::write::{parent_of, sync_folder};

/// The folder beside an output that is not finished.
#[derive(Debug)]
pub(crate) struct WorkDir {
    output: PathBuf,
    root: PathBuf,
    journal: Journal,
    /// Shards that earlier runs finished, by their own word.
    pub(crate) finished: Vec<Finished>,
    /// Whether an earlier run was thrown away because it did something else.
    pub(crate) restarted: bool,
    _lock: File,
}

const JOURNAL: &str = "journal.jsonl";

/// The file with what the parts of an output agree on, where it is made in parts.
pub(crate) const AGREEMENT: &str = "parts.json";

/// Where an older output waits for the new one to take its place.
const REPLACED: &str = "replaced";

/// Refuses a folder beside the output, where the output is to grow, that holds something which no
/// run has left there: neither of these `folders` nor a file that `is_ours`.
pub(crate) fn check_work_folder(
    root: &Path,
    folders: [&str; 2],
    is_ours: impl Fn(&str) -> bool,
) -> Result<(), CheckpointError> {
    let Ok(kind) = fs::symlink_metadata(root) else { return Ok(()) };
    if !kind.is_dir() {
        return Err(foreign(root));
    }
    for item in fs::read_dir(root).map_err(|error| CheckpointError::write(root, error))? {
        let item = item.map_err(|error| CheckpointError::write(root, error))?;
        let kind = item.file_type().map_err(|error| CheckpointError::write(root, error))?;
        let name = item.file_name();
        let name = name.to_string_lossy();
        let is_right = match folders.contains(&&*name) {
            true => kind.is_dir(),
            false => kind.is_file() && is_ours(&name),
        };
        if !is_right {
            return Err(foreign(&item.path()));
        }
    }
    Ok(())
}

/// Whether a run that was interrupted, one without parts, has left something in a work folder.
pub(crate) fn holds_run(root: &Path) -> bool {
    [JOURNAL, REPLACED].iter().any(|name| root.join(name).symlink_metadata().is_ok())
}

impl WorkDir {
    /// Opens or makes the folder beside `output` for a run identified by `fingerprint`.
    pub(crate) fn open(output: &Path, fingerprint: &str) -> Result<Self, CheckpointError> {
        let root = beside(output, ".partial");
        let failed = |error| CheckpointError::write(&root, error);
        if root.join(AGREEMENT).symlink_metadata().is_ok() {
            return Err(CheckpointError::Option {
                problem: format!(
                    "{} holds parts of this output: run the parts that are left and --finish, or remove \
                 it to start over",
                    root.display()
                ),
            });
        }
        check_work_folder(&root, ["out", REPLACED], |name| {
            ["lock", JOURNAL].contains(&name) || fresh(Path::new(JOURNAL)) == Path::new(name)
        })?;
        match fs::create_dir(&root) {
            Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
                return Err(failed(error));
            }
            _ => {}
        }
        let lock = lock(&root.join("lock"))?;
        recover(&root, output)?;
        let journal_path = root.join(JOURNAL);
        let (same, finished) = read_journal(&journal_path, fingerprint);
        let restarted = !same && root.join("out").is_dir();
        if restarted {
            fs::remove_dir_all(root.join("out")).map_err(failed)?;
        }
        fs::create_dir_all(root.join("out")).map_err(failed)?;
        let journal = Journal::start(&journal_path, fingerprint, &finished)?;
        Ok(Self { output: output.to_owned(), root, journal, finished, restarted, _lock: lock })
    }

    /// Where the files grow.
    pub(crate) fn out(&self) -> PathBuf {
        self.root.join("out")
    }

    /// Notes that a shard is complete and durable.
    pub(crate) fn record(&mut self, line: &Finished) -> Result<(), CheckpointError> {
        self.journal.record(&self.root.join("out"), line)
    }

    /// Puts the finished directory in its place, where an older one may lie: at every moment one
    /// of both is there whole.
    pub(crate) fn finish(self) -> Result<(), CheckpointError> {
        let out = self.out();
        let failed = |error| CheckpointError::write(&self.output, error);
        sync_folder(&out)?;
        if fs::symlink_metadata(&self.output).is_ok() {
            // From the exchange on `out` is not what the journal is about.
            let journal = self.root.join(JOURNAL);
            let aside = fresh(&journal);
            fs::rename(&journal, &aside).map_err(failed)?;
            self.exchange(&out).map_err(|error| {
                // What is reported is the first failure; without a journal a rerun starts over.
                let _ = fs::rename(&aside, &journal);
                failed(error)
            })?;
        } else {
            fs::rename(&out, &self.output).map_err(failed)?;
        }
        sync_folder(parent_of(&self.output))?;
        self.discard()
    }

    /// Swaps the finished directory and the older one, in one step where the system can.
    fn exchange(&self, out: &Path) -> std::io::Result<()> {
        use rustix::fs::{CWD, RenameFlags, renameat_with};
        if renameat_with(CWD, out, CWD, &self.output, RenameFlags::EXCHANGE).is_ok() {
            return Ok(());
        }
        // In two steps; a run that finds the older one set aside puts it back.
        let replaced = self.root.join(REPLACED);
        fs::rename(&self.output, &replaced)?;
        fs::rename(out, &self.output).inspect_err(|_| {
            // What is reported is the first failure; the older one is safe where it lies.
            let _ = fs::rename(&replaced, &self.output);
        })
    }

    /// Removes the folder and what is in it.
    pub(crate) fn discard(self) -> Result<(), CheckpointError> {
        remove_if_there(&self.root)
    }
}

/// Puts back the directory that a run had set aside when it was cut off between two renames, or
/// removes it when the new one is in place.
fn recover(root: &Path, output: &Path) -> Result<(), CheckpointError> {
    let replaced = root.join(REPLACED);
    if !replaced.is_dir() {
        return Ok(());
    }
    if fs::symlink_metadata(output).is_ok() {
        return remove_if_there(&replaced);
    }
    fs::rename(&replaced, output).map_err(|error| CheckpointError::write(output, error))
}

/// `path` with `suffix` after its file name.
pub(crate) fn beside(path: &Path, suffix: &str) -> PathBuf {
    // An output such as "model/" or "." has its name made absolute first.
    let path = path.components().collect::<PathBuf>();
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(suffix);
    path.with_file_name(name)
}

/// Takes the lock file at `path`, made if it isn't there.
pub(crate) fn lock(path: &Path) -> Result<File, CheckpointError> {
    let failed = |error| CheckpointError::write(path, error);
    let file =
        OpenOptions::new().write(true).create(true).truncate(false).open(path).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(CheckpointError::Busy { path: path.to_owned() }),
        Err(TryLockError::Error(error)) => Err(failed(error)),
    }
}

pub(crate) fn remove_if_there(path: &Path) -> Result<(), CheckpointError> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(CheckpointError::write(path, error))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(shard: &str) -> Finished {
        Finished { shard: shard.to_owned(), digest: "00".to_owned(), tensors: Vec::new() }
    }

    fn scratch(name: &str) -> PathBuf {
        let path = std::env::temp_dir().join(format!("fouroversix-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        path
    }

    #[test]
    fn a_cut_journal_keeps_its_complete_lines() {
        let folder = scratch("journal");
        let output = folder.join("model");
        let mut work = WorkDir::open(&output, "one").unwrap();
        work.record(&line("a")).unwrap();
        work.record(&line("b")).unwrap();
        assert!(matches!(WorkDir::open(&output, "one"), Err(CheckpointError::Busy { .. })));
        drop(work);
        let journal = folder.join("model.partial/journal.jsonl");
        let text = fs::read(&journal).unwrap();
        fs::write(&journal, &text[..text.len() - 5]).unwrap();
        let work = WorkDir::open(&output, "one").unwrap();
        assert_eq!(work.finished, [line("a")]);
        assert!(!work.restarted);
        drop(work);
        let work = WorkDir::open(&output, "two").unwrap();
        assert!(work.finished.is_empty() && work.restarted);
        work.finish().unwrap();
        assert!(output.is_dir() && !folder.join("model.partial").exists());
        fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn an_output_set_aside_comes_back() {
        let folder = scratch("aside");
        let output = folder.join("model");
        fs::create_dir_all(folder.join("model.partial/replaced")).unwrap();
        fs::write(folder.join("model.partial/replaced/old"), "old").unwrap();
        drop(WorkDir::open(&output, "one").unwrap());
        assert_eq!(fs::read(output.join("old")).unwrap(), b"old");
        let work = WorkDir::open(&output, "one").unwrap();
        fs::write(work.out().join("new"), "new").unwrap();
        work.finish().unwrap();
        assert_eq!(super::super::made::files_below(&output).unwrap(), ["new"]);
        assert!(!folder.join("model.partial").exists());
        fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn work_folders_of_others_are_left_alone() {
        let folder = scratch("foreign");
        fs::create_dir(folder.join("model.partial")).unwrap();
        fs::write(folder.join("model.partial/thesis.txt"), "years of work").unwrap();
        let said = WorkDir::open(&folder.join("model"), "one").unwrap_err().to_string();
        assert!(said.contains("thesis.txt"), "{said}");
        assert!(folder.join("model.partial/thesis.txt").exists());
        fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn names_beside_an_output() {
        assert_eq!(beside(Path::new("a/model/"), ".partial"), Path::new("a/model.partial"));
        assert_eq!(beside(Path::new("model"), ".partial"), Path::new("model.partial"));
    }
}
