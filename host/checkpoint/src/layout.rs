//! Which files of a folder are the model: names that transformers and diffusers look for.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use super::error::CheckpointError;
use super::folder::names;
use super::json::read_object;

/// The name of a sharded model's index.
pub(crate) fn index_of(stem: &str) -> String {
    format!("{stem}.safetensors.index.json")
}

/// The files with a model's tensors, as its folder names them.
#[derive(Debug, Default)]
pub(crate) struct Shards {
    /// What their names start with: `model`, or `diffusion_pytorch_model`.
    pub(crate) stem: String,
    /// Plain file names, sorted.
    pub(crate) names: Vec<PathBuf>,
    /// The index's path and its map from tensors to shards.
    pub(crate) index: Option<(PathBuf, BTreeMap<String, String>)>,
    /// What the user should know of the choice.
    pub(crate) notes: Vec<String>,
}

/// Finds the files that loaders take.
///
/// transformers takes `model.safetensors` before an index (5.23, `_get_resolved_checkpoint_files`),
/// diffusers the index before `diffusion_pytorch_model.safetensors` (`_fetch_index_file`). Without
/// either, a folder's one safetensors file or one index of a variant is taken.
pub(crate) fn find(dir: &Path, is_diffusers: bool) -> Result<Shards, CheckpointError> {
    let stems = ["model", "diffusion_pytorch_model"];
    let order = if is_diffusers { [stems[1], stems[0]] } else { stems };
    for stem in order {
        let single = format!("{stem}.safetensors");
        let index = index_of(stem);
        let [has_single, has_index] = [&single, &index].map(|name| dir.join(name).is_file());
        let index_first = stem == stems[1];
        if has_single && !(has_index && index_first) {
            let mut shards = one(stem, &single);
            if has_index {
                shards.notes.push(format!(
                    "{single} is read, as transformers does, and not the shards of {index} beside it"
                ));
            }
            return Ok(shards);
        }
        if has_index {
            let mut shards = indexed(stem, dir, &index)?;
            if has_single {
                shards.notes.push(format!(
                    "the shards of {index} are read, as diffusers does, and not {single} beside it"
                ));
            }
            return Ok(shards);
        }
    }
    without_usual_names(dir, &stems)
}

fn one(stem: &str, name: &str) -> Shards {
    Shards { stem: stem.to_owned(), names: vec![PathBuf::from(name)], ..Shards::default() }
}

/// A folder with neither of the usual names: one file, or one index of a variant.
fn without_usual_names(dir: &Path, stems: &[&str]) -> Result<Shards, CheckpointError> {
    let mut found = Vec::new();
    let mut variants = Vec::new();
    for name in names(dir)? {
        let path = Path::new(&name);
        if !dir.join(path).is_file() {
            continue;
        }
        if path.extension().is_some_and(|extension| extension == "safetensors") {
            found.push(path.to_owned());
        }
        let is_index_of = |stem: &&&str| {
            let start = format!("{stem}.safetensors.index.");
            path.to_str().is_some_and(|name| name.starts_with(&start) && name.ends_with(".json"))
        };
        if let Some(stem) = stems.iter().find(is_index_of) {
            variants.push((*stem, name.to_string_lossy().into_owned()));
        }
    }
    if let [(stem, index)] = variants.as_slice() {
        let mut shards = indexed(stem, dir, index)?;
        shards
            .notes
            .push(format!("the shards of {index} are read; the output has the plain names"));
        return Ok(shards);
    }
    match found.as_slice() {
        [name] => {
            let is_of = |stem: &&&str| name.to_string_lossy().starts_with(&format!("{stem}."));
            let stem = stems.iter().rev().find(is_of).unwrap_or(&stems[0]);
            Ok(Shards { stem: (*stem).to_owned(), names: vec![name.clone()], ..Shards::default() })
        }
        [] => Err(CheckpointError::malformed(dir, no_weights(dir))),
        many => Err(CheckpointError::malformed(
            dir,
            format!(
                "the folder holds {} .safetensors files but no {}: add the index",
                many.len(),
                index_of(stems[0])
            ),
        )),
    }
}

/// What to say of a folder without weights.
fn no_weights(dir: &Path) -> String {
    let snapshots = snapshots(dir);
    if !snapshots.is_empty() {
        return format!(
            "the folder is an entry of a Hugging Face cache: pass the snapshot in it, {}",
            snapshots.join(" or ")
        );
    }
    let entries = names(dir).unwrap_or_default();
    let is_cache = |name: &std::ffi::OsString| name.as_encoded_bytes().starts_with(b"models--");
    if entries.iter().any(is_cache) {
        return "the folder is a Hugging Face cache: pass a snapshot in it, \
                models--ORG--NAME/snapshots/REVISION"
            .to_owned();
    }
    "the folder holds no .safetensors file: pass a model directory with safetensors weights"
        .to_owned()
}

/// Snapshots of a cache's entry, or of its `snapshots` folder, that of `main` first.
fn snapshots(dir: &Path) -> Vec<String> {
    let is_snapshots = dir.file_name().is_some_and(|name| name == "snapshots");
    let folder = if is_snapshots { dir.to_owned() } else { dir.join("snapshots") };
    let entry = folder.parent().unwrap_or(dir);
    let reference = entry.join("refs/main");
    let main = if reference.is_file() { fs::read_to_string(reference).ok() } else { None };
    let mut found: Vec<PathBuf> = names(&folder)
        .unwrap_or_default()
        .into_iter()
        .map(|name| folder.join(name))
        .filter(|path| path.is_dir())
        .collect();
    let is_main = |path: &PathBuf| {
        main.as_ref().is_some_and(|main| path.file_name().is_some_and(|name| name == main.trim()))
    };
    found.sort_by_key(|path| !is_main(path));
    found.iter().map(|path| path.display().to_string()).collect()
}

/// The shards that an index names.
fn indexed(stem: &str, dir: &Path, index: &str) -> Result<Shards, CheckpointError> {
    let path = dir.join(index);
    let map = weight_map(&path)?;
    let names: BTreeSet<&String> = map.values().collect();
    for &shard in &names {
        if Path::new(shard).file_name().is_none_or(|name| name != shard.as_str()) {
            return Err(CheckpointError::malformed(
                &path,
                format!("it names the shard {shard:?}, which is not a plain file name: fix it"),
            ));
        }
        if !dir.join(shard).is_file() {
            return Err(CheckpointError::malformed(
                &path,
                format!("it names the shard {shard}, which is not in the folder: fetch it"),
            ));
        }
    }
    let names = names.into_iter().map(PathBuf::from).collect();
    Ok(Shards { stem: stem.to_owned(), names, index: Some((path, map)), notes: Vec::new() })
}

/// `weight_map` of an index.
fn weight_map(index: &Path) -> Result<BTreeMap<String, String>, CheckpointError> {
    let mut object = read_object(index)?.unwrap_or_default();
    let map = object.remove("weight_map").unwrap_or_default();
    serde_json::from_value(map).map_err(|error| {
        CheckpointError::malformed(
            index,
            format!("its weight_map is not usable ({error}): fetch it again"),
        )
    })
}
