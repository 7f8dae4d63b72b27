//! Training with NVFP4 products: one linear layer, forward and backward, by four recipes from the same
//! start on the same data, beside BF16. Prints a table of losses, and writes the curves where an
//! argument says so.
//!
//! ```text
//! cargo run --release -p fouroversix --example 08_train_linear_layer -- target/loss.svg
//! ```
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

use std::fmt::Write as _;

use fouroversix::{
    Config, ConfigBuilder, Error, Outputs, RandomState, Rounding, Rule, Scaling, SignMask,
    Transforms, dequantize, quantize_both,
};
use half::bf16;

const TOKENS: usize = 128;
const IN: usize = 128;
const OUT: usize = 64;
const STEPS: usize = 300;
/// Losses that a point of a curve, and a number of the table, is the mean of.
const WINDOW: usize = 20;
const SEED: u64 = 7;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let four_over_six = Nvfp4 { rule: Rule::MSE, training: true };
    let recipes = [
        ("BF16", None),
        ("plain", Some(Nvfp4 { rule: Rule::Plain, training: false })),
        ("plain, transform, stochastic", Some(Nvfp4 { rule: Rule::Plain, training: true })),
        ("4over6, transform, stochastic", Some(four_over_six)),
    ];
    let mut curves = Vec::new();
    for (name, nvfp4) in recipes {
        curves.push(train(name, nvfp4, &Cpu)?);
    }
    println!("{}", table(&curves));
    if let Some(path) = std::env::args().nth(1) {
        std::fs::write(path, svg(&curves))?;
    }
    Ok(())
}

/// A row-major matrix.
struct Matrix {
    rows: usize,
    cols: usize,
    values: Vec<f32>,
}

/// An operand along its rows, and along its columns (transposed).
type BothWays = [Matrix; 2];

/// Where products are made. A GPU's would take the quantized operands to its memory.
trait Products {
    /// `a bᵀ`, the sums in FP32: `[rows of a, rows of b]`.
    fn product(&self, a: &Matrix, b: &Matrix) -> Matrix;
}

/// One core of this machine.
struct Cpu;

impl Products for Cpu {
    fn product(&self, a: &Matrix, b: &Matrix) -> Matrix {
        assert_eq!(a.cols, b.cols, "the sums are along rows of both");
        let row = |row| b.values.chunks_exact(b.cols).map(move |b| dot(row, b));
        let values = a.values.chunks_exact(a.cols).flat_map(row).collect();
        Matrix { rows: a.rows, cols: b.rows, values }
    }
}

