//! Checks the layer, then times it.

use std::sync::Arc;

use cudarc::driver::{CudaStream, sys};
use fouroversix_kernels::ptx::InstructionSet;
use half::bf16;

use super::cublas::CublasLt;
use super::layer::{HostInputs, Memory, Step};
use super::matmul::Operands;
use super::problem::{Operand, Product, Recipe, Shape};
use super::record::{Record, Row};
use super::reference::{Inputs, Quantization};
use crate::bench::kernels::{Enqueue, in_turns};
use crate::cuda::Device;
use crate::error::Error;
use crate::study::sample::{Distribution, fill};

/// What to measure.
#[derive(Clone, Debug)]
pub struct Options {
    /// Rows of activations.
    pub m: Vec<usize>,
    /// Output features.
    pub n: usize,
    /// Input features.
    pub k: usize,
    /// Numbers of groups.
    pub groups: Vec<usize>,
    /// Steps of each recipe that are not timed.
    pub warmup: usize,
    /// Steps of each recipe that are timed.
    pub iterations: usize,
    /// In what the operands are multiplied; none for what suits the device.
    pub operands: Option<Operands>,
    /// What the random tensors depend on.
    pub seed: u64,
}

impl Default for Options {
    /// The grouped linear layer of TransformerEngine's PR 3068.
    fn default() -> Self {
        Self {
            m: vec![16_384, 32_768, 65_536, 98_304],
            n: 2048,
            k: 7168,
            groups: vec![4, 8],
            warmup: 5,
            iterations: 50,
            operands: None,
            seed: 46,
        }
    }
}

/// Layers that are checked: several groups, dimensions that differ, full tiles and not. Multiples of
/// 32, as rows of FP4 operands must begin at multiples of 16 bytes.
const CHECKED: [Shape; 2] =
    [Shape { m: 512, n: 256, k: 384, groups: 2 }, Shape { m: 3 * 160, n: 224, k: 352, groups: 3 }];

/// Compares small layers with FP64, then times the recipes' steps in turns, calling `progress` with
/// a line for each thing done. Where a product is wrong the record says so, and nothing is timed.
///
/// # Errors
/// [`Error::Dimension`] for a shape that is not made of multiples of 16 for each group;
/// [`Error::Device`] when the driver or cuBLASLt is absent or fails.
pub fn run(
    device: &Device,
    options: &Options,
    progress: &mut dyn FnMut(&str),
) -> Result<Record, Error> {
    let Options { n, k, .. } = *options;
    let operands = options.operands.unwrap_or(match device.instruction_set() {
        InstructionSet::Sm80 | InstructionSet::Sm89 => Operands::Bf16,
        _ => Operands::Nvfp4,
    });
    let shapes: Vec<Shape> = options
        .groups
        .iter()
        .flat_map(|&groups| options.m.iter().map(move |&m| Shape { m, n, k, groups }))
        .collect();
    shapes.iter().try_for_each(Shape::check)?;
    let stream = device.stream()?;
    let library = CublasLt::load()?;
    let bench = Bench { device, stream: &stream, library: &library, operands };
    let mut record = Record {
        device: device.info().name.clone(),
        operands: operands.name(),
        checked: 0,
        problem: None,
        rows: Vec::new(),
    };
    for shape in CHECKED {
        for recipe in Recipe::ALL {
            let checked = bench.check(shape, recipe, options.seed)?;
            record.checked += checked.within;
            if checked.problem.is_some() {
                return Ok(Record { problem: checked.problem, ..record });
            }
        }
    }
    progress(&format!("{} products of small layers are within tolerance", record.checked));
    if let Some(largest) = shapes.iter().map(|shape| shape.m).max() {
        let groups = options.groups.iter().copied().max().unwrap_or(1);
        let inputs = random(Shape { m: largest, n, k, groups }, options.seed);
        for shape in shapes {
            bench.time(shape, &inputs, options, &mut |row| {
                progress(&row.to_string());
                record.rows.push(row);
            })?;
        }
    }
    Ok(record)
}

