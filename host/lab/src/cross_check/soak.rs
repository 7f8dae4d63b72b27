//! Everything at once, for as long as asked: threads with a stream each, random modes, shapes and data,
//! plain launches, replays of graphs and groups, every output compared with the CPU's.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use cudarc::driver::CudaStream;
use fouroversix::cuda::internals::check;
use fouroversix::cuda::{AmaxSource, Device};
use fouroversix::{
    Config, Element, Error, InputType, Outputs, ScaleLayout, Scaling, quantize_outputs,
};
use half::{bf16, f16};
use rand_xoshiro::SplitMix64;
use rand_xoshiro::rand_core::{Rng, SeedableRng};

use super::fill::{Distribution, fill};
use super::launched::{Launched, launch_group};
use super::mode::{Difference, Mode};
use super::report::Report;

/// How a soak goes.
#[derive(Clone, Copy, Debug)]
pub struct SoakOptions {
    /// How long.
    pub time: Duration,
    /// What the random choices depend on; what a thread does is its own sequence.
    pub seed: u64,
    /// Threads, each with a stream of its own.
    pub threads: usize,
}

/// The ways to launch that take turns at random.
const WAYS: [&str; 4] = ["launches", "replays", "groups", "calls"];

/// Runs until the time is over, or a thread has found a difference. A report for each way to launch.
///
/// # Errors
/// [`Error::Device`] when the driver fails.
pub fn soak(
    device: &Device,
    options: SoakOptions,
    progress: &(dyn Fn(&str) + Sync),
) -> Result<Vec<Report>, Error> {
    let end = Instant::now() + options.time;
    let stop = AtomicBool::new(false);
    let parts = std::thread::scope(|scope| {
        let work = |number: usize| {
            let (stop, device) = (&stop, device.clone());
            move || {
                let seed = options.seed.wrapping_add((number as u64) << 32);
                let soaked = Thread::new(device, seed).and_then(|mut thread| {
                    while Instant::now() < end && !stop.load(Ordering::Relaxed) {
                        thread.step()?;
                        if thread.steps.is_multiple_of(200) {
                            progress(&format!("thread {number}: {} steps", thread.steps));
                        }
                        if thread.reports.iter().any(|report| report.mismatches > 0) {
                            stop.store(true, Ordering::Relaxed);
                        }
                    }
                    Ok(thread.reports)
                });
                // The others would go on for minutes.
                stop.fetch_or(soaked.is_err(), Ordering::Relaxed);
                soaked
            }
        };
        let running: Vec<_> =
            (0..options.threads).map(|number| scope.spawn(work(number))).collect();
        let join = |thread: std::thread::ScopedJoinHandle<'_, _>| {
            thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        };
        running.into_iter().map(join).collect::<Vec<Result<Vec<Report>, Error>>>()
    });
    let mut reports = WAYS.map(|way| Report::new(way.to_owned()));
    for part in parts {
        for (report, part) in reports.iter_mut().zip(part?) {
            report.merge(part);
        }
    }
    Ok(reports.to_vec())
}

struct Thread {
    device: Device,
    stream: Arc<CudaStream>,
    rng: SplitMix64,
    modes: Vec<Mode>,
    reports: Vec<Report>,
    steps: u64,
}

impl Thread {
    fn new(device: Device, seed: u64) -> Result<Self, Error> {
        let stream = device.stream()?;
        let reports = WAYS.map(|way| Report::new(way.to_owned())).to_vec();
        let (rng, modes) = (SplitMix64::seed_from_u64(seed), Mode::all());
        Ok(Self { device, stream, rng, modes, reports, steps: 0 })
    }

    fn below(&mut self, count: usize) -> usize {
        (self.rng.next_u64() % count as u64) as usize
    }

