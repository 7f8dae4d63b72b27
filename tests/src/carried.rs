//! The selection of golden cases that the project carries, compressed.
//!
//! `fouroversix-conformance select --from DIR` writes it: a golden file pair, each half gzipped. It
//! keeps every case of at most a given number of elements, and stores equal tensors once.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use safetensors::SafeTensors;
use safetensors::tensor::TensorView;

use crate::golden::{self, Entry, GoldenError, GoldenFile, Index};

static INDEX: &[u8] = include_bytes!("../golden/selection.json.gz");
static TENSORS: &[u8] = include_bytes!("../golden/selection.safetensors.gz");

/// Reads the carried selection.
///
/// # Errors
/// If what was compiled in does not follow the format.
pub fn read() -> Result<GoldenFile, GoldenError> {
    let broken = |problem: String| GoldenError::new("carried by the project", problem);
    let index = decompress(INDEX).map_err(|error| broken(error.to_string()))?;
    let index: Index = serde_json::from_slice(&index).map_err(|error| broken(error.to_string()))?;
    let tensors = decompress(TENSORS).map_err(|error| broken(error.to_string()))?;
    golden::parse("carried", &index, &tensors).map_err(broken)
}

/// The index files of a golden directory, sorted.
///
/// # Errors
/// If the directory can't be read or holds none.
pub fn index_files(directory: &Path) -> Result<Vec<PathBuf>, GoldenError> {
    let unreadable = |error: std::io::Error| GoldenError::new(directory.display(), error);
    let mut files = Vec::new();
    for entry in std::fs::read_dir(directory).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        let is_index = path.extension().is_some_and(|extension| extension == "json");
        if is_index && path.with_extension("safetensors").exists() {
            files.push(path);
        }
    }
    files.sort();
    if files.is_empty() {
        return Err(GoldenError::new(directory.display(), "no NAME.json beside NAME.safetensors"));
    }
    Ok(files)
}

/// What [`select`] did.
#[derive(Clone, Copy, Debug)]
pub struct Selection {
    /// Cases kept.
    pub kept: usize,
    /// Cases that were too large.
    pub left_out: usize,
    /// Size of both files together.
    pub bytes: usize,
}

/// Writes the cases of `from` that have at most `max_elements` elements to `to`.
///
/// # Errors
/// If a file can't be read, does not follow the format, or can't be written.
pub fn select(from: &Path, to: &Path, max_elements: usize) -> Result<Selection, GoldenError> {
    let mut pool = TensorPool::default();
    let mut cases = Vec::new();
    let mut left_out = 0;
    let mut te_commit = String::new();
    for path in index_files(from)? {
        let broken = |problem: String| GoldenError::new(path.display(), problem);
        let (index, bytes) = golden::read_raw(&path)?;
        let tensors =
            SafeTensors::deserialize(&bytes).map_err(|error| broken(error.to_string()))?;
        let name = path.file_stem().unwrap_or_default().to_string_lossy();
        te_commit = index.te_commit;
        for (number, mut entry) in index.cases.into_iter().enumerate() {
            if entry.shape[0] * entry.shape[1] > max_elements {
                left_out += 1;
                continue;
            }
            entry.origin = Some(format!("{name}/{number}"));
            pool.adopt(&mut entry, &tensors).map_err(broken)?;
            cases.push(entry);
        }
    }
    let kept = cases.len();
    let tensors = "selection.safetensors".to_owned();
    let index = Index { format: golden::FORMAT.to_owned(), te_commit, tensors, cases };
    let json = serde_json::to_vec(&index).expect("an index is plain data");
    let bytes = write_gzip(&to.join("selection.json.gz"), &json)?
        + write_gzip(&to.join("selection.safetensors.gz"), &pool.serialize()?)?;
    Ok(Selection { kept, left_out, bytes })
}

/// Tensors by content: equal ones are stored once, and named in the order they came.
#[derive(Default)]
struct TensorPool {
    names: BTreeMap<(safetensors::Dtype, Vec<usize>, Vec<u8>), String>,
}

impl TensorPool {
    /// Takes over the tensors that `entry` names, and renames them there.
    fn adopt(&mut self, entry: &mut Entry, tensors: &SafeTensors<'_>) -> Result<(), String> {
        let columnwise = entry.columnwise.iter_mut();
        let outputs = columnwise.chain([&mut entry.rowwise]);
        let names =
            outputs.flat_map(|names| [&mut names.qdata, &mut names.scales, &mut names.amax]);
        for name in names.chain([&mut entry.input]) {
            let view = tensors.tensor(name).map_err(|error| error.to_string())?;
            let key = (view.dtype(), view.shape().to_vec(), view.data().to_vec());
            let next = self.names.len().to_string();
            name.clone_from(self.names.entry(key).or_insert(next));
        }
        Ok(())
    }

    fn serialize(&self) -> Result<Vec<u8>, GoldenError> {
        let broken = |error: safetensors::SafeTensorError| GoldenError::new("selection", error);
        let mut views = Vec::new();
        for ((dtype, shape, bytes), name) in &self.names {
            views.push((name, TensorView::new(*dtype, shape.clone(), bytes).map_err(broken)?));
        }
        views.sort_by_key(|(name, _)| name.parse::<usize>().expect("names are numbers"));
        safetensors::serialize(views, None).map_err(broken)
    }
}

fn decompress(bytes: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut out = Vec::new();
    GzDecoder::new(bytes).read_to_end(&mut out)?;
    Ok(out)
}

/// Writes `bytes` compressed and returns the compressed size. The same bytes give the same file.
fn write_gzip(path: &Path, bytes: &[u8]) -> Result<usize, GoldenError> {
    let unwritable = |error: std::io::Error| GoldenError::new(path.display(), error);
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).map_err(unwritable)?;
    let compressed = encoder.finish().map_err(unwritable)?;
    std::fs::write(path, &compressed).map_err(unwritable)?;
    Ok(compressed.len())
}