/// In 16 sums, which are then added.
fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [0.0_f32; 16];
    for (a, b) in a.as_chunks::<16>().0.iter().zip(b.as_chunks::<16>().0) {
        for (sum, (a, b)) in sums.iter_mut().zip(a.iter().zip(b)) {
            *sum += a * b;
        }
    }
    sums.iter().sum()
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

    fn weights(self) -> Result<Config, Error> {
        Ok(self.builder().scaling(Scaling::Tile).build()?)
    }

    fn inputs(self) -> Result<Config, Error> {
        Ok(self.builder().transforms(self.transforms()).build()?)
    }

    /// The offset counts steps: no two draw the same bytes.
    fn gradients(self, step: usize) -> Result<Config, Error> {
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

/// An operand as products see it, both ways; BF16 without a configuration.
fn operand(x: &Matrix, config: Option<Config>) -> Result<BothWays, Error> {
    let Matrix { rows, cols, .. } = *x;
    let values: Vec<bf16> = x.values.iter().map(|x| bf16::from_f32(*x)).collect();
    let [along_rows, along_columns] = match config {
        Some(config) => {
            let [rowwise, columnwise] = quantize_both(&values, [rows, cols], &config)?;
            [dequantize(&rowwise)?, dequantize(&columnwise)?]
        }
        None => {
            let values: Vec<f32> = values.iter().map(|x| x.to_f32()).collect();
            let column = |col: usize| values.iter().skip(col).step_by(cols).copied();
            let transposed = (0..cols).flat_map(column).collect();
            [values, transposed]
        }
    };
    Ok([
        Matrix { rows, cols, values: along_rows },
        Matrix { rows: cols, cols: rows, values: along_columns },
    ])
}

/// What a recipe gives.
struct Curve {
    recipe: &'static str,
    /// Of each step, as the recipe computes it.
    losses: Vec<f32>,
    /// Of what was learned, on new data and with BF16 products: what the gradients were worth.
    learned: f32,
}

/// Trains with products of a kind.
fn train(
    recipe: &'static str,
    nvfp4: Option<Nvfp4>,
    products: &dyn Products,
) -> Result<Curve, Error> {
    let teacher = random(OUT, IN, 1, 1.0 / (IN as f32).sqrt());
    let teacher_gain: Vec<f32> = random(1, IN, 2, 0.3).values.iter().map(|x| 1.0 + x).collect();
    let mut weights = random(OUT, IN, 3, 0.1 / (IN as f32).sqrt());
    let mut gain = vec![1.0_f32; IN];
    let mut losses = Vec::new();
    for step in 0..STEPS {
        let inputs = inputs(step);
        let target = Cpu.product(&scaled(&inputs, &teacher_gain), &teacher);

        // Forward.
        let scaled_inputs = scaled(&inputs, &gain);
        let config = nvfp4.map(Nvfp4::inputs).transpose()?;
        let [x, x_by_column] = operand(&scaled_inputs, config)?;
        let config = nvfp4.map(Nvfp4::weights).transpose()?;
        let [w, w_by_column] = operand(&weights, config)?;
        let output = products.product(&x, &w);
        let (of_step, gradient) = loss(&output, &target);
        losses.push(of_step);

        // Backward.
        let config = nvfp4.map(|nvfp4| nvfp4.gradients(step)).transpose()?;
        let [g, g_by_column] = operand(&gradient, config)?;
        let of_inputs = products.product(&g, &w_by_column);
        let of_weights = products.product(&g_by_column, &x_by_column);

        // The rate falls to a tenth, so that the end shows the recipe and not the rate.
        let rate = 0.1_f32.powf(step as f32 / STEPS as f32);
        for (weight, of_weight) in weights.values.iter_mut().zip(&of_weights.values) {
            *weight -= 6.0 * rate * of_weight;
        }
        for (j, gain) in gain.iter_mut().enumerate() {
            let column = |x: &'_ Matrix, t: usize| x.values[t * IN + j];
            let of_gain: f32 =
                (0..TOKENS).map(|t| column(&of_inputs, t) * column(&inputs, t)).sum();
            *gain -= 2.0 * rate * of_gain;
        }
    }
    let inputs = inputs(STEPS);
    let [x, _] = operand(&scaled(&inputs, &gain), None)?;
    let [w, _] = operand(&weights, None)?;
    let target = Cpu.product(&scaled(&inputs, &teacher_gain), &teacher);
    let (learned, _) = loss(&products.product(&x, &w), &target);
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
fn inputs(step: usize) -> Matrix {
    let mut inputs = random(TOKENS, IN, 100 + step as u64, 1.0);
    for token in inputs.values.chunks_exact_mut(IN).step_by(32) {
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

fn mean(losses: &[f32]) -> f32 {
    losses.iter().sum::<f32>() / losses.len() as f32
}

/// Mean losses before some steps, the last among them.
fn table(curves: &[Curve]) -> String {
    let columns = [1, 3, 6, 10, 15].map(|window| window * WINDOW);
    let mut text = String::from("| loss, mean of 20 steps before step |");
    columns.iter().for_each(|step| write!(text, " {step} |").expect("a string"));
    text += " learned, by BF16 |\n|---|--:|";
    columns.iter().for_each(|_| text += "--:|");
    for Curve { recipe, losses, learned } in curves {
        write!(text, "\n| {recipe} |").expect("a string");
        for step in columns {
            write!(text, " {:.5} |", mean(&losses[step - WINDOW..step])).expect("a string");
        }
        write!(text, " {learned:.5} |").expect("a string");
    }
    text
}

/// The curves, the loss on a scale of powers of ten.
fn svg(curves: &[Curve]) -> String {
    const COLOURS: [&str; 4] = ["#222222", "#0b62a4", "#d1600f", "#5a8f29"];
    let smooth: Vec<Vec<f32>> = curves
        .iter()
        .map(|curve| curve.losses.windows(WINDOW).step_by(5).map(|w| mean(w).log10()).collect())
        .collect();
    let all = || smooth.iter().flatten().copied();
    let (low, high) =
        (all().fold(f32::MAX, f32::min).floor(), all().fold(f32::MIN, f32::max).ceil());
    let x = |i: usize| 70.0 + 560.0 * (5 * i + WINDOW) as f32 / STEPS as f32;
    let y = |value: f32| 30.0 + 320.0 * (high - value) / (high - low);
    let mut body = String::new();
    for power in low as i32..=high as i32 {
        let at = y(power as f32);
        writeln!(
            body,
            "<line x1=\"70\" x2=\"630\" y1=\"{at:.1}\" y2=\"{at:.1}\" stroke=\"#ddd\"/>\
             <text x=\"62\" y=\"{:.1}\" text-anchor=\"end\">1e{power}</text>",
            at + 4.0
        )
        .expect("a string");
    }
    for (i, (Curve { recipe, .. }, points)) in curves.iter().zip(&smooth).enumerate() {
        let places = points.iter().enumerate().map(|(i, p)| format!("{:.1},{:.1}", x(i), y(*p)));
        let places: Vec<String> = places.collect();
        let (colour, key) = (COLOURS[i % 4], 48 + 18 * i);
        writeln!(
            body,
            "<polyline fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.5\" points=\"{}\"/>\
             <line x1=\"390\" x2=\"414\" y1=\"{key}\" y2=\"{key}\" stroke=\"{colour}\" stroke-width=\"2\"/>\
             <text x=\"420\" y=\"{}\">{recipe}</text>",
            places.join(" "),
            key + 4
        )
        .expect("a string");
    }
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 660 400\" role=\"img\" \
         aria-label=\"Loss of a linear layer by recipe\">\n<style>text{{font:12px sans-serif;fill:#222}}\
         </style>\n<rect width=\"660\" height=\"400\" fill=\"#fff\"/>\n\
         <text x=\"350\" y=\"385\" text-anchor=\"middle\">step</text>\n\
         <text x=\"70\" y=\"368\">0</text><text x=\"630\" y=\"368\" text-anchor=\"end\">{STEPS}</text>\n\
         {body}</svg>\n"
    )
}
