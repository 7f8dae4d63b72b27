//! What is to be read: one safetensors file, or a Hugging Face model directory.

use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::path::{Path, PathBuf};

use super::error::CheckpointError;
use super::file::TensorFile;
use super::format::{Format, GlobalScale, StoredTensor};
use super::header::TensorEntry;

/// The index of a sharded model.
pub(crate) const INDEX: &str = "model.safetensors.index.json";

/// A checkpoint opened for reading: every header checked, no tensor read.
#[derive(Debug)]
pub struct Checkpoint {
    root: PathBuf,
    is_dir: bool,
    files: Vec<TensorFile>,
    /// File of each tensor.
    index: HashMap<String, usize>,
    config: Option<serde_json::Map<String, serde_json::Value>>,
}

/// Where a stored quantized tensor's parts are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredName {
    /// The tensor's name before quantization: `"<module>.weight"`.
    pub tensor: String,
    /// The format its parts are named by.
    pub format: Format,
}

impl Checkpoint {
    /// Opens a safetensors file, or a model directory by its index (or its one safetensors file).
    ///
    /// # Errors
    /// [`CheckpointError::Read`] and [`CheckpointError::Malformed`]: a path that isn't there, a
    /// header that lies, an index that names a shard or tensor that isn't there.
    pub fn open(path: &Path) -> Result<Self, CheckpointError> {
        let kind = fs::metadata(path).map_err(|error| CheckpointError::read(path, error))?;
        let is_dir = kind.is_dir();
        let names = if is_dir { shard_names(path)? } else { vec![PathBuf::new()] };
        let mut files = Vec::with_capacity(names.len());
        for name in &names {
            let file = if is_dir { path.join(name) } else { path.to_owned() };
            files.push(TensorFile::open(&file)?);
        }
        let mut index = HashMap::new();
        for (i, file) in files.iter().enumerate() {
            for entry in &file.header().entries {
                if let Some(other) = index.insert(entry.name.clone(), i) {
                    return Err(CheckpointError::malformed(
                        file.path(),
                        format!(
                            "it holds {} and so does {}: keep one of them",
                            entry.name,
                            files[other].path().display()
                        ),
                    ));
                }
            }
        }
        let config = if is_dir { read_object(&path.join("config.json"))? } else { None };
        let checkpoint = Self { root: path.to_owned(), is_dir, files, index, config };
        checkpoint.check_index()?;
        Ok(checkpoint)
    }

    /// Every tensor that the index names must be in a shard.
    fn check_index(&self) -> Result<(), CheckpointError> {
        let path = self.root.join(INDEX);
        let Some(map) = self.is_dir.then(|| read_weight_map(&path)).transpose()?.flatten() else {
            return Ok(());
        };
        for (tensor, shard) in map {
            let file = self.index.get(&tensor).map(|&file| self.files[file].path());
            if file.and_then(Path::file_name).is_none_or(|name| name != shard.as_str()) {
                return Err(CheckpointError::malformed(
                    &path,
                    format!(
                        "it names {tensor} in {shard}, which does not hold it: fetch both again"
                    ),
                ));
            }
        }
        Ok(())
    }

    /// The file or directory.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Whether it is a directory.
    #[must_use]
    pub const fn is_dir(&self) -> bool {
        self.is_dir
    }

    /// Its files, in the order of their names.
    #[must_use]
    pub fn files(&self) -> &[TensorFile] {
        &self.files
    }

    /// A directory's `config.json`.
    #[must_use]
    pub const fn config(&self) -> Option<&serde_json::Map<String, serde_json::Value>> {
        self.config.as_ref()
    }

    /// Every tensor, in the order its bytes lie.
    pub fn tensors(&self) -> impl Iterator<Item = (&TensorFile, &TensorEntry)> {
        self.files.iter().flat_map(|file| file.header().entries.iter().map(move |e| (file, e)))
    }

