//! The CPU path beside a memory copy and a plain read in the same run.

use std::fmt::Write as _;
use std::time::Instant;

use fouroversix::cpu::{self, Path};
use fouroversix::{
    Config, Error, Nvfp4Mut, Outputs, Quantized, QuantizedMut, RandomState, Rounding, Rule,
    ScaleLayout, Scaling, SignMask, Transforms,
};
use half::bf16;
use rand_xoshiro::SplitMix64;
use rand_xoshiro::rand_core::{Rng, SeedableRng};
use rayon::prelude::*;
use serde::Serialize;

/// What to measure.
#[derive(Clone, Debug)]
pub struct Options {
    /// `[rows, cols]` of the bf16 tensor, multiples of 16.
    pub shape: [usize; 2],
    /// The tensor; one with a normal distribution is made when it is empty.
    pub input: Vec<bf16>,
    /// Timed runs of each work; the median counts.
    pub repeats: usize,
    /// The commit that was built, for the record.
    pub commit: Option<String>,
}

/// A work's speed.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// What ran.
    pub work: String,
    /// Which implementation.
    pub path: &'static str,
    /// How many threads.
    pub threads: usize,
    /// Median over the runs, 10^9 bytes of bf16 input (of output for dequantize) a second.
    pub gb_per_s: f64,
    /// That over the input rate of a memory copy with as many threads, timed in turns with it.
    pub of_copy: f64,
    /// Bytes that differ from the scalar path's, compared before anything was timed.
    pub mismatches: usize,
}

/// A whole run.
#[derive(Clone, Debug, Serialize)]
pub struct Record {
    /// Processor model, as the system names it.
    pub processor: String,
    /// Logical processors.
    pub processors: usize,
    /// Main memory in GiB, 0 when unknown.
    pub memory_gib: u64,
    /// The commit that was built.
    pub commit: Option<String>,
    /// `[rows, cols]`.
    pub shape: [usize; 2],
    /// Runs of each work.
    pub repeats: usize,
    /// The measurements.
    pub rows: Vec<Row>,
}

impl Record {
    /// Whether every output was right.
    #[must_use]
    pub fn correct(&self) -> bool {
        self.rows.iter().all(|row| row.mismatches == 0)
    }

    /// A table.
    #[must_use]
    pub fn to_markdown(&self) -> String {
        let [rows, cols] = self.shape;
        let mut text = format!(
            "{}, {} logical processors, {} GiB; {rows}x{cols} bf16, median of {}\n\n\
             | work | path | threads | GB/s of input | of a copy | mismatches |\n\
             |---|---|--:|--:|--:|--:|\n",
            self.processor, self.processors, self.memory_gib, self.repeats
        );
        for Row { work, path, threads, gb_per_s, of_copy, mismatches } in &self.rows {
            let share = 100.0 * of_copy;
            let _ = writeln!(
                text,
                "| {work} | {path} | {threads} | {gb_per_s:.2} | {share:.0}% | {mismatches} |"
            );
        }
        text
    }
}

/// Runs all works, on one thread and on all. `progress` is told each row.
///
/// # Errors
/// [`Error`] when the shape is not one that every mode takes, or not that of the input.
pub fn run(options: &Options, progress: &mut dyn FnMut(&Row)) -> Result<Record, Error> {
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let mut record = Record {
        processor: system("/proc/cpuinfo", "model name").unwrap_or_else(|| "unknown".to_owned()),
        processors,
        memory_gib: memory_gib(),
        commit: options.commit.clone(),
        shape: options.shape,
        repeats: options.repeats,
        rows: Vec::new(),
    };
    let mut bench = Bench::new(options);
    let works = works();
    let checks = works.iter().map(|work| bench.check(work)).collect::<Result<Vec<_>, _>>()?;
    let mut counts = vec![1];
    counts.extend((processors > 1).then_some(processors));
    for threads in counts {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
        let Ok(pool) = pool else { continue };
        for (work, mismatches) in works.iter().zip(&checks) {
            let (gb_per_s, of_copy) = pool.install(|| bench.time(work))?;
            let row = Row {
                work: work.name.clone(),
                path: work.path.map_or("-", Path::name),
                threads,
                gb_per_s,
                of_copy,
                mismatches: *mismatches,
            };
            progress(&row);
            record.rows.push(row);
        }
    }
    Ok(record)
}

enum Kind {
    Copy,
    Read,
    Amax,
    Quantize(Config),
    Dequantize,
}

struct Work {
    name: String,
    path: Option<Path>,
    kind: Kind,
}

