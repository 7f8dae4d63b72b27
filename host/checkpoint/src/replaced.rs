//! Which files beside the tensors hold the same weights once more.

use std::ffi::OsStr;
use std::path::Path;

/// Folders with the model in another layout: Meta's, ONNX, Apple's, …
const OTHER_LAYOUTS: [&str; 7] =
    ["original", "onnx", "openvino", "gguf", "coreml", "metal", "tflite"];

/// Endings of weights of any kind.
const ENDINGS: [&str; 14] = [
    ".safetensors",
    ".bin",
    ".pt",
    ".pth",
    ".ckpt",
    ".gguf",
    ".ggml",
    ".h5",
    ".msgpack",
    ".ot",
    ".onnx",
    ".onnx_data",
    ".tflite",
    ".mlmodel",
];

/// Endings of weights of other programs, which the model itself never loads.
const OTHER_PROGRAMS: [&str; 9] =
    [".gguf", ".ggml", ".h5", ".msgpack", ".ot", ".onnx", ".onnx_data", ".tflite", ".mlmodel"];

/// What model weights are called that transformers, diffusers, Mistral and Meta write.
const STEMS: [&str; 5] =
    ["pytorch_model", "consolidated", "diffusion_pytorch_model", "flax_model", "openvino_model"];

/// State that only a training reads.
const TRAINING: [&str; 6] = [
    "optimizer.pt",
    "optimizer.bin",
    "scheduler.pt",
    "scaler.pt",
    "rng_state.pth",
    "trainer_state.pt",
];

/// What a file of weights is to the model beside it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Weights {
    /// The weights of the model once more.
    Replaced,
    /// Something of its own, as a speaker table is.
    Other,
}

/// What the file at `path`, below the model's folder, is; `None` when it holds no weights.
pub(crate) fn weights(path: &Path) -> Option<Weights> {
    let name = path.file_name()?.to_string_lossy().to_lowercase();
    let ends = |endings: &[&str]| endings.iter().any(|ending| name.ends_with(ending));
    let folder = path.parent().unwrap_or(Path::new(""));
    let in_other_layout = folder.iter().any(is_other_layout);
    let is_stem = STEMS
        .iter()
        .any(|stem| name.strip_prefix(stem).is_some_and(|rest| rest.starts_with(['.', '-', '_'])));
    if name.ends_with(".index.json") {
        // The index of weights: at the top, or beside weights that stay out.
        let stays_out = folder == Path::new("") || is_stem || in_other_layout;
        return stays_out.then_some(Weights::Replaced);
    }
    // ONNX keeps large tensors in files named after the graph.
    if name.contains(".onnx_data") || name.contains(".onnx.data") {
        return Some(Weights::Replaced);
    }
    if !ends(&ENDINGS) {
        return None;
    }
    let is_shard_at_top = folder == Path::new("") && name.ends_with(".safetensors");
    let is_training = TRAINING.contains(&name.as_str()) || name.starts_with("rng_state_");
    let replaced =
        ends(&OTHER_PROGRAMS) || is_stem || in_other_layout || is_shard_at_top || is_training;
    Some(if replaced { Weights::Replaced } else { Weights::Other })
}

fn is_other_layout(folder: &OsStr) -> bool {
    OTHER_LAYOUTS.iter().any(|name| folder.eq_ignore_ascii_case(name))
}

/// Whether a folder is what a training leaves to go on from: `checkpoint-500`, `global_step100`.
pub(crate) fn is_training_state(folder: &Path) -> bool {
    let name = folder.file_name().unwrap_or_default().to_string_lossy();
    ["checkpoint-", "global_step"].iter().any(|prefix| {
        name.strip_prefix(prefix)
            .is_some_and(|step| !step.is_empty() && step.bytes().all(|b| b.is_ascii_digit()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_are_told_from_other_files() {
        for name in [
            "pytorch_model.bin",
            "pytorch_model-00001-of-00002.bin",
            "pytorch_model.bin.index.json",
            "original/consolidated.00.pth",
            "consolidated.safetensors",
            "a/b/consolidated.01.pth",
            "onnx/model.onnx",
            "onnx/model.onnx_data_1",
            "model-q4.gguf",
            "tf_model.h5",
            "original/x.pt",
            "flax_model.msgpack",
            "model.fp16.safetensors",
            "optimizer.pt",
            "metal/model.bin",
        ] {
            assert_eq!(weights(Path::new(name)), Some(Weights::Replaced), "{name}");
        }
        for name in ["spk_dict.pt", "training_args.bin", "talker/model.safetensors", "dac.pth"] {
            assert_eq!(weights(Path::new(name)), Some(Weights::Other), "{name}");
        }
        for name in ["tokenizer.json", "original/params.json", "modeling.py", "a.index.jsonl"] {
            assert_eq!(weights(Path::new(name)), None, "{name}");
        }
        assert!(is_training_state(Path::new("checkpoint-500")));
        assert!(!is_training_state(Path::new("checkpoint-best")));
    }
}
