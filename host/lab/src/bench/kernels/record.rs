//! The result of a run, and how it is written down.

use std::fmt::{self, Write};

use fouroversix::cuda::KernelInfo;
use serde::Serialize;

use super::case::Case;
use super::machine::Machine;
use super::statistics::Times;

/// A run of the benchmark.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Record {
    /// Where it ran.
    pub machine: Machine,
    /// Launches not timed, for each row.
    pub warmup: usize,
    /// Launches timed, for each row.
    pub iterations: usize,
    /// The results.
    pub rows: Vec<Row>,
}

/// One kernel, or two one after the other, on one kind of input.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Row {
    /// `table`, `outputs`, `rows`, `amax`, `dequantize`, `types`, `data` or `small`.
    pub group: String,
    /// What ran, for example `2d mse strict`.
    pub name: String,
    /// `[rows, cols]` of the tensor.
    pub shape: [usize; 2],
    /// Bytes read and written.
    pub bytes: u64,
    /// Whether the output was the CPU's, bit for bit. Nothing is timed where it was not.
    pub correct: bool,
    /// The kernels that ran.
    pub kernels: Vec<String>,
    /// The largest number of registers that a thread of them uses.
    pub registers: u32,
    /// Bytes of stack and spills of a thread: zero unless something is wrong.
    pub local_bytes: u32,
    /// Times in microseconds.
    pub time: Option<Times>,
    /// Times of the copy kernel, in turns with the kernel. Where the kernel moves other bytes (an
    /// amax pass reads the input once more and writes nothing), at the copy's bytes per second.
    pub copy: Option<Times>,
    /// Median over the copy's median.
    pub ratio: Option<f64>,
    /// Bytes over median, in gigabytes per second.
    pub gigabytes_per_second: Option<f64>,
}

impl Row {
    pub(super) fn new(case: &Case, kernels: &[KernelInfo]) -> Self {
        Self {
            group: case.group.to_owned(),
            name: case.name.clone(),
            shape: case.shape,
            bytes: case.bytes(),
            correct: false,
            kernels: kernels.iter().map(|info| info.kernel.to_string()).collect(),
            registers: kernels.iter().map(|kernel| kernel.registers).max().unwrap_or(0),
            local_bytes: kernels.iter().map(|kernel| kernel.local_bytes).max().unwrap_or(0),
            time: None,
            copy: None,
            ratio: None,
            gigabytes_per_second: None,
        }
    }

    pub(super) fn time(&mut self, time: Times, copy: Times) {
        self.gigabytes_per_second = Some(self.bytes as f64 / time.median / 1000.0);
        self.ratio = Some(time.median / copy.median);
        self.time = Some(time);
        self.copy = Some(copy);
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: ", self.group, self.name)?;
        let Some(time) = self.time else {
            return f.write_str("WRONG: the output is not the CPU's");
        };
        write!(f, "{:.1} µs ({:.1}–{:.1})", time.median, time.p5, time.p95)?;
        if let (Some(copy), Some(ratio)) = (self.copy, self.ratio) {
            write!(f, ", copy {:.1} µs, ratio {ratio:.3}", copy.median)?;
        }
        if let Some(speed) = self.gigabytes_per_second {
            write!(f, ", {speed:.0} GB/s")?;
        }
        write!(f, ", {} registers, {} bytes of stack", self.registers, self.local_bytes)
    }
}

impl Record {
    /// Whether every output was right.
    #[must_use]
    pub fn correct(&self) -> bool {
        self.rows.iter().all(|row| row.correct)
    }

    /// JSON, indented.
    #[must_use]
    pub fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).expect("strings and numbers only")
    }

    /// Comma-separated values with a header line; empty where not measured.
    #[must_use]
    pub fn to_csv(&self) -> String {
        let mut out = "group,name,rows,cols,bytes,correct,median_us,p5_us,p95_us,copy_us,ratio,\
                       gb_per_s,registers,local_bytes\n"
            .to_owned();
        let number = |value: Option<f64>| value.map_or_else(String::new, |it| format!("{it:.3}"));
        for row in &self.rows {
            let (time, [rows, cols]) = (row.time, row.shape);
            writeln!(
                out,
                "{},{},{rows},{cols},{},{},{},{},{},{},{},{},{},{}",
                row.group,
                row.name,
                row.bytes,
                row.correct,
                number(time.map(|time| time.median)),
                number(time.map(|time| time.p5)),
                number(time.map(|time| time.p95)),
                number(row.copy.map(|copy| copy.median)),
                number(row.ratio),
                number(row.gigabytes_per_second),
                row.registers,
                row.local_bytes,
            )
            .expect("writing to a string");
        }
        out
    }

    /// A page for `docs/benchmarks/`: the machine, then a table for each group.
    #[must_use]
    pub fn to_markdown(&self) -> String {
        let Machine { device, date, .. } = &self.machine;
        let mut out = format!("# Kernels on {device}, {date}\n\n{}", self.machine.to_markdown());
        let Self { warmup, iterations, .. } = self;
        write!(
            out,
            "\nMedian of {iterations} launches (a twentieth lie below and above the range), \
             {warmup} before them not timed; launched from graphs in the group `small`. \"Copy\" is \
             the kernel with the same loads and stores and no arithmetic, in turns with the kernel, \
             two launches of each, the second timed. Outputs were compared with the CPU path, bit \
             for bit, before timing.\n"
        )
        .expect("writing to a string");
        let mut group = "";
        for row in &self.rows {
            if row.group != group {
                group = &row.group;
                write!(
                    out,
                    "\n## {group}\n\n| | shape | µs | range | copy µs | ratio | GB/s | registers \
                     |\n|---|---|--:|--:|--:|--:|--:|--:|\n"
                )
                .expect("writing to a string");
            }
            out.push_str(&row.to_markdown());
        }
        out
    }
}

impl Row {
    fn to_markdown(&self) -> String {
        let [rows, cols] = self.shape;
        let Some(time) = self.time else {
            return format!("| {} | {rows}x{cols} | wrong output | | | | | |\n", self.name);
        };
        let number = |value: Option<f64>, digits: usize| {
            value.map_or_else(|| "–".to_owned(), |value| format!("{value:.digits$}"))
        };
        format!(
            "| {} | {rows}x{cols} | {:.1} | {:.1}–{:.1} | {} | {} | {} | {} |\n",
            self.name,
            time.median,
            time.p5,
            time.p95,
            number(self.copy.map(|copy| copy.median), 1),
            number(self.ratio, 3),
            number(self.gigabytes_per_second, 0),
            self.registers,
        )
    }
}
