//! A safetensors file, memory-mapped.

use std::collections::HashMap;
use std::fmt;
use std::fs::File;
use std::path::{Path, PathBuf};

use memmap2::{Advice, Mmap, UncheckedAdvice};

use super::error::CheckpointError;
use super::header::{Header, TensorEntry};

/// The granularity of [`TensorFile::release`]; a multiple of every page size in use.
const PAGE: usize = 64 * 1024;

/// A safetensors file whose header was checked and whose bytes are mapped, not read.
pub struct TensorFile {
    path: PathBuf,
    file: File,
    header: Header,
    index: HashMap<String, usize>,
    map: Mmap,
}

impl fmt::Debug for TensorFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TensorFile")
            .field("path", &self.path)
            .field("tensors", &self.header.entries.len())
            .field("bytes", &self.map.len())
            .finish_non_exhaustive()
    }
}

impl TensorFile {
    /// Maps the file at `path` and checks its header.
    ///
    /// The file must not be shortened while it is open: the system ends a program that reads
    /// mapped bytes which are gone. That it is removed does no harm.
    ///
    /// # Errors
    /// [`CheckpointError::Read`] when the file can't be opened, [`CheckpointError::Malformed`] when
    /// its header does not agree with its bytes.
    pub fn open(path: &Path) -> Result<Self, CheckpointError> {
        let failed = |source| CheckpointError::read(path, source);
        // Before it is opened: to open a FIFO is to wait for a writer.
        if !std::fs::metadata(path).map_err(failed)?.is_file() {
            return Err(CheckpointError::malformed(path, "not a file: pass a .safetensors file"));
        }
        let file = File::open(path).map_err(failed)?;
        // SAFETY: the mapping is read-only and private to this value. That nobody shortens the file
        // meanwhile is the documented condition; other changes only change the numbers read.
        let map = unsafe { Mmap::map(&file) }.map_err(failed)?;
        let header =
            Header::parse(&map).map_err(|problem| CheckpointError::malformed(path, problem))?;
        let index = header.entries.iter().enumerate().map(|(i, e)| (e.name.clone(), i)).collect();
        let mapped = Self { path: path.to_owned(), file, header, index, map };
        mapped.release_all();
        Ok(mapped)
    }

    /// Where it lies.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What it holds.
    #[must_use]
    pub const fn header(&self) -> &Header {
        &self.header
    }

    /// The tensor called `name`.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&TensorEntry> {
        self.index.get(name).map(|&i| &self.header.entries[i])
    }

    /// The bytes of one of its tensors, little-endian, row-major.
    ///
    /// # Panics
    /// If `entry` is not from this file's header.
    #[must_use]
    pub fn bytes(&self, entry: &TensorEntry) -> &[u8] {
        let (start, end) = self.offsets(entry);
        &self.map[start..end]
    }

    /// Offsets of a tensor's bytes in the mapping.
    fn offsets(&self, entry: &TensorEntry) -> (usize, usize) {
        // The header was checked against the mapping's length, which is a usize.
        let at = |offset: u64| (self.header.data_start + offset) as usize;
        (at(entry.range.start), at(entry.range.end))
    }

    /// Checks that the file still has the length it was mapped with: asked before each panel, so
    /// that a file that is shortened or lost during a run is an error, and not the program's end
    /// (but in the moments between this and the reading).
    pub(crate) fn check_length(&self) -> Result<(), CheckpointError> {
        let failed = |source| CheckpointError::read(&self.path, source);
        let length = self.file.metadata().map_err(failed)?.len();
        if length >= self.map.len() as u64 {
            return Ok(());
        }
        // An error of reading, which may pass: what is finished is kept.
        let problem =
            format!("it was shortened from {} to {length} bytes during the run", self.map.len());
        Err(failed(std::io::Error::new(std::io::ErrorKind::UnexpectedEof, problem)))
    }

    /// Asks the system to fetch bytes `start..end` of `entry` soon.
    pub(crate) fn prefetch(&self, entry: &TensorEntry, start: usize, end: usize) {
        let base = self.offsets(entry).0;
        let from = (base + start) / PAGE * PAGE;
        let length = (base + end).min(self.map.len()).saturating_sub(from);
        // Advice that is not taken costs speed, not bytes.
        let _ = self.map.advise_range(Advice::WillNeed, from, length);
    }

    /// Drops bytes `start..end` of `entry` from this process's memory; they stay in the system's
    /// cache and are mapped again when touched.
    pub(crate) fn release(&self, entry: &TensorEntry, start: usize, end: usize) {
        let base = self.offsets(entry).0;
        self.release_range(base + start, base + end);
    }

    /// Drops all of it from this process's memory.
    pub(crate) fn release_all(&self) {
        self.release_range(0, self.map.len());
    }

    fn release_range(&self, start: usize, end: usize) {
        let from = start / PAGE * PAGE;
        let to = end.min(self.map.len());
        if from < to {
            // SAFETY: the mapping is of a file and never written, so dropped pages come back with
            // the file's bytes.
            let _ = unsafe {
                self.map.unchecked_advise_range(UncheckedAdvice::DontNeed, from, to - from)
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shortened_file_is_an_error_and_a_removed_one_is_not() {
        let path = std::env::temp_dir().join(format!("fouroversix-file-{}", std::process::id()));
        let header = r#"{"x":{"dtype":"U8","shape":[4],"data_offsets":[0,4]}}"#;
        let length = (header.len() as u64).to_le_bytes();
        std::fs::write(&path, [&length, header.as_bytes(), &[1, 2, 3, 4]].concat()).unwrap();
        let file = TensorFile::open(&path).unwrap();
        file.check_length().unwrap();
        let writable = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        file.check_length().unwrap();
        writable.set_len(8).unwrap();
        let said = file.check_length().unwrap_err().problem();
        assert!(said.contains("shortened") && said.contains("to 8 bytes"), "{said}");
    }
}
