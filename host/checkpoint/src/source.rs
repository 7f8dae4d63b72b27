//! What is to be read: one safetensors file, or a Hugging Face model directory.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::error::CheckpointError;
use super::file::TensorFile;
use super::header::TensorEntry;
use super::json::read_object;
use super::layout::{self, Shards};
use super::view::{View, Views};

pub(crate) use super::layout::index_of;

/// Tensors that a note names before it says how many more there are.
const NAMED: usize = 3;

/// A checkpoint opened for reading: every header checked, no tensor read. Clones share the files.
#[derive(Clone)]
pub struct Checkpoint {
    root: PathBuf,
    is_dir: bool,
    files: Arc<[TensorFile]>,
    /// File of each tensor.
    index: HashMap<String, usize>,
    /// What a directory's files are called.
    stem: String,
    index_name: Option<String>,
    notes: Vec<String>,
    config: Option<serde_json::Map<String, serde_json::Value>>,
    /// Tensors that are made of stored ones and are in their place.
    views: Views,
}

impl fmt::Debug for Checkpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Checkpoint")
            .field("root", &self.root)
            .field("files", &self.files.len())
            .field("tensors", &self.index.len())
            .finish_non_exhaustive()
    }
}

impl Checkpoint {
    /// Opens a safetensors file, or a model directory by the files that loaders take.
    ///
    /// Where shards hold a tensor twice, the index says which copy counts. Tensors of a shard that
    /// the index does not name are part of the model, as they are to transformers.
    ///
    /// # Errors
    /// [`CheckpointError::Read`] and [`CheckpointError::Malformed`]: a path that isn't there, a
    /// header that lies, an index that names a shard or tensor that isn't there.
    pub fn open(path: &Path) -> Result<Self, CheckpointError> {
        let kind = fs::metadata(path).map_err(|error| CheckpointError::read(path, error))?;
        let is_dir = kind.is_dir();
        let config = if is_dir { read_object(&path.join("config.json"))? } else { None };
        let is_diffusers = config.as_ref().is_some_and(|config| config.contains_key("_class_name"));
        let shards = if is_dir {
            layout::find(path, is_diffusers)?
        } else {
            Shards { names: vec![PathBuf::new()], ..Shards::default() }
        };
        let mut files = Vec::with_capacity(shards.names.len());
        for name in &shards.names {
            let file = if is_dir { path.join(name) } else { path.to_owned() };
            files.push(TensorFile::open(&file)?);
        }
        let Shards { stem, index, mut notes, .. } = shards;
        let index_name = index.as_ref().and_then(|(path, _)| path.file_name());
        let index_name = index_name.map(|name| name.to_string_lossy().into_owned());
        let index = match index {
            Some((index, map)) => by_index(&files, &index, &map, &mut notes)?,
            None => by_file(&files, HashMap::new())?,
        };
        Ok(Self {
            root: path.to_owned(),
            is_dir,
            files: files.into(),
            index,
            stem,
            index_name,
            notes,
            config,
            views: Views::default(),
        })
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

    /// The name of the index that decided which files are read, if one did.
    pub(crate) fn index_name(&self) -> Option<&str> {
        self.index_name.as_deref()
    }

    /// What the names of a directory's tensor files start with.
    pub(crate) fn stem(&self) -> &str {
        &self.stem
    }

    /// What a user should know about which files and tensors were taken, in sentences.
    #[must_use]
    pub fn notes(&self) -> &[String] {
        &self.notes
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

    /// Every tensor, in the order its bytes lie; of copies the one that counts.
    pub fn tensors(&self) -> impl Iterator<Item = (&TensorFile, &TensorEntry)> {
        self.files.iter().enumerate().flat_map(move |(i, file)| {
            let counts = move |entry: &&TensorEntry| self.index.get(&entry.name) == Some(&i);
            let entries = file.header().entries.iter().filter(counts);
            entries.flat_map(move |entry| {
                let views = self.views.instead.get(&entry.name);
                let stored = views.is_none().then_some(entry);
                let made = views.into_iter().flatten().map(|view| &view.entry);
                stored.into_iter().chain(made).map(move |entry| (file, entry))
            })
        })
    }

    /// The tensor called `name` and its file.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<(&TensorFile, &TensorEntry)> {
        if let Some((stored, view)) = self.views.get(name) {
            return Some((self.stored_tensor(stored).0, &view.entry));
        }
        if self.views.instead.contains_key(name) {
            return None;
        }
        self.find(name)
    }

    fn find(&self, name: &str) -> Option<(&TensorFile, &TensorEntry)> {
        let file = &self.files[*self.index.get(name)?];
        Some((file, file.get(name)?))
    }

    /// A tensor that is stored under `name`, whatever is in its place.
    ///
    /// # Panics
    /// If there is none.
    pub(crate) fn stored_tensor(&self, name: &str) -> (&TensorFile, &TensorEntry) {
        self.find(name).expect("views are made of tensors that are there")
    }

    /// This checkpoint with `views` in the place of what they are made of.
    pub(crate) fn with_views(&self, views: Views) -> Self {
        Self { views, ..self.clone() }
    }

    /// The view that the tensor called `name` is, if it is one.
    pub(crate) fn view(&self, name: &str) -> Option<&View> {
        self.views.get(name).map(|(_, view)| view)
    }

    /// The stored tensor that the one called `name` is made of, if it is a view.
    pub(crate) fn made_of(&self, name: &str) -> Option<&str> {
        self.views.get(name).map(|(stored, _)| stored)
    }

    /// Drops the pages of all files from this process's memory, where they would otherwise pile up
    /// as tensors are read; the next look at them maps them again.
    pub fn release(&self) {
        self.files.iter().for_each(TensorFile::release_all);
    }
}

/// The file of each tensor where an index decides between copies.
fn by_index(
    files: &[TensorFile],
    index: &Path,
    map: &BTreeMap<String, String>,
    notes: &mut Vec<String>,
) -> Result<HashMap<String, usize>, CheckpointError> {
    let mut owners = HashMap::with_capacity(map.len());
    for (tensor, shard) in map {
        let named =
            |file: &TensorFile| file.path().file_name().is_some_and(|name| name == shard.as_str());
        let owner = files.iter().position(|file| named(file) && file.get(tensor).is_some());
        let owner = owner.ok_or_else(|| {
            CheckpointError::malformed(
                index,
                format!("it names {tensor} in {shard}, which does not hold it: fetch both again"),
            )
        })?;
        owners.insert(tensor.clone(), owner);
    }
    for (i, file) in files.iter().enumerate() {
        let entries = || file.header().entries.iter().map(|entry| entry.name.as_str());
        let name = file.path().file_name().unwrap_or_default().to_string_lossy();
        let stale = entries().filter(|&tensor| owners.get(tensor).is_some_and(|&owner| owner != i));
        if let Some(list) = listed(stale) {
            notes.push(format!(
                "copies in {name} are ignored, the index names other shards: {list}"
            ));
        }
        if let Some(list) = listed(entries().filter(|&tensor| !map.contains_key(tensor))) {
            notes.push(format!(
                "tensors of {name} that the index does not name are read, as transformers does: {list}"
            ));
        }
    }
    by_file(files, owners)
}

/// The file of each tensor; only those that `owners` has may be in several.
fn by_file(
    files: &[TensorFile],
    mut owners: HashMap<String, usize>,
) -> Result<HashMap<String, usize>, CheckpointError> {
    let decided: std::collections::HashSet<String> = owners.keys().cloned().collect();
    for (i, file) in files.iter().enumerate() {
        for entry in file.header().entries.iter().filter(|entry| !decided.contains(&entry.name)) {
            if let Some(other) = owners.insert(entry.name.clone(), i) {
                return Err(CheckpointError::malformed(
                    file.path(),
                    format!(
                        "it holds {} and so does {}, and no index says which counts: keep one of them",
                        entry.name,
                        files[other].path().display()
                    ),
                ));
            }
        }
    }
    Ok(owners)
}

/// The first of some names and how many more there are; `None` when there are none.
fn listed<'a>(names: impl Iterator<Item = &'a str>) -> Option<String> {
    let names: Vec<&str> = names.collect();
    let shown = names[..names.len().min(NAMED)].join(", ");
    match names.len() {
        0 => None,
        count if count > NAMED => Some(format!("{shown} and {} more", count - NAMED)),
        _ => Some(shown),
    }
}
