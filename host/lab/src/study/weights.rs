//! Real weights from checkpoints.

use std::path::Path;

use fouroversix::Element;
use fouroversix::checkpoint::{Checkpoint, CheckpointError};
use half::{bf16, f16};

/// One weight matrix.
#[derive(Clone, Debug, PartialEq)]
pub struct Weights {
    /// The tensor's name in its file.
    pub name: String,
    /// `[rows, cols]`, multiples of 16.
    pub shape: [usize; 2],
    /// Its elements, exactly.
    pub values: Vec<f32>,
}

/// The 2-D BF16, F16 and F32 tensors of a safetensors file or model directory whose dimensions are
/// multiples of 16, in the file's order.
///
/// # Errors
/// [`CheckpointError`] when the file can't be read.
pub fn load(path: &Path) -> Result<Vec<Weights>, CheckpointError> {
    let checkpoint = Checkpoint::open(path)?;
    let mut all = Vec::new();
    for (file, entry) in checkpoint.tensors() {
        let &[rows, cols] = entry.shape.as_slice() else { continue };
        if rows * cols == 0 || !rows.is_multiple_of(16) || !cols.is_multiple_of(16) {
            continue;
        }
        let bytes = file.bytes(entry);
        let half = |of: fn(u16) -> f32| {
            bytes.chunks_exact(2).map(|b| of(u16::from_le_bytes([b[0], b[1]]))).collect()
        };
        let values: Vec<f32> = match entry.dtype.name() {
            "BF16" => half(|bits| Element::to_f32(bf16::from_bits(bits))),
            "F16" => half(|bits| Element::to_f32(f16::from_bits(bits))),
            "F32" => {
                let words = bytes.chunks_exact(4);
                words.map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect()
            }
            _ => continue,
        };
        all.push(Weights { name: entry.name.clone(), shape: [rows, cols], values });
    }
    Ok(all)
}
