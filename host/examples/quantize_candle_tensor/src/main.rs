//! Quantizes a `candle` tensor and puts the result back into candle.
//!
//! ```text
//! cargo run --manifest-path host/examples/quantize_candle_tensor/Cargo.toml
//! ```

use std::error::Error;

use candle_core::{DType, Device, Tensor};
use fouroversix::{Config, Rule, dequantize, quantize};
use half::bf16;

fn main() -> Result<(), Box<dyn Error>> {
    let weight = Tensor::randn(0.0_f32, 0.02, (256, 512), &Device::Cpu)?.to_dtype(DType::BF16)?;

    let (rows, cols) = weight.dims2()?;
    let elements: Vec<bf16> = weight.flatten_all()?.to_vec1()?;
    let config = Config::rowwise(Rule::MSE);
    let nvfp4 = quantize(&elements, [rows, cols], &config)?;

    // The parts as candle tensors: codes two to a byte, one scale byte for 16 weights.
    let codes = Tensor::from_vec(nvfp4.codes().to_vec(), (rows, cols / 2), &Device::Cpu)?;
    let scales = Tensor::from_vec(nvfp4.scales().to_vec(), (rows, cols / 16), &Device::Cpu)?;
    println!("codes {:?} {:?}, scales {:?}", codes.shape(), codes.dtype(), scales.shape());

    // And the weights they stand for, against the original.
    let back: Vec<bf16> = dequantize(&nvfp4)?;
    let back = Tensor::from_vec(back, (rows, cols), &Device::Cpu)?.to_dtype(DType::F32)?;
    let weight = weight.to_dtype(DType::F32)?;
    let error = (&back - &weight)?.sqr()?.mean_all()?.to_scalar::<f32>()?;
    let power = weight.sqr()?.mean_all()?.to_scalar::<f32>()?;
    println!("relative MSE {:.6}", error / power);
    if error / power > 0.01 {
        return Err("the error is larger than NVFP4's on normal weights".into());
    }
    Ok(())
}
