//! Fast random tensors, in batches that all modes share.

use std::time::{Duration, Instant};

use fouroversix::cuda::Device;
use fouroversix::cuda::internals::Resident;
use fouroversix::{
    Amax, Element, Error, Outputs, Quantized, ScaleLayout, Scaling, quantize_outputs,
};
use half::{bf16, f16};

use super::fill::{Distribution, fill};
use super::mode::{Difference, Mode};
use super::report::Report;

/// What to compare.
#[derive(Clone, Debug)]
pub struct Options {
    /// Elements for each mode, rounded up to whole tensors.
    pub elements: u64,
    /// What the random numbers depend on.
    pub seed: u64,
    /// Only modes whose name has these words.
    pub filter: String,
    /// No new batch of tensors is begun after this time: reports then say how far it came.
    pub budget: Duration,
}

/// Shapes of a batch: about 2²⁵ elements, wide, narrow, whole and ragged in tiles of 128x4 scales.
const SHAPES: [[usize; 2]; 6] =
    [[4096, 8192], [4112, 8208], [1024, 32768], [32752, 1008], [176, 190_656], [16_384, 2032]];

/// Compares random tensors under every selected mode.
///
/// Batches take turns in distribution (normal, uniform over binades, any finite bits, falling
/// blocks, integers, sparse, non-finite), shape, scale layout, and whether the amax is computed or
/// supplied. `progress` is called with a line after each batch.
///
/// # Errors
/// [`Error::Device`] when the driver fails.
pub fn random(
    device: &Device,
    options: &Options,
    progress: &mut dyn FnMut(&str),
) -> Result<Vec<Report>, Error> {
    let modes: Vec<Mode> =
        Mode::all().into_iter().filter(|mode| mode.has(&options.filter)).collect();
    let mut reports: Vec<Report> = modes.iter().map(|mode| Report::new(mode.name())).collect();
    let start = Instant::now();
    let mut batch = 0;
    let behind = |reports: &[Report]| reports.iter().any(|it| it.elements < options.elements);
    while behind(&reports) && start.elapsed() < options.budget {
        run_batch::<bf16>(device, options, batch, &modes, &mut reports)?;
        run_batch::<f16>(device, options, batch, &modes, &mut reports)?;
        run_batch::<f32>(device, options, batch, &modes, &mut reports)?;
        batch += 1;
        let done = reports.iter().map(|report| report.elements).min().unwrap_or(0);
        let mismatches: u64 = reports.iter().map(|report| report.mismatches).sum();
        let seconds = start.elapsed().as_secs();
        progress(&format!(
            "batch {batch}: {done} elements for each of {} modes, {mismatches} mismatches, {seconds} s",
            modes.len()
        ));
    }
    Ok(reports)
}

/// One tensor under all modes of its element type.
fn run_batch<T: Element>(
    device: &Device,
    options: &Options,
    batch: u64,
    modes: &[Mode],
    reports: &mut [Report],
) -> Result<(), Error> {
    if modes.iter().all(|mode| mode.element != T::TYPE) {
        return Ok(());
    }
    let index = batch as usize;
    let distribution = Distribution::ALL[index % Distribution::ALL.len()];
    let shape = SHAPES[index % SHAPES.len()];
    let layout = [ScaleLayout::Linear, ScaleLayout::Swizzled128x4][index / 2 % 2];
    let seed = options.seed.wrapping_add(batch.wrapping_mul(0x632B_E59B_D9B4_E019));
    let mut input = vec![T::from_f32(0.0); shape[0] * shape[1]];
    fill(distribution, seed ^ T::TYPE.bytes() as u64, &mut input);
    let tensor = Tensor { input: &input, shape, layout, supplied: index % 4 == 3 };

    let stream = device.stream()?;
    let resident = Resident::new(&stream, &input, shape)?;
    let mut expected: Option<(Mode, Quantized)> = None;
    for (mode, report) in modes.iter().zip(reports) {
        if mode.element != T::TYPE {
            continue;
        }
        let known = expected.as_ref().is_some_and(|(of, _)| of.shares_expectation(*mode));
        if !known {
            expected = Some((*mode, tensor.expected(*mode)?));
        }
        let (_, expected) = expected.as_ref().expect("set above");
        let config = mode.config(layout).expect("modes are valid");
        let actual =
            tensor.with_amax(*mode, |amax| resident.quantize(device, &stream, &config, amax))?;
        let difference = Difference::between(expected, &actual);
        report.add(input.len(), difference, |_| {
            format!("{distribution:?}, seed {seed}, shape {shape:?}, {layout:?}")
        });
    }
    Ok(())
}

/// A tensor to compare on.
struct Tensor<'a, T> {
    input: &'a [T],
    shape: [usize; 2],
    layout: ScaleLayout,
    /// Whether the amax is supplied: smaller than the input's own, so that blocks saturate.
    supplied: bool,
}

impl<T: Element> Tensor<'_, T> {
    /// All outputs that the contract defines for the mode's rule and scaling, from the CPU.
    fn expected(&self, mode: Mode) -> Result<Quantized, Error> {
        let both = Mode { outputs: Outputs::Both, ..mode };
        let config = both.config(self.layout).or_else(|| mode.config(self.layout));
        let config = config.expect("modes are valid");
        self.with_amax(mode, |amax| quantize_outputs(self.input, self.shape, &config, amax))
    }

    fn with_amax<R>(&self, mode: Mode, run: impl FnOnce(Option<Amax<'_>>) -> R) -> R {
        if !self.supplied {
            return run(None);
        }
        if mode.scaling != Scaling::Row {
            return run(Some(Amax::Tensor(3.1)));
        }
        let list = |count: usize| (0..count).map(|i| 2.0 + (i % 19) as f32 * 0.13).collect();
        let (rows, columns): (Vec<f32>, Vec<f32>) = (list(self.shape[0]), list(self.shape[1]));
        run(Some(Amax::RowsAndColumns { rows: &rows, columns: &columns }))
    }
}
