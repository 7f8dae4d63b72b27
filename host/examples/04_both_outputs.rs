//! Both outputs of a training step's operand: the tensor and its transpose, each quantized along its
//! own rows.
//!
//! ```text
//! cargo run --release -p fouroversix --example 04_both_outputs
//! ```

use fouroversix::{Config, Outputs, ScaleLayout, dequantize, quantize_both};
use half::bf16;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let [rows, cols] = [128, 256];
    let activations: Vec<bf16> =
        (0..rows * cols).map(|i| bf16::from_f32((i as f32 * 0.013).cos())).collect();

    // Scales as Blackwell's tensor cores read them.
    let config = Config::builder()
        .outputs(Outputs::Both)
        .scale_layout(ScaleLayout::Swizzled128x4)
        .build()?;
    let [rowwise, columnwise] = quantize_both(&activations, [rows, cols], &config)?;
    println!("rowwise {:?}, columnwise {:?}", rowwise.shape(), columnwise.shape());

    // The same element in both: its neighbours differ, so its scale does.
    let (r, c) = (5, 70);
    let (along_row, along_column): (Vec<f32>, Vec<f32>) =
        (dequantize(&rowwise)?, dequantize(&columnwise)?);
    println!(
        "{:+.4}: {:+.4} among its row, {:+.4} among its column",
        activations[r * cols + c],
        along_row[r * cols + c],
        along_column[c * rows + r]
    );
    Ok(())
}
