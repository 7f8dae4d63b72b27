//! The selections of golden cases that the project carries, compressed.
//!
//! `fouroversix-conformance select --from DIR` writes one: a golden file pair, each half gzipped. It
//! keeps every case of at most a given number of elements, and stores equal tensors once.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use safetensors::SafeTensors;
use safetensors::tensor::TensorView;
use serde_json::Value;

use crate::case::Case;
use crate::golden::{self, GoldenError, GoldenFile, training};

/// The keys that name a tensor, in every format.
const NAMES: [&str; 4] = ["input", "qdata", "scales", "amax"];

/// A selection: index and tensors, each compressed.
type Pair = [&'static [u8]; 2];

macro_rules! pair {
    ($name:literal) => {
        [
            include_bytes!(concat!("../golden/", $name, ".json.gz")),
            include_bytes!(concat!("../golden/", $name, ".safetensors.gz")),
        ]
    };
}

static SELECTION: Pair = pair!("selection");
static SEARCH: Pair = pair!("search");
static TRAINING: Pair = pair!("training");

/// Reads the carried selection of TransformerEngine's answers.
///
/// # Errors
/// If what was compiled in does not follow the format.
pub fn read() -> Result<GoldenFile, GoldenError> {
    let (index, tensors) = open(SELECTION)?;
    golden::parse("carried", &index, &tensors).map_err(broken)
}

/// Reads the carried cases of scale search.
///
/// # Errors
/// As [`read`].
pub fn read_search() -> Result<GoldenFile, GoldenError> {
    let (index, tensors) = open(SEARCH)?;
    golden::parse("carried", &index, &tensors).map_err(broken)
}

/// Reads the carried cases of stochastic rounding and transforms.
///
/// # Errors
/// As [`read`].
pub fn read_training() -> Result<Vec<Case>, GoldenError> {
    let (index, tensors) = open(TRAINING)?;
    training::parse("carried", &index, &tensors).map_err(broken)
}

fn open<T: serde::de::DeserializeOwned>(
    [index, tensors]: Pair,
) -> Result<(T, Vec<u8>), GoldenError> {
    let index = decompress(index).map_err(broken)?;
    let index = serde_json::from_slice(&index).map_err(broken)?;
    Ok((index, decompress(tensors).map_err(broken)?))
}

fn broken(problem: impl std::fmt::Display) -> GoldenError {
    GoldenError::new("carried by the project", problem)
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

/// Writes the cases of `from` that have at most `max_elements` elements to `to`, as `NAME.json.gz` and
/// `NAME.safetensors.gz`.
///
/// # Errors
/// If a file can't be read, does not follow the format, or can't be written.
pub fn select(
    from: &Path,
    to: &Path,
    name: &str,
    max_elements: usize,
) -> Result<Selection, GoldenError> {
    let mut pool = TensorPool::default();
    let mut selected = Value::Null;
    let mut cases = Vec::new();
    let mut left_out = 0;
    for path in index_files(from)? {
        let broken = |problem: String| GoldenError::new(path.display(), problem);
        let (mut index, bytes): (Value, _) = golden::read_raw(&path, tensor_file)?;
        let tensors =
            SafeTensors::deserialize(&bytes).map_err(|error| broken(error.to_string()))?;
        let stem = path.file_stem().unwrap_or_default().to_string_lossy();
        let Value::Array(entries) = index["cases"].take() else {
            return Err(broken("no list of cases".to_owned()));
        };
        for (number, mut entry) in entries.into_iter().enumerate() {
            if elements(&entry) > max_elements as u64 {
                left_out += 1;
                continue;
            }
            entry["origin"] = format!("{stem}/{number}").into();
            pool.adopt(&mut entry, &tensors).map_err(broken)?;
            cases.push(entry);
        }
        selected = index;
    }
    let kept = cases.len();
    selected["tensors"] = format!("{name}.safetensors").into();
    selected["cases"] = Value::Array(cases);
    let json = serde_json::to_vec(&selected).expect("an index is plain data");
    let bytes = write_gzip(&to.join(format!("{name}.json.gz")), &json)?
        + write_gzip(&to.join(format!("{name}.safetensors.gz")), &pool.serialize()?)?;
    Ok(Selection { kept, left_out, bytes })
}

/// The tensor file that an index names.
fn tensor_file(index: &Value) -> &str {
    index["tensors"].as_str().unwrap_or_default()
}

/// Elements of a case, or of the tensors of a group.
fn elements(entry: &Value) -> u64 {
    let own = |entry: &Value| {
        let side = |i: usize| entry["shape"][i].as_u64().unwrap_or(0);
        side(0) * side(1)
    };
    let group = entry["group"].as_array();
    own(entry) + group.map_or(0, |group| group.iter().map(own).sum::<u64>())
}

/// Tensors by content: equal ones are stored once, and named in the order they came.
#[derive(Default)]
struct TensorPool {
    names: BTreeMap<(safetensors::Dtype, Vec<usize>, Vec<u8>), String>,
}

impl TensorPool {
    /// Takes over the tensors that `entry` names, and renames them there.
    fn adopt(&mut self, entry: &mut Value, tensors: &SafeTensors<'_>) -> Result<(), String> {
        match entry {
            Value::Array(entries) => {
                entries.iter_mut().try_for_each(|entry| self.adopt(entry, tensors))
            }
            Value::Object(keys) => keys.iter_mut().try_for_each(|(key, value)| match value {
                Value::String(name) if NAMES.contains(&key.as_str()) => {
                    let view = tensors.tensor(name).map_err(|error| error.to_string())?;
                    let content = (view.dtype(), view.shape().to_vec(), view.data().to_vec());
                    let next = self.names.len().to_string();
                    name.clone_from(self.names.entry(content).or_insert(next));
                    Ok(())
                }
                value => self.adopt(value, tensors),
            }),
            _ => Ok(()),
        }
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
