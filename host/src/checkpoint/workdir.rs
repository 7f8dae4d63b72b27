//! Where a directory grows until it is finished.
//!
//! Beside the output `OUT` lies `OUT.partial` with the shards made so far (`out/`), a journal of
//! those that are complete and a lock. A finished directory appears by renaming `OUT.partial/out`
//! to `OUT`, so `OUT` is never half-written. After an interruption the journal's shards are checked
//! against their checksums and kept; a journal of other options or another input is thrown away.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::Write;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::error::CheckpointError;
use super::record::TensorRecord;
use super::write::{parent_of, sync_folder, write_file};

/// A file that only directories made here have; `--force` replaces no others.
pub(crate) const SUMMARY: &str = "fouroversix.json";

/// The page and the table that `report` writes into a directory unless told otherwise. They are
/// about that directory, and not copied into one made from it.
pub const REPORTS: [&str; 2] = ["fouroversix-report.html", "fouroversix-report.csv"];

/// A shard that is complete and durable.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Finished {
    /// Its file name.
    pub(crate) shard: String,
    /// Its digest, in hexadecimal.
    pub(crate) digest: String,
    /// What was quantized in it.
    pub(crate) tensors: Vec<TensorRecord>,
}

#[derive(Serialize, Deserialize)]
struct FirstLine {
    fingerprint: String,
}

/// The folder beside an output that is not finished.
#[derive(Debug)]
pub(crate) struct WorkDir {
    output: PathBuf,
    root: PathBuf,
    journal: File,
    /// Shards that earlier runs finished, by their own word.
    pub(crate) finished: Vec<Finished>,
    /// Whether an earlier run was thrown away because it did something else.
    pub(crate) restarted: bool,
    _lock: File,
}

/// Refuses an output that is there, unless `force` and it is one of ours, or empty.
pub(crate) fn check_output(output: &Path, force: bool) -> Result<(), CheckpointError> {
    if fs::symlink_metadata(output).is_err() {
        return Ok(());
    }
    if !force {
        return Err(CheckpointError::Exists { path: output.to_owned() });
    }
    let listing = fs::read_dir(output).map_err(|error| CheckpointError::write(output, error))?;
    if output.join(SUMMARY).is_file() || listing.count() == 0 {
        return Ok(());
    }
    let problem = format!(
        "{} exists and has no {SUMMARY}, so this program did not make it and --force does not \
         replace it: remove it yourself or choose another output",
        output.display()
    );
    Err(CheckpointError::Option { problem })
}

impl WorkDir {
    /// Opens or makes the folder beside `output` for a run identified by `fingerprint`.
    pub(crate) fn open(output: &Path, fingerprint: &str) -> Result<Self, CheckpointError> {
        let root = beside(output, ".partial");
        let failed = |error| CheckpointError::write(&root, error);
        match fs::create_dir(&root) {
            Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
                return Err(failed(error));
            }
            _ => {}
        }
        let lock = lock(&root.join("lock"))?;
        let journal_path = root.join("journal.jsonl");
        let (same, finished) = read_journal(&journal_path, fingerprint);
        let restarted = !same && root.join("out").is_dir();
        if restarted {
            fs::remove_dir_all(root.join("out")).map_err(failed)?;
        }
        fs::create_dir_all(root.join("out")).map_err(failed)?;
        // Rewritten without the line that an interruption may have cut.
        let mut text = json_line(&FirstLine { fingerprint: fingerprint.to_owned() });
        finished.iter().for_each(|line| text.extend(json_line(line)));
        let fresh = root.join("journal.new");
        write_file(&fresh, &text)?;
        fs::rename(&fresh, &journal_path).map_err(failed)?;
        sync_folder(&root)?;
        let journal = OpenOptions::new().append(true).open(&journal_path).map_err(failed)?;
        Ok(Self { output: output.to_owned(), root, journal, finished, restarted, _lock: lock })
    }

    /// Where the files grow.
    pub(crate) fn out(&self) -> PathBuf {
        self.root.join("out")
    }

    /// Notes that a shard is complete and durable.
    pub(crate) fn record(&mut self, line: &Finished) -> Result<(), CheckpointError> {
        let mut write = || {
            sync(&self.root.join("out"))?;
            self.journal.write_all(&json_line(line))?;
            self.journal.sync_all()
        };
        write().map_err(|error| CheckpointError::write(&self.root, error))
    }

    /// Puts the finished directory in its place, where an older one may lie.
    pub(crate) fn finish(self) -> Result<(), CheckpointError> {
        let out = self.out();
        let failed = |error| CheckpointError::write(&self.output, error);
        sync_folder(&out)?;
        let replaced = self.root.join("replaced");
        let replaces = fs::symlink_metadata(&self.output).is_ok();
        if replaces {
            remove_if_there(&replaced)?;
            fs::rename(&self.output, &replaced).map_err(failed)?;
        }
        if let Err(error) = fs::rename(&out, &self.output) {
            if replaces {
                fs::rename(&replaced, &self.output).map_err(failed)?;
            }
            return Err(failed(error));
        }
        sync_folder(parent_of(&self.output))?;
        self.discard()
    }

    /// Removes the folder and what is in it.
    pub(crate) fn discard(self) -> Result<(), CheckpointError> {
        remove_if_there(&self.root)
    }
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

fn sync(folder: &Path) -> std::io::Result<()> {
    File::open(folder)?.sync_all()
}

fn remove_if_there(path: &Path) -> Result<(), CheckpointError> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(CheckpointError::write(path, error))
        }
        _ => Ok(()),
    }
}

fn json_line(value: &impl Serialize) -> Vec<u8> {
    let mut line = serde_json::to_vec(value).expect("records are JSON");
    line.push(b'\n');
    line
}

/// Whether the journal is of this run, and its complete lines.
fn read_journal(path: &Path, fingerprint: &str) -> (bool, Vec<Finished>) {
    let Ok(text) = fs::read(path) else { return (false, Vec::new()) };
    let mut lines = text.split(|&byte| byte == b'\n');
    let first: Option<FirstLine> = lines.next().and_then(|line| serde_json::from_slice(line).ok());
    if first.is_none_or(|first| first.fingerprint != fingerprint) {
        return (false, Vec::new());
    }
    (true, lines.map_while(|line| serde_json::from_slice(line).ok()).collect())
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
    fn force_replaces_only_what_was_made_here() {
        let folder = scratch("force");
        let output = folder.join("model");
        check_output(&output, false).unwrap();
        fs::create_dir(&output).unwrap();
        assert!(matches!(check_output(&output, false), Err(CheckpointError::Exists { .. })));
        check_output(&output, true).unwrap();
        fs::write(output.join("thesis.txt"), "years of work").unwrap();
        assert!(matches!(check_output(&output, true), Err(CheckpointError::Option { .. })));
        fs::write(output.join(SUMMARY), "{}").unwrap();
        check_output(&output, true).unwrap();
        fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn names_beside_an_output() {
        assert_eq!(beside(Path::new("a/model/"), ".partial"), Path::new("a/model.partial"));
        assert_eq!(beside(Path::new("model"), ".partial"), Path::new("model.partial"));
    }
}
