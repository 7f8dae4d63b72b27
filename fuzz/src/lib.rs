//! What the targets share: a folder, a small model, an observer that says nothing.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use fouroversix::checkpoint::{Dtype, Header, Observer, TensorEntry, TensorRecord};

/// Says nothing.
pub struct Silent;

impl Observer for Silent {
    fn advance(&mut self, _bytes: u64) {}
    fn tensor(&mut self, _record: &TensorRecord) {}
    fn note(&mut self, _text: &str) {}
}

/// A folder of this process, empty; in memory where the system has such a place.
pub fn folder(name: &str) -> PathBuf {
    let memory = Path::new("/dev/shm");
    let base = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
    let folder = base.join(format!("fouroversix-fuzz-{name}-{}", std::process::id()));
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).expect("a folder can be made");
    folder
}

/// A safetensors file of BF16 tensors `[16, 32]`.
pub fn write_file(path: &Path, names: &[&str]) {
    let entry = |name: &&str| TensorEntry {
        name: (*name).to_owned(),
        dtype: Dtype::new("BF16"),
        shape: vec![16, 32],
        range: 0..1024,
    };
    let (header, mut file) = Header::layout(names.iter().map(entry).collect(), BTreeMap::new());
    for (i, _) in header.entries.iter().enumerate() {
        file.extend((0..512).flat_map(|j| (0x3C00_u16 + (i * 512 + j * 7) as u16).to_le_bytes()));
    }
    fs::write(path, file).expect("a file can be written");
}

/// Two shards, an index and a configuration.
pub fn write_model(folder: &Path) {
    fs::create_dir_all(folder).expect("a folder can be made");
    let shards = [
        ("model-00001-of-00002.safetensors", "model.layers.0.mlp.up_proj.weight"),
        ("model-00002-of-00002.safetensors", "model.layers.0.mlp.down_proj.weight"),
    ];
    let mut map = Vec::new();
    for (shard, name) in shards {
        write_file(&folder.join(shard), &[name]);
        map.push(format!("\"{name}\": \"{shard}\""));
    }
    let index = format!("{{\"metadata\": {{}}, \"weight_map\": {{{}}}}}", map.join(", "));
    fs::write(folder.join("model.safetensors.index.json"), index).expect("it can be written");
    let config = "{\"architectures\": [\"LlamaForCausalLM\"], \"model_type\": \"llama\"}";
    fs::write(folder.join("config.json"), config).expect("it can be written");
}

/// Every file below a folder with its bytes.
pub fn contents(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for item in fs::read_dir(&next).expect("it is a folder") {
            let path = item.expect("it can be listed").path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let bytes = fs::read(&path).expect("it can be read");
                files.insert(path.strip_prefix(folder).expect("it is below").to_owned(), bytes);
            }
        }
    }
    files
}
