//! What the tests of the program share: folders, files and ways to run it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicUsize, Ordering};

use fouroversix::checkpoint::{Dtype, Header, TensorEntry};
use half::bf16;

/// A folder that is removed at the end of the test.
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new() -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let path =
            std::env::temp_dir().join(format!("fouroversix-cli-{}-{number}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    pub(crate) fn names(&self) -> Vec<String> {
        names(&self.0)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Names in a folder, sorted.
pub(crate) fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(folder)
        .unwrap()
        .map(|item| item.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// A tensor for [`write_safetensors`].
#[derive(Clone)]
pub(crate) struct Tensor {
    entry: TensorEntry,
    pub(crate) bytes: Vec<u8>,
}

/// A tensor of given bytes.
pub(crate) fn tensor(name: &str, dtype: &str, shape: &[usize], bytes: Vec<u8>) -> Tensor {
    let entry = TensorEntry {
        name: name.to_owned(),
        dtype: Dtype::new(dtype),
        shape: shape.to_vec(),
        range: 0..bytes.len() as u64,
    };
    Tensor { entry, bytes }
}

/// A BF16 tensor of numbers that look like weights, the same for the same name and shape.
pub(crate) fn weights(name: &str, shape: &[usize]) -> Tensor {
    let count = shape.iter().product();
    let mut state = name
        .bytes()
        .fold(0x9E37_79B9_7F4A_7C15_u64, |s, b| (s ^ u64::from(b)).wrapping_mul(0x100_0000_01B3));
    let bytes = (0..count)
        .flat_map(|_| {
            // Sums of four uniform numbers are near enough to normal ones.
            let sum: f32 = (0..4)
                .map(|_| {
                    state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                    (state >> 40) as f32 / 16_777_216.0 - 0.5
                })
                .sum();
            bf16::from_f32(sum * 0.05).to_le_bytes()
        })
        .collect();
    tensor(name, "BF16", shape, bytes)
}

/// Writes a safetensors file.
pub(crate) fn write_safetensors(path: &Path, tensors: &[Tensor]) {
    let entries = tensors.iter().map(|tensor| tensor.entry.clone()).collect();
    let (header, mut file) = Header::layout(entries, BTreeMap::new());
    for entry in &header.entries {
        let tensor = tensors.iter().find(|tensor| tensor.entry.name == entry.name).unwrap();
        assert_eq!(entry.bytes(), tensor.bytes.len() as u64, "{}", entry.name);
        file.extend_from_slice(&tensor.bytes);
    }
    fs::write(path, file).unwrap();
}

/// A model directory of `layers` layers in two shards, with a tokenizer and a folder.
pub(crate) fn write_model(folder: &Path, layers: usize, width: usize) {
    fs::create_dir_all(folder.join("extra")).unwrap();
    fs::write(folder.join("extra/notes.txt"), "kept as it is").unwrap();
    fs::write(folder.join("tokenizer.json"), "{\"kept\": true}").unwrap();
    fs::write(folder.join("pytorch_model.bin"), "stale").unwrap();
    let config = "{\"architectures\": [\"LlamaForCausalLM\"], \"model_type\": \"llama\", \
                  \"rms_norm_eps\": 1e-06}";
    fs::write(folder.join("config.json"), config).unwrap();
    let mut shards = [vec![weights("model.embed_tokens.weight", &[64, width])], Vec::new()];
    for layer in 0..layers {
        let name = |leaf: &str| format!("model.layers.{layer}.{leaf}.weight");
        for leaf in ["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"] {
            shards[0].push(weights(&name(leaf), &[width, width]));
        }
        for leaf in ["mlp.gate_proj", "mlp.up_proj"] {
            shards[1].push(weights(&name(leaf), &[2 * width, width]));
        }
        shards[1].push(weights(&name("mlp.down_proj"), &[width, 2 * width]));
        shards[1].push(weights(&name("input_layernorm"), &[width]));
    }
    shards[1].push(weights("lm_head.weight", &[64, width]));
    let mut map = BTreeMap::new();
    for (i, tensors) in shards.iter().enumerate() {
        let shard = format!("model-{:05}-of-00002.safetensors", i + 1);
        write_safetensors(&folder.join(&shard), tensors);
        map.extend(tensors.iter().map(|tensor| (tensor.entry.name.clone(), shard.clone())));
    }
    let index = serde_json::json!({"metadata": {}, "weight_map": map});
    fs::write(folder.join("model.safetensors.index.json"), index.to_string()).unwrap();
}

/// The program with arguments.
pub(crate) fn program(arguments: &[&Path]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_fouroversix"));
    command.args(arguments);
    command
}

/// Runs the program; paths and options are given alike.
pub(crate) fn run<const N: usize>(arguments: [&dyn AsRef<Path>; N]) -> Output {
    program(&arguments.map(AsRef::as_ref)).output().unwrap()
}

/// Runs the program, which must succeed, and returns its standard output.
#[track_caller]
pub(crate) fn succeed<const N: usize>(arguments: [&dyn AsRef<Path>; N]) -> String {
    let output = run(arguments);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Runs the program, which must refuse with status 2 and one sentence, and returns that.
#[track_caller]
pub(crate) fn refuse<const N: usize>(arguments: [&dyn AsRef<Path>; N]) -> String {
    let output = run(arguments);
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert_eq!(said.lines().count(), 1, "not one sentence: {said}");
    assert!(said.starts_with("error: "), "{said}");
    said
}

/// Every file below a folder with its bytes.
pub(crate) fn contents(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for name in names(&next) {
            let path = next.join(name);
            if path.is_dir() {
                folders.push(path);
            } else {
                let bytes = fs::read(&path).unwrap();
                files.insert(path.strip_prefix(folder).unwrap().to_owned(), bytes);
            }
        }
    }
    files
}