fn works() -> Vec<Work> {
    let work = |name: &str, path, kind| Work { name: name.to_owned(), path, kind };
    let mut works = vec![work("copy", None, Kind::Copy), work("read", None, Kind::Read)];
    let rules = [
        ("plain", Rule::Plain),
        ("MAE strict", Rule::MAE),
        ("MAE fast", Rule::MAE_FAST),
        ("MSE strict", Rule::MSE),
        ("MSE fast", Rule::MSE_FAST),
        ("search MAE", Rule::SEARCH_MAE),
        ("search MSE", Rule::SEARCH_MSE),
    ];
    let shapes = [
        ("", Scaling::Tensor, Outputs::Rowwise),
        (", row-scaled", Scaling::Row, Outputs::Rowwise),
        (", 16x16 tiles", Scaling::Tile, Outputs::Rowwise),
        (", columnwise", Scaling::Tensor, Outputs::Columnwise),
        (", 16x16 tiles, columnwise", Scaling::Tile, Outputs::Columnwise),
        (", both", Scaling::Tensor, Outputs::Both),
        (", 16x16 tiles, both", Scaling::Tile, Outputs::Both),
    ];
    for path in Path::available() {
        works.push(work("amax", Some(path), Kind::Amax));
        for (suffix, scaling, outputs) in shapes {
            for (name, rule) in rules {
                // The scalar and portable paths are there to compare with: one shape is enough.
                let slow = matches!(path, Path::Scalar | Path::Portable);
                if slow && !suffix.is_empty() {
                    continue;
                }
                if let Ok(config) = Config::new(rule, scaling, outputs, ScaleLayout::Linear) {
                    works.push(work(
                        &format!("{name}{suffix}"),
                        Some(path),
                        Kind::Quantize(config),
                    ));
                }
            }
        }
        for (name, rule) in [("plain", Rule::Plain), ("MSE strict", Rule::MSE)] {
            for (mode, config) in training(rule) {
                works.push(work(&format!("{name}, {mode}"), Some(path), Kind::Quantize(config)));
            }
        }
        works.push(work("dequantize", Some(path), Kind::Dequantize));
    }
    works
}

/// What training quantizes with a rule.
fn training(rule: Rule) -> Vec<(&'static str, Config)> {
    let stochastic = Rounding::Stochastic(RandomState { seed: 1, offset: 2 });
    let options = || Config::builder().rule(rule);
    let signs = Some(SignMask::TRANSFORMER_ENGINE);
    let of_rows = Transforms { rowwise: signs, columnwise: None };
    let of_columns = Transforms { rowwise: None, columnwise: signs };
    let columnwise = || options().outputs(Outputs::Columnwise);
    let options = [
        ("stochastic", options().rounding(stochastic)),
        ("transform", options().transforms(of_rows)),
        ("transform, stochastic", options().transforms(of_rows).rounding(stochastic)),
        ("columnwise, transform", columnwise().transforms(of_columns)),
    ];
    options.into_iter().filter_map(|(mode, option)| Some((mode, option.build().ok()?))).collect()
}

struct Bench {
    shape: [usize; 2],
    repeats: usize,
    input: Vec<bf16>,
    output: Vec<bf16>,
    /// Codes and scales, rowwise and columnwise.
    outputs: [(Vec<u8>, Vec<u8>); 2],
    quantized: Option<Quantized>,
}

impl Bench {
    fn new(options: &Options) -> Self {
        let [rows, cols] = options.shape;
        let mut input = options.input.clone();
        if input.is_empty() {
            input = (0..rows * cols).map(normal).collect();
        }
        Self {
            shape: options.shape,
            repeats: options.repeats.max(1),
            output: vec![bf16::ZERO; input.len()],
            outputs: [(); 2].map(|()| (vec![1; input.len() / 2], vec![1; input.len() / 16])),
            quantized: None,
            input,
        }
    }

