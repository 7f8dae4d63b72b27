//! Training with NVFP4 products: one linear layer, forward and backward, by four recipes from the same
//! start on the same data, beside BF16. Prints a table of losses, and writes the curves where an
//! argument says so.
//!
//! ```text
//! cargo run --release -p fouroversix --example 08_train_linear_layer -- target/loss.svg
//! cargo run --release -p fouroversix --features cudarc --example 08_train_linear_layer -- target/loss.svg
//! ```
//!
//! The second quantizes and multiplies on the first GPU, a larger layer; where there is none it does what
//! the first does.
//!
//! The layer is `y = (x · gain) Wᵀ`, and learns those of a teacher. A step has three products, and
//! each sums along the rows of its operands, so that every operand is quantized along these:
//!
//! | product | operands | summed over |
//! |---|---|---|
//! | output `[tokens, out]` | inputs by row, weights by row | in |
//! | gradient of inputs `[tokens, in]` | gradients by row, weights by column | out |
//! | gradient of weights `[out, in]` | gradients by column, inputs by column | tokens |
//!
//! Weights have 16x16 blocks, so that both ways they are the same numbers. Gradients are rounded
//! stochastically, so that small ones are right in the mean. Both operands of the weights' gradient are
//! transformed with the same signs, which the product takes away again.

mod cpu;
#[cfg(feature = "cudarc")]
mod gpu;
mod machine;
mod plot;

use fouroversix::{
    Config, ConfigBuilder, Outputs, RandomState, Rounding, Rule, Scaling, SignMask, Transforms,
};

use self::cpu::Cpu;
use self::machine::{Machine, Matrix, Result};

const STEPS: usize = 300;
/// Losses that a point of a curve, and a number of the table, is the mean of.
const WINDOW: usize = 20;
const SEED: u64 = 7;

fn main() -> Result<()> {
    #[cfg(feature = "cudarc")]
    match gpu::Gpu::new() {
        Ok(gpu) => {
            println!("On {}:\n", gpu.name());
            return show(Sizes { tokens: 1024, inputs: 1024, outputs: 512 }, &gpu);
        }
        Err(error) => eprintln!("on the CPU, and small: {error}"),
    }
    println!("On the CPU:\n");
    show(Sizes { tokens: 128, inputs: 128, outputs: 64 }, &Cpu)
}

/// Trains by each recipe, and shows the curves.
fn show(sizes: Sizes, machine: &impl Machine) -> Result<()> {
    let recipes = [
        ("BF16", None),
        ("plain", Some(Nvfp4 { rule: Rule::Plain, training: false })),
        ("plain, transform, stochastic", Some(Nvfp4 { rule: Rule::Plain, training: true })),
        ("4over6, transform, stochastic", Some(Nvfp4 { rule: Rule::MSE, training: true })),
    ];
    let mut curves = Vec::new();
    for (name, nvfp4) in recipes {
        curves.push(train(name, nvfp4, sizes, machine)?);
    }
    println!("{}", plot::table(&curves));
    if let Some(path) = std::env::args().nth(1) {
        std::fs::write(path, plot::svg(&curves)?)?;
    }
    Ok(())
}

/// A batch's tokens, and the layer's inputs and outputs: multiples of 16.
#[derive(Clone, Copy)]
struct Sizes {
    tokens: usize,
    inputs: usize,
    outputs: usize,
}

/// How operands are quantized.
#[derive(Clone, Copy)]
struct Nvfp4 {
    /// Of all operands.
    rule: Rule,
    /// Whether gradients are rounded stochastically and the weights' gradient is transformed.
    training: bool,
}

impl Nvfp4 {
    fn builder(self) -> ConfigBuilder {
        Config::builder().rule(self.rule).outputs(Outputs::Both)
    }

    fn weights(self) -> Result<Config> {
        Ok(self.builder().scaling(Scaling::Tile).build()?)
    }

    fn inputs(self) -> Result<Config> {
        Ok(self.builder().transforms(self.transforms()).build()?)
    }

    /// The offset counts steps: no two draw the same bytes.
    fn gradients(self, step: usize) -> Result<Config> {
        let state = RandomState { seed: SEED, offset: step as u64 };
        let rounding = if self.training { Rounding::Stochastic(state) } else { Rounding::Nearest };
        Ok(self.builder().transforms(self.transforms()).rounding(rounding).build()?)
    }

    /// Of what is summed over tokens.
    fn transforms(self) -> Transforms {
        let columnwise = self.training.then_some(SignMask::TRANSFORMER_ENGINE);
        Transforms { rowwise: None, columnwise }
    }
}

