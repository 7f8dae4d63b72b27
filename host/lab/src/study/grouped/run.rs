//! Checks the layer, then times it.

use std::sync::Arc;

use cudarc::driver::CudaStream;
use fouroversix::Error;
use fouroversix::cuda::Device;
use fouroversix::cuda::InstructionSet;

use super::check::{Extent, Layer};
use super::cublas::CublasLt;
use super::inputs::Inputs;
use super::layer::{Memory, Step};
use super::matmul::Operands;
use super::problem::{Recipe, Shape};
use super::record::{Record, Row};
use crate::bench::kernels::{Enqueue, in_turns};

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

/// Compares small layers with FP64; then, for each shape, squares of its products, and times the
/// recipes' steps in turns. Calls `progress` with a line for each thing done. Where a product is
/// wrong the record says so, and nothing more is timed.
///
/// # Errors
/// [`ShapeError::Dimension`](fouroversix::ShapeError::Dimension) for a shape that is not made of multiples of 16 for each group;
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
        cublas: library.version(),
        checked: 0,
        problem: None,
        rows: Vec::new(),
    };
    let checks = CHECKED.map(|shape| (shape, Inputs::random(&shape, options.seed)));
    for (shape, inputs) in &checks {
        let memory = Memory::new(device, &stream, *shape, operands, inputs)?;
        bench.check(&memory, *shape, inputs, Extent::Whole, &mut record)?;
        if record.problem.is_some() {
            return Ok(record);
        }
    }
    progress(&format!("{} products of small layers are within tolerance", record.checked));
    let (largest, groups) = (options.m.iter().max(), options.groups.iter().max());
    let (Some(&m), Some(&groups)) = (largest, groups) else { return Ok(record) };
    let inputs = Inputs::random(&Shape { m, n, k, groups }, options.seed);
    for shape in shapes {
        let memory = Memory::new(device, &stream, shape, operands, &inputs)?;
        let steps = bench.check(&memory, shape, &inputs, Extent::Square, &mut record)?;
        if record.problem.is_some() {
            break;
        }
        for row in bench.time(shape, &steps, options)? {
            progress(&row.to_string());
            record.rows.push(row);
        }
    }
    Ok(record)
}

struct Bench<'a> {
    device: &'a Device,
    stream: &'a Arc<CudaStream>,
    library: &'a CublasLt,
    operands: Operands,
}

impl Bench<'_> {
    /// Every recipe's step, each compared with FP64 and counted in the record.
    fn check<'a>(
        &'a self,
        memory: &'a Memory,
        shape: Shape,
        inputs: &Inputs,
        extent: Extent,
        record: &mut Record,
    ) -> Result<Vec<Step<'a>>, Error> {
        let layer = Layer::new(shape, inputs, memory, self.operands);
        let mut steps = Vec::new();
        for recipe in Recipe::ALL {
            let (device, stream, library) = (self.device, self.stream, self.library);
            let step = Step::new(device, stream, library, memory, self.operands, recipe)?;
            match layer.check(stream, &step, recipe, extent)? {
                Ok(within) => record.checked += within,
                Err(problem) => {
                    record.problem = Some(problem);
                    break;
                }
            }
            steps.push(step);
        }
        Ok(steps)
    }

    /// Times all recipes' steps, and their quantization alone, one after the other in each round.
    fn time(&self, shape: Shape, steps: &[Step<'_>], options: &Options) -> Result<Vec<Row>, Error> {
        let wholes: Vec<_> =
            steps.iter().map(|step| move |_: usize, stream| step.launch(stream)).collect();
        let parts: Vec<_> =
            steps.iter().map(|step| move |_: usize, stream| step.quantize(stream)).collect();
        let wholes = wholes.iter().map(|it| it as &Enqueue<'_>);
        let works: Vec<&Enqueue<'_>> =
            wholes.chain(parts.iter().map(|it| it as &Enqueue<'_>)).collect();
        let times = in_turns(self.stream, &works, options.warmup, options.iterations)?;
        let (times, quantization) = times.split_at(steps.len());
        let baseline = times[0].median;
        let Shape { m, n, k, groups } = shape;
        let rows = Recipe::ALL.iter().zip(times).zip(quantization);
        Ok(rows
            .map(|((recipe, time), quantization)| Row {
                groups,
                m,
                n,
                k,
                recipe: recipe.name(),
                milliseconds: time.median / 1000.0,
                p5: time.p5 / 1000.0,
                p95: time.p95 / 1000.0,
                quantization: quantization.median / 1000.0,
                slowdown_percent: 100.0 * (time.median / baseline - 1.0),
            })
            .collect())
    }
}