    /// Bytes of a work's result that are not the scalar path's.
    fn check(&mut self, work: &Work) -> Result<usize, Error> {
        let path = work.path.unwrap_or(Path::Scalar);
        let differ = |a: &[u8], b: &[u8]| a.iter().zip(b).filter(|(a, b)| a != b).count();
        match &work.kind {
            Kind::Copy | Kind::Read => Ok(0),
            Kind::Amax => {
                let [a, b] = [cpu::amax(path, &self.input)?, cpu::amax(Path::Scalar, &self.input)?];
                Ok(usize::from(a.to_bits() != b.to_bits()))
            }
            Kind::Quantize(config) => {
                let of = |path| cpu::quantize_outputs(path, &self.input, self.shape, config, None);
                let [a, b] = [of(path)?, of(Path::Scalar)?];
                let pairs = [(a.rowwise, b.rowwise), (a.columnwise, b.columnwise)];
                let parts = pairs.into_iter().filter_map(|(a, b)| a.zip(b));
                Ok(parts
                    .map(|(a, b)| differ(a.codes(), b.codes()) + differ(a.scales(), b.scales()))
                    .sum())
            }
            Kind::Dequantize => {
                let config = Config::rowwise(Rule::Plain);
                let quantized =
                    cpu::quantize_outputs(path, &self.input, self.shape, &config, None)?;
                let tensor = quantized.rowwise.as_ref().expect("rowwise output was asked for");
                let mut expected = vec![bf16::ZERO; self.input.len()];
                cpu::dequantize_into(Path::Scalar, tensor.view(), &mut expected)?;
                cpu::dequantize_into(path, tensor.view(), &mut self.output)?;
                let pairs = self.output.iter().zip(&expected);
                let wrong = pairs.filter(|(a, b)| a.to_bits() != b.to_bits()).count();
                self.quantized = Some(quantized);
                Ok(wrong)
            }
        }
    }

    /// GB/s, and the share of a copy's: copies and runs take turns.
    fn time(&mut self, work: &Work) -> Result<(f64, f64), Error> {
        let (mut times, mut copies) = (Vec::new(), Vec::new());
        for _ in 0..self.repeats {
            let start = Instant::now();
            self.copy();
            copies.push(start.elapsed().as_secs_f64());
            let start = Instant::now();
            self.once(work)?;
            times.push(start.elapsed().as_secs_f64());
        }
        let (time, copy) = (median(times), median(copies));
        Ok((2e-9 * self.input.len() as f64 / time, copy / time))
    }

    fn copy(&mut self) {
        let part = self.input.len().div_ceil(rayon::current_num_threads());
        let parts = self.output.par_chunks_mut(part).zip(self.input.par_chunks(part));
        parts.for_each(|(to, from)| to.copy_from_slice(from));
    }

    fn once(&mut self, work: &Work) -> Result<(), Error> {
        let path = work.path.unwrap_or(Path::Scalar);
        match &work.kind {
            Kind::Copy => self.copy(),
            Kind::Read => {
                let part = self.input.len().div_ceil(rayon::current_num_threads());
                let sum =
                    |part: &[bf16]| part.iter().fold(0_u16, |sum, x| sum.wrapping_add(x.to_bits()));
                let sum: u64 = self.input.par_chunks(part).map(|p| u64::from(sum(p))).sum();
                std::hint::black_box(sum);
            }
            Kind::Amax => {
                std::hint::black_box(cpu::amax(path, &self.input)?);
            }
            Kind::Quantize(config) => {
                let lines = self.shape.map(|lines| match config.scaling() {
                    Scaling::Row => lines,
                    _ => 1,
                });
                let mut amaxes = lines.map(|lines| vec![0.0; lines]);
                let mut parts =
                    self.outputs.iter_mut().zip(&mut amaxes).map(
                        |((codes, scales), global_amax)| Nvfp4Mut { codes, scales, global_amax },
                    );
                let (rowwise, columnwise) = (parts.next(), parts.next());
                let asked = config.outputs();
                let out = QuantizedMut {
                    rowwise: rowwise.filter(|_| asked.rowwise()),
                    columnwise: columnwise.filter(|_| asked.columnwise()),
                };
                cpu::quantize_into(path, &self.input, self.shape, config, None, out)?;
            }
            Kind::Dequantize => {
                let tensor = self.quantized.as_ref().and_then(|q| q.rowwise.as_ref());
                let tensor = tensor.expect("the check made one");
                cpu::dequantize_into(path, tensor.view(), &mut self.output)?;
            }
        }
        Ok(())
    }
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

/// A bf16 number near a normal distribution with variance one, a function of its index.
fn normal(index: usize) -> bf16 {
    let mut rng = SplitMix64::seed_from_u64(index as u64);
    let mut sum = 0.0_f32;
    for _ in 0..4 {
        sum += (rng.next_u64() >> 40) as f32 / 16_777_216.0 - 0.5;
    }
    bf16::from_f32(sum * 3.0_f32.sqrt())
}

fn system(file: &str, key: &str) -> Option<String> {
    let text = std::fs::read_to_string(file).ok()?;
    let line = text.lines().find(|line| line.starts_with(key))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

fn memory_gib() -> u64 {
    let total = system("/proc/meminfo", "MemTotal").unwrap_or_default();
    let kib = total.split(' ').next().and_then(|kib| kib.parse::<u64>().ok());
    kib.unwrap_or(0) / (1 << 20)
}
