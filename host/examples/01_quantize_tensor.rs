//! A tensor in, codes and scales out, and back.
//!
//! ```text
//! cargo run --release -p fouroversix --example 01_quantize_tensor
//! ```

use fouroversix::{Config, dequantize, quantize};

fn main() -> Result<(), fouroversix::Error> {
    // A [64, 256] weight; any row-major slice of f32, half::bf16 or half::f16 will do.
    let shape = [64, 256];
    let weights: Vec<f32> =
        (0..shape[0] * shape[1]).map(|i| (i as f32 * 0.37).sin() * 0.05).collect();

    // The default: Four Over Six by squared error, 1x16 blocks, one amax for the tensor.
    let tensor = quantize(&weights, shape, &Config::default())?;
    println!(
        "{} bytes became {} of codes and {} of scales, amax {}",
        4 * weights.len(),
        tensor.codes().len(),
        tensor.scales().len(),
        tensor.global_amax()[0]
    );

    let back: Vec<f32> = dequantize(&tensor)?;
    for i in [0, 1, 2, 3] {
        println!("{:+.4} came back as {:+.4}", weights[i], back[i]);
    }
    Ok(())
}
