//! Prints how many blocks leave the kernels' hot loop, for data of several kinds.
//!
//! `cargo run --release -p fouroversix-conformance --bin ptx-fallback`

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser;
use fouroversix_conformance::case::Input;
use fouroversix_conformance::ptx::fallback::{self, Fallback};
use fouroversix_conformance::rng::Rng;
use fouroversix_core::InstructionSet;
use fouroversix_core::config::{
    Config, E4m3Max, ErrorPath, InputType, Metric, Outputs, Rule, ScaleLayout, Scaling,
};
use fouroversix_reference::Bf16;
use safetensors::{Dtype, SafeTensors};

/// Runs committed kernels in the PTX executor on normal numbers, real weights, constants and zeros (bf16,
/// E4M3 bound 256), compares their outputs with the reference, and prints a table in Markdown: the share
/// of blocks that the hot loop is not certain of, and of those that take the contract's own sequence.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// Instruction set
    #[arg(long, default_value = "sm_89")]
    isa: String,
    /// Weights: a safetensors file with FP32 or BF16 matrices
    #[arg(long, value_name = "FILE", default_value = concat!(
        env!("CARGO_MANIFEST_DIR"), "/../samples/minilm-layer0.safetensors"
    ))]
    weights: PathBuf,
    /// Normal tensors
    #[arg(long, default_value_t = 8)]
    seeds: u64,
}

type AnyError = Box<dyn Error>;

/// Rows and columns of what is made here.
const SHAPE: [usize; 2] = [1024, 1024];

const KERNELS: [(Metric, Scaling); 6] = [
    (Metric::Mae, Scaling::Tensor),
    (Metric::Mse, Scaling::Tensor),
    (Metric::Mae, Scaling::Row),
    (Metric::Mse, Scaling::Row),
    (Metric::Mae, Scaling::Tile),
    (Metric::Mse, Scaling::Tile),
];

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("ptx-fallback: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<(), AnyError> {
    let isa = InstructionSet::ALL.into_iter().find(|isa| isa.to_string() == arguments.isa);
    let isa = isa.ok_or_else(|| format!("no instruction set {:?} is shipped", arguments.isa))?;
    let data = [
        ("N(0, 1)", (1..=arguments.seeds).map(normal).collect()),
        ("real weights", weights(&arguments.weights)?),
        ("constants", [1.0, 0.7, -1e-3].map(constant).into()),
        ("zeros", vec![constant(0.0)]),
    ];
    println!(
        "| kernel | data | blocks | not certain | contract's sequence | most in one tensor | warps \
         that leave the hot loop |
|---|---|--:|--:|--:|--:|--:|"
    );
    for (metric, scaling) in KERNELS {
        // Both error paths are one kernel, and leave the hot loop alike.
        let error_path = ErrorPath::Strict;
        let rule = Rule::FourOverSix { metric, error_path, e4m3_max: E4m3Max::M256 };
        let config = Config::new(rule, scaling, Outputs::Rowwise, ScaleLayout::Linear)?;
        let kernel = fallback::kernel(&config, InputType::Bf16);
        for (name, inputs) in &data {
            let mut sum = Fallback::default();
            let mut worst = 0.0_f64;
            for input in inputs {
                let one = fallback::measure(isa, kernel, config, input)?;
                worst = worst.max(one.exact as f64 / one.blocks as f64);
                sum.add(&one);
            }
            let percent = |part: f64| format!("{:.4}%", 100.0 * part);
            let share = |part: u64, all: u64| percent(part as f64 / all as f64);
            let Fallback { blocks, uncertain, exact, warps, left } = sum;
            println!(
                "| `{kernel}` | {name} | {blocks} | {} | {} | {} | {} |",
                share(uncertain, blocks),
                share(exact, blocks),
                percent(worst),
                share(left, warps),
            );
        }
    }
    Ok(())
}

fn bf16(shape: [usize; 2], values: impl Iterator<Item = f32>) -> Arc<Input> {
    let bits = values.map(|x| Bf16::from_f32(x).to_bits().into()).collect();
    Arc::new(Input { element: InputType::Bf16, shape, bits })
}

fn normal(seed: u64) -> Arc<Input> {
    let mut rng = Rng::new(seed);
    bf16(SHAPE, (0..SHAPE[0] * SHAPE[1]).map(|_| rng.normal()))
}

fn constant(value: f32) -> Arc<Input> {
    bf16(SHAPE, std::iter::repeat_n(value, SHAPE[0] * SHAPE[1]))
}

/// The matrices of a file, in BF16.
fn weights(path: &Path) -> Result<Vec<Arc<Input>>, AnyError> {
    let bytes = fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let mut matrices = Vec::new();
    for (_, tensor) in SafeTensors::deserialize(&bytes)?.iter() {
        let &[rows, cols] = tensor.shape() else { continue };
        let words = tensor.data();
        matrices.push(match tensor.dtype() {
            Dtype::F32 => {
                let word = |b: &[u8]| f32::from_le_bytes([b[0], b[1], b[2], b[3]]);
                bf16([rows, cols], words.chunks_exact(4).map(word))
            }
            Dtype::BF16 => {
                let word = |b: &[u8]| Bf16::from_bits(u16::from_le_bytes([b[0], b[1]])).to_f32();
                bf16([rows, cols], words.chunks_exact(2).map(word))
            }
            _ => continue,
        });
    }
    if matrices.is_empty() {
        return Err(format!("{} has no FP32 or BF16 matrix", path.display()).into());
    }
    Ok(matrices)
}