    /// The tensor called `name` and its file.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<(&TensorFile, &TensorEntry)> {
        let file = &self.files[*self.index.get(name)?];
        Some((file, file.get(name)?))
    }

    /// The quantized tensor that the tensor called `codes_name` holds the codes of, if it does.
    ///
    /// A tensor is taken for codes when it is U8 and its scale tensors are there, of the types the
    /// formats ask for.
    #[must_use]
    pub fn stored_name(&self, codes_name: &str) -> Option<StoredName> {
        let (_, entry) = self.get(codes_name)?;
        if entry.dtype.name() != "U8" || entry.shape.len() != 2 {
            return None;
        }
        let candidates = [
            codes_name.strip_suffix("_packed").map(|name| (name, Format::CompressedTensors)),
            Some((codes_name, Format::ModelOpt)),
        ];
        candidates.into_iter().flatten().find_map(|(tensor, format)| {
            let names = format.part_names(tensor);
            let dtype_is = |name: &str, dtype: &str| {
                self.get(name).is_some_and(|(_, entry)| entry.dtype.name() == dtype)
            };
            (dtype_is(&names.scales, "F8_E4M3") && dtype_is(&names.global, "F32"))
                .then(|| StoredName { tensor: tensor.to_owned(), format })
        })
    }

    /// The quantized tensor called `name`, its parts checked against each other.
    ///
    /// # Errors
    /// [`CheckpointError::Malformed`] when a part is missing or has the wrong shape.
    pub fn stored(&self, name: &StoredName) -> Result<StoredTensor<'_>, CheckpointError> {
        let names = name.format.part_names(&name.tensor);
        let part = |part: &str| {
            self.get(part).ok_or_else(|| {
                CheckpointError::malformed(&self.root, format!("it has no {part}: fetch it again"))
            })
        };
        let (codes_file, codes) = part(&names.codes)?;
        let (scales_file, scales) = part(&names.scales)?;
        let (global_file, global) = part(&names.global)?;
        let &[rows, packed] = codes.shape.as_slice() else {
            return Err(shape_error(codes_file, codes, "[rows, cols/2]"));
        };
        if packed % 8 != 0 {
            return Err(shape_error(
                codes_file,
                codes,
                "[rows, cols/2] with cols a multiple of 16",
            ));
        }
        if scales.shape != [rows, packed / 8] {
            return Err(shape_error(scales_file, scales, &format!("[{rows}, {}]", packed / 8)));
        }
        let values: Vec<f32> = global_file
            .bytes(global)
            .chunks_exact(4)
            .map(|bytes| f32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
            .collect();
        if values.len() != 1 && values.len() != rows {
            return Err(shape_error(global_file, global, &format!("[1] or [{rows}]")));
        }
        Ok(StoredTensor {
            shape: [rows, packed * 2],
            codes: codes_file.bytes(codes),
            scales: scales_file.bytes(scales),
            global: match name.format {
                Format::CompressedTensors => GlobalScale::Divisor(values),
                Format::ModelOpt => GlobalScale::Multiplier(values),
            },
        })
    }

    /// Drops the pages of all files from this process's memory, where they would otherwise pile up
    /// as tensors are read; the next look at them maps them again.
    pub fn release(&self) {
        self.files.iter().for_each(TensorFile::release_all);
    }

    /// Every quantized tensor, in the order of the codes' bytes.
    #[must_use]
    pub fn stored_names(&self) -> Vec<StoredName> {
        self.tensors().filter_map(|(_, entry)| self.stored_name(&entry.name)).collect()
    }
}

fn shape_error(file: &TensorFile, entry: &TensorEntry, expected: &str) -> CheckpointError {
    CheckpointError::malformed(
        file.path(),
        format!(
            "{} has shape {:?} where {expected} is needed: fetch it again",
            entry.name, entry.shape
        ),
    )
}

/// Names of a directory's shards, sorted.
fn shard_names(dir: &Path) -> Result<Vec<PathBuf>, CheckpointError> {
    let index = dir.join(INDEX);
    if let Some(map) = read_weight_map(&index)? {
        let shards: BTreeSet<String> = map.into_values().collect();
        for shard in &shards {
            if Path::new(shard).file_name().is_none_or(|name| name != shard.as_str()) {
                return Err(CheckpointError::malformed(
                    &index,
                    format!("it names the shard {shard:?}, which is not a plain file name: fix it"),
                ));
            }
            if !dir.join(shard).is_file() {
                return Err(CheckpointError::malformed(
                    &index,
                    format!("it names the shard {shard}, which is not in the folder: fetch it"),
                ));
            }
        }
        return Ok(shards.into_iter().map(PathBuf::from).collect());
    }
    let listing = fs::read_dir(dir).map_err(|error| CheckpointError::read(dir, error))?;
    let mut found = Vec::new();
    for item in listing {
        let name = item.map_err(|error| CheckpointError::read(dir, error))?.file_name();
        if Path::new(&name).extension().is_some_and(|extension| extension == "safetensors") {
            found.push(PathBuf::from(name));
        }
    }
    if found.iter().any(|name| name.as_os_str() == "model.safetensors") {
        return Ok(vec![PathBuf::from("model.safetensors")]);
    }
    match found.len() {
        1 => Ok(found),
        0 => Err(CheckpointError::malformed(
            dir,
            "the folder holds no .safetensors file: pass a model directory with safetensors weights",
        )),
        n => Err(CheckpointError::malformed(
            dir,
            format!("the folder holds {n} .safetensors files but no {INDEX}: add the index"),
        )),
    }
}

/// `weight_map` of an index, or `None` when there is no index.
fn read_weight_map(index: &Path) -> Result<Option<HashMap<String, String>>, CheckpointError> {
    let Some(mut object) = read_object(index)? else { return Ok(None) };
    let map = object.remove("weight_map").unwrap_or_default();
    serde_json::from_value(map).map(Some).map_err(|error| {
        CheckpointError::malformed(
            index,
            format!("its weight_map is not usable ({error}): fetch it again"),
        )
    })
}

/// A JSON object from a file, or `None` when there is no file.
pub(crate) fn read_object(
    path: &Path,
) -> Result<Option<serde_json::Map<String, serde_json::Value>>, CheckpointError> {
    let text = match fs::read(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(CheckpointError::read(path, error)),
    };
    serde_json::from_slice(&text).map(Some).map_err(|error| {
        CheckpointError::malformed(
            path,
            format!("it is not a JSON object ({error}): fetch it again"),
        )
    })
}