/// Random tensors of all groups of a layer; layers with fewer rows or groups take their beginning.
fn random(shape: Shape, seed: u64) -> HostInputs {
    let tensor = |operand, scale: f32| {
        let [_, cols] = shape.operand(operand);
        let rows = if operand == Operand::Weights { shape.n * shape.groups } else { shape.m };
        let mut values = vec![bf16::ZERO; rows * cols];
        fill(Distribution::Normal, seed + operand as u64, 0, &mut values);
        if scale != 1.0 {
            // A power of two: exact.
            values.iter_mut().for_each(|x| *x = bf16::from_f32(x.to_f32() * scale));
        }
        values
    };
    // Magnitudes as in training: outputs near 1, small gradients.
    HostInputs {
        x: tensor(Operand::Activations, 1.0),
        w: tensor(Operand::Weights, 1.0 / 64.0),
        dy: tensor(Operand::Gradients, 1.0 / 1024.0),
    }
}

/// Products compared with FP64.
#[derive(Clone, Debug, Default)]
struct Checked {
    within: usize,
    problem: Option<String>,
}

struct Bench<'a> {
    device: &'a Device,
    stream: &'a Arc<CudaStream>,
    library: &'a CublasLt,
    operands: Operands,
}

impl Bench<'_> {
    /// Compares every product of every group with FP64.
    fn check(&self, shape: Shape, recipe: Recipe, seed: u64) -> Result<Checked, Error> {
        let inputs = random(shape, seed);
        let memory = Memory::new(self.device, self.stream, shape, self.operands, &inputs)?;
        let step = self.step(&memory, recipe)?;
        step.launch(self.stream.cu_stream())?;
        let mut checked = Checked::default();
        for group in 0..shape.groups {
            let part = |operand| {
                let length = shape.operand(operand).iter().product::<usize>();
                inputs.operand(operand)[group * length..][..length].to_vec()
            };
            let (x, w) = (part(Operand::Activations), part(Operand::Weights));
            let dy = part(Operand::Gradients);
            let quantization = Quantization::new(&Inputs { shape, x, w, dy }, recipe)?;
            for product in Product::ALL {
                let rounded = self.operands == Operands::Bf16;
                let expected = quantization.product(product, &shape, rounded)?;
                let actual = memory.output(self.stream, product, group)?;
                if let Some(mismatch) = expected.mismatch(&actual) {
                    let (product, recipe) = (product.name(), recipe.name());
                    checked.problem = Some(format!(
                        "{product} of group {group} for {recipe} on {shape:?}: {mismatch:?}"
                    ));
                    return Ok(checked);
                }
                checked.within += 1;
            }
        }
        Ok(checked)
    }

    fn step<'a>(&'a self, memory: &'a Memory, recipe: Recipe) -> Result<Step<'a>, Error> {
        Step::new(self.device, self.stream, self.library, memory, self.operands, recipe)
    }

    /// Times the steps of all recipes, one after the other in each round.
    fn time(
        &self,
        shape: Shape,
        inputs: &HostInputs,
        options: &Options,
        row: &mut dyn FnMut(Row),
    ) -> Result<(), Error> {
        let memory = Memory::new(self.device, self.stream, shape, self.operands, inputs)?;
        let steps = Recipe::ALL.map(|recipe| self.step(&memory, recipe));
        let steps = steps.into_iter().collect::<Result<Vec<_>, Error>>()?;
        let launches: Vec<_> = steps
            .iter()
            .map(|step| move |_: usize, stream: sys::CUstream| step.launch(stream))
            .collect();
        let works: Vec<&Enqueue<'_>> = launches.iter().map(|it| it as &Enqueue<'_>).collect();
        let times = in_turns(self.stream, &works, options.warmup, options.iterations)?;
        let baseline = times[0].median;
        for (recipe, time) in Recipe::ALL.iter().zip(times) {
            let Shape { m, n, k, groups } = shape;
            row(Row {
                groups,
                m,
                n,
                k,
                recipe: recipe.name(),
                milliseconds: time.median / 1000.0,
                p5: time.p5 / 1000.0,
                p95: time.p95 / 1000.0,
                slowdown_percent: 100.0 * (time.median / baseline - 1.0),
            });
        }
        Ok(())
    }
}
