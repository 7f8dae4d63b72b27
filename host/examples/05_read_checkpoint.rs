//! Reads a compressed-tensors (or modelopt) checkpoint: every quantized weight and its error.
//!
//! ```text
//! cargo run --release -p fouroversix --features checkpoint --example 05_read_checkpoint -- MODEL
//! ```
//!
//! `MODEL` is a directory or a file. Without it, the sample in `samples/` is quantized first, so
//! that there is something to read.

use std::error::Error;
use std::path::{Path, PathBuf};

use fouroversix::checkpoint::{
    Checkpoint, CpuQuantizer, Observer, QuantizeOptions, TensorRecord, quantize_checkpoint,
};
use half::bf16;

fn main() -> Result<(), Box<dyn Error>> {
    let given = std::env::args_os().nth(1).map(PathBuf::from);
    let made = given.is_none().then(quantize_sample).transpose()?;
    let path = given.or_else(|| made.clone()).expect("one of both");

    let checkpoint = Checkpoint::open(&path)?;
    for name in checkpoint.stored_names() {
        let stored = checkpoint.stored(&name)?;
        let [rows, cols] = stored.shape;
        // Rounded to bfloat16 as loaders do; any element type of the library will do.
        let weights: Vec<bf16> = stored.dequantize();
        let largest = weights.iter().map(|w| w.to_f32().abs()).fold(0.0, f32::max);
        println!(
            "{} [{rows}, {cols}] {}: global scale {:?}, largest weight {largest}",
            name.tensor,
            name.format,
            stored.global.values()
        );
    }
    if let Some(path) = made {
        std::fs::remove_file(path)?;
    }
    Ok(())
}

/// Quantizes the sample to a temporary file, as the program does.
fn quantize_sample() -> Result<PathBuf, Box<dyn Error>> {
    let sample = Path::new(env!("CARGO_MANIFEST_DIR")).join("../samples/minilm-layer0.safetensors");
    let output = std::env::temp_dir().join(format!("sample-{}.safetensors", std::process::id()));
    let options = QuantizeOptions::default().with_force(true);
    let checkpoint = Checkpoint::open(&sample)?;
    quantize_checkpoint(&checkpoint, &output, &options, &mut CpuQuantizer, &mut Quiet)?;
    Ok(output)
}

/// Says nothing while quantizing.
struct Quiet;

impl Observer for Quiet {
    fn advance(&mut self, _bytes: u64) {}
    fn tensor(&mut self, _record: &TensorRecord) {}
    fn note(&mut self, _text: &str) {}
}
