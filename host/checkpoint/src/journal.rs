//! Which files of an unfinished output are complete, a line each: its checksum, and JSON. What a line says
//! of a file's tensors goes to the output, so a line that is not what was written is none.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_128;

use super::error::CheckpointError;
use super::record::TensorRecord;
use super::write::{parent_of, sync_folder, write_file};

/// A file with tensors that is complete and durable.
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

/// A journal that lines are added to.
#[derive(Debug)]
pub(crate) struct Journal {
    file: File,
    path: PathBuf,
}

impl Journal {
    /// Starts the journal at `path`, or writes it again without the line that an interruption may
    /// have cut.
    pub(crate) fn start(
        path: &Path,
        fingerprint: &str,
        finished: &[Finished],
    ) -> Result<Self, CheckpointError> {
        let failed = |error| CheckpointError::write(path, error);
        let mut text = json_line(&FirstLine { fingerprint: fingerprint.to_owned() });
        finished.iter().for_each(|line| text.extend(json_line(line)));
        let fresh = fresh(path);
        write_file(&fresh, &text)?;
        fs::rename(&fresh, path).map_err(failed)?;
        sync_folder(parent_of(path))?;
        let file = OpenOptions::new().append(true).open(path).map_err(failed)?;
        Ok(Self { file, path: path.to_owned() })
    }

    /// Notes that a file is complete and durable; it lies in `folder`.
    pub(crate) fn record(&mut self, folder: &Path, line: &Finished) -> Result<(), CheckpointError> {
        sync_folder(folder)?;
        let mut write = || {
            self.file.write_all(&json_line(line))?;
            self.file.sync_all()
        };
        write().map_err(|error| CheckpointError::write(&self.path, error))
    }
}

/// Where a journal is written before it takes its place.
pub(crate) fn fresh(path: &Path) -> PathBuf {
    path.with_extension("new")
}

fn json_line(value: &impl Serialize) -> Vec<u8> {
    let json = serde_json::to_vec(value).expect("records are JSON");
    let mut line = format!("{:032x} ", xxh3_128(&json)).into_bytes();
    line.extend(json);
    line.push(b'\n');
    line
}

/// What a line holds, if it is as it was written.
fn read_line<T: DeserializeOwned>(line: &[u8]) -> Option<T> {
    let (sum, json) = line.split_at_checked(33)?;
    let right = sum == format!("{:032x} ", xxh3_128(json)).as_bytes();
    right.then(|| serde_json::from_slice(json).ok()).flatten()
}

/// Whether the journal is of this run, and its complete lines.
pub(crate) fn read_journal(path: &Path, fingerprint: &str) -> (bool, Vec<Finished>) {
    let Ok(text) = fs::read(path) else { return (false, Vec::new()) };
    let mut lines = text.split(|&byte| byte == b'\n');
    let first: Option<FirstLine> = lines.next().and_then(read_line);
    if first.is_none_or(|first| first.fingerprint != fingerprint) {
        return (false, Vec::new());
    }
    (true, lines.map_while(read_line).collect())
}