    fn step(&mut self) -> Result<(), Error> {
        self.steps += 1;
        let index = self.below(self.modes.len());
        let mode = self.modes[index];
        match mode.element {
            InputType::Bf16 => self.step_of::<bf16>(mode),
            InputType::F16 => self.step_of::<f16>(mode),
            InputType::F32 => self.step_of::<f32>(mode),
        }
    }

    /// Mostly small, where launches overlap most; now and then large.
    fn shape(&mut self, mode: Mode) -> [usize; 2] {
        let large = self.below(16) == 0;
        let [rows, cols] = if large { [2048, 256] } else { [320, 80] };
        let (mut rows, cols) = (1 + self.below(rows), 16 * (1 + self.below(cols)));
        if mode.scaling == Scaling::Tile || mode.outputs != Outputs::Rowwise {
            rows = rows.next_multiple_of(16);
        }
        [rows, cols]
    }

    fn input<T: Element>(&mut self, shape: [usize; 2]) -> Vec<T> {
        let mut input = vec![T::from_f32(0.0); shape[0] * shape[1]];
        let distribution = Distribution::ALL[self.below(Distribution::ALL.len())];
        fill(distribution, self.rng.next_u64(), &mut input);
        input
    }

    fn step_of<T: Element>(&mut self, mode: Mode) -> Result<(), Error> {
        let layout = [ScaleLayout::Linear, ScaleLayout::Swizzled128x4][self.below(2)];
        let config = mode.config(layout).expect("modes are valid");
        match self.below(WAYS.len()) {
            0 => self.launches::<T>(mode, &config, false),
            1 => self.launches::<T>(mode, &config, true),
            2 if !mode.transform => self.group::<T>(mode, &config),
            _ => {
                let shape = self.shape(mode);
                let input = self.input::<T>(shape);
                let actual = self.device.quantize_outputs(&input, shape, &config, None)?;
                let expected = quantize_outputs(&input, shape, &config, None)?;
                self.add(3, input.len(), &Difference::between(&expected, &actual), &config, shape);
                Ok(())
            }
        }
    }

    fn add(
        &mut self,
        way: usize,
        elements: usize,
        difference: &Difference,
        config: &Config,
        shape: [usize; 2],
    ) {
        let step = self.steps;
        self.reports[way].add(elements, difference.clone(), |_| {
            format!("step {step} of its thread, {shape:?} {config:?}")
        });
    }

    /// Launches with raw addresses on this thread's stream, several inputs after each other; or as a graph
    /// that is replayed with them.
    fn launches<T: Element>(
        &mut self,
        mode: Mode,
        config: &Config,
        replayed: bool,
    ) -> Result<(), Error> {
        let shape = self.shape(mode);
        let quantizer = self.device.quantizer(config, T::TYPE, shape, AmaxSource::Input)?;
        let input = self.input::<T>(shape);
        let mut launched = Launched::new(&self.stream, quantizer, shape, input)?;
        let graph = replayed.then(|| launched.capture()).transpose()?;
        for turn in 0..1 + self.below(4) {
            if turn > 0 {
                launched.replace(self.input::<T>(shape))?;
            }
            match &graph {
                Some(graph) => check("launch a graph", graph.launch())?,
                None => launched.launch()?,
            }
            let difference = launched.difference_from_cpu(config)?;
            self.add(usize::from(replayed), launched.input.len(), &difference, config, shape);
        }
        Ok(())
    }

    /// Tensors of one width in one launch.
    fn group<T: Element>(&mut self, mode: Mode, config: &Config) -> Result<(), Error> {
        let cols = self.shape(mode)[1];
        let count = 1 + self.below(7);
        let tensors = (0..count).map(|_| {
            let shape = [self.shape(mode)[0].next_multiple_of(16), cols];
            (shape, self.input::<T>(shape))
        });
        let tensors = tensors.collect();
        for (part, difference) in launch_group(&self.device, &self.stream, config, tensors)? {
            self.add(2, part.input.len(), &difference, config, part.shape);
        }
        Ok(())
    }
}
