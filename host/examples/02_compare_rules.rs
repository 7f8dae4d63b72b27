//! What each rule loses on the same weights.
//!
//! ```text
//! cargo run --release -p fouroversix --example 02_compare_rules
//! ```

use fouroversix::{Config, Rule, Scaling, deviation, quantize};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let shape = [256, 512];
    let weights: Vec<f32> = (0..shape[0] * shape[1]).map(bell).collect();

    for scaling in [Scaling::Tensor, Scaling::Tile] {
        for rule in [Rule::Plain, Rule::MAE, Rule::MSE] {
            let config = Config::builder().rule(rule).scaling(scaling).build()?;
            let tensor = quantize(&weights, shape, &config)?;
            let lost = deviation(tensor.view(), &weights)?;
            println!(
                "{:6} {rule:14}  relative MSE {:.6}, SQNR {:.2} dB",
                scaling.name(),
                lost.relative_mse(),
                lost.sqnr_db()
            );
        }
    }
    Ok(())
}

/// Numbers like a layer's weights: the sum of four uniform ones is near enough to a normal one.
fn bell(i: usize) -> f32 {
    let uniform = |k: usize| {
        let bits = (4 * i + k) as u64;
        let bits = bits.wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(31);
        (bits.wrapping_mul(0xBF58_476D_1CE4_E5B9) >> 40) as f32 / 16_777_216.0 - 0.5
    };
    0.05 * (uniform(0) + uniform(1) + uniform(2) + uniform(3))
}
