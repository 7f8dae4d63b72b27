//! Quantizes a tensor from Rust and looks at what came out.
//!
//! ```text
//! cargo run --release -p fouroversix --example 01_quantize_tensor
//! ```

use fouroversix::{Config, Rule, dequantize, deviation, quantize};

fn main() -> Result<(), fouroversix::Error> {
    // A [64, 256] weight; any row-major slice of f32, half::bf16 or half::f16 will do.
    let shape = [64, 256];
    let weights: Vec<f32> =
        (0..shape[0] * shape[1]).map(|i| (i as f32 * 0.37).sin() * 0.05).collect();

    for (name, rule) in [("plain", Rule::Plain), ("four over six", Rule::MSE)] {
        let tensor = quantize(&weights, shape, &Config::rowwise(rule))?;
        let bytes = tensor.codes().len() + tensor.scales().len();
        let figures = deviation(tensor.view(), &weights)?;
        println!(
            "{name:13}  {bytes} bytes for {}, SQNR {:.2} dB, relative MSE {:.6}",
            weights.len() * 4,
            figures.sqnr_db(),
            figures.relative_mse()
        );
        let back: Vec<f32> = dequantize(&tensor)?;
        println!("{:13}  {:.4} became {:.4}", "", weights[5], back[5]);
    }
    Ok(())
}
