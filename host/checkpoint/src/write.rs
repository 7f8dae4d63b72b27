//! Writing one safetensors file behind the computation that makes its bytes.

use std::fs::{File, OpenOptions};
use std::io::Read;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use xxhash_rust::xxh3::Xxh3;

use super::error::CheckpointError;
use super::header::Header;

/// Buffers that may wait for the disk.
const QUEUE: usize = 4;

/// Bytes read at a time when a file is verified.
const VERIFY_CHUNK: usize = 1 << 20;

/// The XXH3-128 of a file's header and of each of its tensors, hashed together.
pub(crate) type Digest = u128;

/// A file that is written by a thread of its own.
///
/// Bytes are appended to regions, one for each tensor of the header, in any interleaving and from any
/// thread.
#[derive(Debug)]
pub(crate) struct FileWriter {
    path: PathBuf,
    queue: Option<SyncSender<(usize, Vec<u8>)>>,
    recycled: Mutex<Receiver<Vec<u8>>>,
    thread: Mutex<Option<Thread>>,
}

type Thread = JoinHandle<Result<Digest, CheckpointError>>;

impl FileWriter {
    /// Makes the file at `path`, or empties it, and writes its header.
    pub(crate) fn create(
        path: &Path,
        header: &Header,
        encoded: &[u8],
    ) -> Result<Self, CheckpointError> {
        let failed = |error| CheckpointError::write(path, error);
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .open(path)
            .map_err(failed)?;
        file.write_all_at(encoded, 0).map_err(failed)?;
        let (queue, arriving) = sync_channel(QUEUE);
        let (give_back, recycled) = sync_channel(QUEUE);
        let regions = absolute_ranges(header);
        let mut hashes = Hashes::new(encoded, regions.len());
        let (path, own) = (path.to_owned(), path.to_owned());
        let thread = std::thread::spawn(move || {
            let failed = |error| CheckpointError::write(&own, error);
            append(&file, &own, regions, &mut hashes, &arriving, &give_back)?;
            file.sync_all().map_err(failed)?;
            Ok(hashes.finish())
        });
        let (recycled, thread) = (Mutex::new(recycled), Mutex::new(Some(thread)));
        Ok(Self { path, queue: Some(queue), recycled, thread })
    }

    /// A buffer of `len` bytes of no particular content, used before if one is free.
    pub(crate) fn buffer(&self, len: usize) -> Vec<u8> {
        let recycled = self.recycled.lock().unwrap_or_else(PoisonError::into_inner);
        let mut buffer = recycled.try_recv().unwrap_or_default();
        drop(recycled);
        buffer.resize(len, 0);
        buffer
    }

    /// Appends `bytes` to the tensor `region`; waits while the disk is behind.
    ///
    /// An error of the disk shows up here or in [`FileWriter::finish`]; of several threads that
    /// append, one is told what it was.
    pub(crate) fn append(&self, region: usize, bytes: Vec<u8>) -> Result<(), CheckpointError> {
        let queue = self.queue.as_ref().expect("the queue is open until finish");
        if queue.send((region, bytes)).is_ok() {
            return Ok(());
        }
        // The thread is gone, which it only is with an error.
        match self.thread().take() {
            Some(thread) => joined(thread).map(drop),
            None => {
                let told = std::io::Error::other("writing it has failed in another thread");
                Err(CheckpointError::write(&self.path, told))
            }
        }
    }

    /// Waits until everything is on the disk.
    pub(crate) fn finish(mut self) -> Result<Digest, CheckpointError> {
        drop(self.queue.take());
        let thread = self.thread().take();
        joined(thread.expect("nobody finishes what has failed"))
    }

    fn thread(&self) -> MutexGuard<'_, Option<Thread>> {
        self.thread.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn joined(thread: Thread) -> Result<Digest, CheckpointError> {
    thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

impl Drop for FileWriter {
    fn drop(&mut self) {
        drop(self.queue.take());
        if let Some(thread) = self.thread().take() {
            // Only dropped unfinished when something else failed, which is what is reported.
            let _ = thread.join();
        }
    }
}

fn absolute_ranges(header: &Header) -> Vec<Range<u64>> {
    let base = header.data_start;
    header.entries.iter().map(|e| base + e.range.start..base + e.range.end).collect()
}

fn append(
    file: &File,
    path: &Path,
    mut regions: Vec<Range<u64>>,
    hashes: &mut Hashes,
    arriving: &Receiver<(usize, Vec<u8>)>,
    give_back: &SyncSender<Vec<u8>>,
) -> Result<(), CheckpointError> {
    for (region, bytes) in arriving {
        let rest = &mut regions[region];
        assert!(rest.end - rest.start >= bytes.len() as u64, "region {region} is full");
        file.write_all_at(&bytes, rest.start)
            .map_err(|error| CheckpointError::write(path, error))?;
        rest.start += bytes.len() as u64;
        hashes.regions[region].update(&bytes);
        // Dropped when enough are waiting: not all that arrive were taken from here.
        let _ = give_back.try_send(bytes);
    }
    Ok(())
}

struct Hashes {
    header: Xxh3,
    regions: Vec<Xxh3>,
}

impl Hashes {
    fn new(encoded: &[u8], regions: usize) -> Self {
        let mut header = Xxh3::new();
        header.update(encoded);
        Self { header, regions: (0..regions).map(|_| Xxh3::new()).collect() }
    }

    fn finish(&self) -> Digest {
        let mut all = Xxh3::new();
        all.update(&self.header.digest128().to_le_bytes());
        for region in &self.regions {
            all.update(&region.digest128().to_le_bytes());
        }
        all.digest128()
    }
}

/// The digest of the file at `path` as [`FileWriter::finish`] would have returned it, or `None`
/// when the file is not there, can't be read, or does not start with `encoded`.
pub(crate) fn digest_of(path: &PathBuf, header: &Header, encoded: &[u8]) -> Option<Digest> {
    let mut file = File::open(path).ok()?;
    let regions = absolute_ranges(header);
    let end = regions.last().map_or(header.data_start, |last| last.end);
    if file.metadata().ok()?.len() != end {
        return None;
    }
    let mut start = vec![0; encoded.len()];
    file.read_exact(&mut start).ok()?;
    if start != encoded {
        return None;
    }
    let mut hashes = Hashes::new(encoded, regions.len());
    let mut chunk = vec![0; VERIFY_CHUNK];
    for (hash, region) in hashes.regions.iter_mut().zip(regions) {
        let mut left = region.end - region.start;
        while left > 0 {
            let take = left.min(VERIFY_CHUNK as u64) as usize;
            file.read_exact(&mut chunk[..take]).ok()?;
            hash.update(&chunk[..take]);
            left -= take as u64;
        }
    }
    Some(hashes.finish())
}

/// Makes renames in `folder` durable.
pub(crate) fn sync_folder(folder: &Path) -> Result<(), CheckpointError> {
    File::open(folder)
        .and_then(|folder| folder.sync_all())
        .map_err(|error| CheckpointError::write(folder, error))
}

/// The folder that `path` lies in.
pub(crate) fn parent_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// Writes a small file and makes it durable.
pub(crate) fn write_file(path: &Path, text: &[u8]) -> Result<(), CheckpointError> {
    let write = || {
        let file = File::create(path)?;
        file.write_all_at(text, 0)?;
        file.sync_all()
    };
    write().map_err(|error| CheckpointError::write(path, error))
}
