//! A model directory whose JSON files are anything: a sentence, or a checkpoint that can be planned.
#![no_main]

use std::fs;
use std::path::PathBuf;
use std::sync::LazyLock;

use fouroversix::checkpoint::{Checkpoint, QuantizeOptions, decide, declarations};
use fouroversix_fuzz::{folder, write_model};
use libfuzzer_sys::fuzz_target;

static MODEL: LazyLock<PathBuf> = LazyLock::new(|| {
    let model = folder("model");
    write_model(&model);
    model
});

/// The files that the first byte chooses from; the rest is what is in it.
const FILES: [&str; 5] = [
    "config.json",
    "model.safetensors.index.json",
    "hf_quant_config.json",
    "quantize_config.json",
    "model-00001-of-00002.safetensors",
];

fuzz_target!(|data: &[u8]| {
    let Some((which, bytes)) = data.split_first() else { return };
    let path = MODEL.join(FILES[usize::from(*which) % FILES.len()]);
    let before = fs::read(&path).ok();
    fs::write(&path, bytes).expect("it can be written");
    if let Ok(checkpoint) = Checkpoint::open(&MODEL) {
        for declaration in declarations(&checkpoint).unwrap_or_default() {
            assert!(!declaration.method.is_empty());
        }
        let _ = decide(&checkpoint, &QuantizeOptions::default());
    }
    match before {
        Some(before) => fs::write(&path, before).expect("it can be written"),
        None => fs::remove_file(&path).expect("it can be removed"),
    }
});