/// What a recipe gives.
struct Curve {
    recipe: &'static str,
    /// Of each step, as the recipe computes it.
    losses: Vec<f32>,
    /// Of what was learned, on new data and with BF16 products: what the gradients were worth.
    learned: f32,
}

/// Trains with the operands and products of a machine.
fn train(
    recipe: &'static str,
    nvfp4: Option<Nvfp4>,
    sizes: Sizes,
    machine: &impl Machine,
) -> Result<Curve> {
    let Sizes { inputs: width, outputs, .. } = sizes;
    let of_width = 1.0 / (width as f32).sqrt();
    let teacher = random(outputs, width, 1, of_width);
    let teacher_gain: Vec<f32> = random(1, width, 2, 0.3).values.iter().map(|x| 1.0 + x).collect();
    let mut weights = random(outputs, width, 3, 0.1 * of_width);
    let mut gain = vec![1.0_f32; width];
    let mut losses = Vec::new();
    for step in 0..STEPS {
        let inputs = batch(sizes, step);
        let target = machine.exact(&scaled(&inputs, &teacher_gain), &teacher)?;

        // Forward.
        let config = nvfp4.map(Nvfp4::inputs).transpose()?;
        let [x, x_by_column] = machine.operands(&scaled(&inputs, &gain), config.as_ref())?;
        let config = nvfp4.map(Nvfp4::weights).transpose()?;
        let [w, w_by_column] = machine.operands(&weights, config.as_ref())?;
        let output = machine.product(&x, &w)?;
        let (of_step, gradient) = loss(&output, &target);
        losses.push(of_step);

        // Backward.
        let config = nvfp4.map(|nvfp4| nvfp4.gradients(step)).transpose()?;
        let [g, g_by_column] = machine.operands(&gradient, config.as_ref())?;
        let of_inputs = machine.product(&g, &w_by_column)?;
        let of_weights = machine.product(&g_by_column, &x_by_column)?;

        // The rate falls to a tenth, so that the end shows the recipe and not the rate.
        let rate = 0.1_f32.powf(step as f32 / STEPS as f32) / 64.0;
        for (weight, of_weight) in weights.values.iter_mut().zip(&of_weights.values) {
            *weight -= 6.0 * outputs as f32 * rate * of_weight;
        }
        let mut of_gain = vec![0.0; width];
        let rows = of_inputs.values.chunks_exact(width).zip(inputs.values.chunks_exact(width));
        for (of_row, row) in rows {
            of_gain.iter_mut().zip(of_row.iter().zip(row)).for_each(|(sum, (a, b))| *sum += a * b);
        }
        for (gain, of_gain) in gain.iter_mut().zip(of_gain) {
            *gain -= width as f32 * rate * of_gain;
        }
    }
    let inputs = batch(sizes, STEPS);
    let target = machine.exact(&scaled(&inputs, &teacher_gain), &teacher)?;
    let (learned, _) = loss(&machine.exact(&scaled(&inputs, &gain), &weights)?, &target);
    Ok(Curve { recipe, losses, learned })
}

/// The mean over a step's outputs of the squared difference, and what it is for each output.
fn loss(output: &Matrix, target: &Matrix) -> (f32, Matrix) {
    let count = output.values.len() as f32;
    let differences = output.values.iter().zip(&target.values).map(|(y, t)| y - t);
    let loss = differences.clone().map(|d| d * d).sum::<f32>() / count;
    let values = differences.map(|d| 2.0 * d / count).collect();
    (loss, Matrix { rows: output.rows, cols: output.cols, values })
}

fn scaled(x: &Matrix, gain: &[f32]) -> Matrix {
    let values = x.values.chunks_exact(x.cols).flat_map(|row| row.iter().zip(gain));
    Matrix { values: values.map(|(x, gain)| x * gain).collect(), ..*x }
}

/// A step's inputs: near normal, some tokens larger than the others.
fn batch(sizes: Sizes, step: usize) -> Matrix {
    let mut inputs = random(sizes.tokens, sizes.inputs, 100 + step as u64, 1.0);
    for token in inputs.values.chunks_exact_mut(sizes.inputs).step_by(32) {
        token.iter_mut().for_each(|x| *x *= 3.0);
    }
    inputs
}

/// Near a normal distribution: sums of four uniform numbers by SplitMix64.
fn random(rows: usize, cols: usize, seed: u64, deviation: f32) -> Matrix {
    let mut state = seed << 32;
    let mut uniform = || {
        state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (state ^ state >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ z >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ z >> 31) >> 40) as f32 / 16_777_216.0 - 0.5
    };
    let mut normal = || (uniform() + uniform() + uniform() + uniform()) * 3.0_f32.sqrt();
    let values = (0..rows * cols).map(|_| deviation * normal()).collect();
    Matrix { rows, cols, values }
}
