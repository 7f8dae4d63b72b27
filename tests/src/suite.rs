//! Runs checks on backends and counts.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, Write};
use std::ops::AddAssign;
use std::path::{Path, PathBuf};

use fouroversix_core::config::{InputType, ScaleLayout};

use crate::backend::{Backend, SkipReason};
use crate::case::{Case, Output};
use crate::dequantize_case::DequantizeCase;
use crate::golden::{GoldenCase, GoldenError, GoldenFile, training};
use crate::{carried, generate, golden, oracle, report};

/// Failures reported in full; the others are only counted.
const FULL_REPORTS: usize = 10;

/// How many checks passed, failed and were skipped. Displays as `N passed, N failed, N skipped`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "named after what they count")]
pub struct Counts {
    pub passed: usize,
    pub failed: usize,
    pub skipped: usize,
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { passed, failed, skipped } = self;
        write!(f, "{passed} passed, {failed} failed, {skipped} skipped")
    }
}

/// A set of checks to be run on any number of backends.
#[derive(Clone, Debug, Default)]
pub struct Suite {
    /// Quantizations.
    pub cases: Vec<Case>,
    /// Dequantizations.
    pub dequantize_cases: Vec<DequantizeCase>,
    /// Golden cases that the contract does not define: skipped on every backend.
    pub undefined: usize,
}

impl Suite {
    /// The carried golden cases.
    ///
    /// # Errors
    /// If the carried file is broken.
    pub fn carried() -> Result<Self, GoldenError> {
        let mut suite = Self::default();
        suite.add_golden(&carried::read()?);
        Ok(suite)
    }

    /// The carried cases of scale search.
    ///
    /// # Errors
    /// As [`Suite::carried`].
    pub fn carried_search() -> Result<Self, GoldenError> {
        let mut suite = Self::default();
        suite.add_golden(&carried::read_search()?);
        Ok(suite)
    }

    /// The carried cases of stochastic rounding and transforms.
    ///
    /// # Errors
    /// As [`Suite::carried`].
    pub fn carried_training() -> Result<Self, GoldenError> {
        Ok(Self { cases: carried::read_training()?, ..Self::default() })
    }

    /// All golden files of a directory, each in its format.
    ///
    /// # Errors
    /// If the directory holds none, or one of them is broken.
    pub fn golden(directory: &Path) -> Result<Self, GoldenError> {
        let mut suite = Self::default();
        for index in carried::index_files(directory)? {
            if golden::format(&index)? == training::FORMAT {
                suite.cases.extend(training::read(&index)?);
            } else {
                suite.add_golden(&golden::read(&index)?);
            }
        }
        Ok(suite)
    }

    /// Generated cases: [`generate::cases`] and [`generate::dequantize_cases`].
    #[must_use]
    pub fn generated(seed: u64) -> Self {
        let (cases, dequantize_cases) = (generate::cases(seed), generate::dequantize_cases());
        Self { cases, dequantize_cases, undefined: 0 }
    }

    /// Generated cases of scale search: [`generate::beyond::search_cases`].
    #[must_use]
    pub fn generated_search(seed: u64) -> Self {
        Self { cases: generate::beyond::search_cases(seed), ..Self::default() }
    }

    /// Generated cases of stochastic rounding and transforms: [`generate::beyond::training_cases`] and
    /// [`generate::rare::cases`].
    #[must_use]
    pub fn generated_training(seed: u64) -> Self {
        let mut cases = generate::beyond::training_cases(seed);
        cases.extend(generate::rare::cases(seed));
        Self { cases, ..Self::default() }
    }

    /// Adds every form of a file's cases, and the dequantization of their outputs.
    pub fn add_golden(&mut self, file: &GoldenFile) {
        for (number, case) in file.cases.iter().enumerate() {
            self.cases.extend(case.cases());
            self.dequantize_cases.push(dequantize_case(case, number));
        }
        self.undefined += file.undefined;
    }

    /// Adds the checks of another suite.
    pub fn extend(&mut self, other: Self) {
        self.cases.extend(other.cases);
        self.dequantize_cases.extend(other.dequantize_cases);
        self.undefined += other.undefined;
    }

    /// Keeps the checks whose description contains every word of `filter`.
    pub fn retain(&mut self, filter: &str) {
        let keep = |description: String| filter.split_whitespace().all(|w| description.contains(w));
        self.cases.retain(|case| keep(case.to_string()));
        self.dequantize_cases.retain(|case| keep(case.to_string()));
        if !filter.trim().is_empty() {
            self.undefined = 0;
        }
    }

    /// The checks whose descriptions hash to `first` modulo `of`: parts that have something of everything.
    #[must_use]
    pub fn part(&self, first: u64, of: u64) -> Self {
        let mut part = self.clone();
        part.cases.retain(|case| is_in_part(&case.to_string(), first, of));
        part.dequantize_cases.retain(|case| is_in_part(&case.to_string(), first, of));
        part.undefined = 0;
        part
    }

    /// Runs all checks on one backend, and writes failures and reasons of skipping to `out`.
    ///
    /// # Errors
    /// Only those of `out`.
    pub fn run(&self, backend: &dyn Backend, out: &mut dyn Write) -> io::Result<Counts> {
        let mut run = Run { backend, out, counts: Counts::default(), skipped: BTreeMap::new() };
        for case in &self.cases {
            run.quantize(case)?;
        }
        for case in &self.dequantize_cases {
            run.dequantize(case)?;
        }
        let reason =
            SkipReason::new("is golden data that spreads a NaN, which no contract defines");
        for _ in 0..self.undefined {
            run.skip(reason.clone());
        }
        run.finish()
    }
}

/// Whether a check's description hashes to `first` modulo `of`.
#[must_use]
pub fn is_in_part(description: &str, first: u64, of: u64) -> bool {
    let hash = description.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    (hash >> 24) % of == first % of
}

/// A run in progress.
struct Run<'a> {
    backend: &'a dyn Backend,
    out: &'a mut dyn Write,
    counts: Counts,
    skipped: BTreeMap<SkipReason, usize>,
}

impl Run<'_> {
    fn quantize(&mut self, case: &Case) -> io::Result<()> {
        if let Err(reason) = self.backend.supports(case) {
            self.skip(reason);
            return Ok(());
        }
        let difference = match self.backend.quantize(case) {
            Ok(outcome) => report::difference(case, &outcome),
            Err(error) => Some(format!("  {error}\n")),
        };
        self.record(case, difference)
    }

    fn dequantize(&mut self, case: &DequantizeCase) -> io::Result<()> {
        if let Err(reason) = self.backend.supports_dequantize(case) {
            self.skip(reason);
            return Ok(());
        }
        let difference = match self.backend.dequantize(case) {
            Ok(elements) => report::dequantize_difference(case, &elements),
            Err(error) => Some(format!("  {error}\n")),
        };
        self.record(case, difference)
    }

    fn skip(&mut self, reason: SkipReason) {
        self.counts.skipped += 1;
        *self.skipped.entry(reason).or_default() += 1;
    }

    fn record(&mut self, case: &dyn fmt::Display, difference: Option<String>) -> io::Result<()> {
        let Some(difference) = difference else {
            self.counts.passed += 1;
            return Ok(());
        };
        self.counts.failed += 1;
        if self.counts.failed <= FULL_REPORTS {
            write!(self.out, "FAILED {}: {case}\n{difference}", self.backend.name())?;
        }
        Ok(())
    }

    fn finish(self) -> io::Result<Counts> {
        let name = self.backend.name();
        if self.counts.failed > FULL_REPORTS {
            let unreported = self.counts.failed - FULL_REPORTS;
            writeln!(self.out, "{name}: {unreported} more failed, not reported in full")?;
        }
        for (reason, count) in &self.skipped {
            writeln!(self.out, "{name}: {count} skipped: {reason}")?;
        }
        writeln!(self.out, "{name}: {}", self.counts)?;
        Ok(self.counts)
    }
}

/// The dequantization of a golden case's rowwise output, to one of the three types and with one of
/// the two layouts in turn.
///
/// Golden files hold no dequantized values; the expectation is the reference's.
fn dequantize_case(golden: &GoldenCase, turn: usize) -> DequantizeCase {
    let [rows, cols] = golden.input.shape;
    let element = [InputType::F32, InputType::Bf16, InputType::F16][turn % 3];
    let scale_layout = [ScaleLayout::Linear, ScaleLayout::Swizzled128x4][turn % 2];
    let scales = golden.rowwise.scales.clone();
    let scales = oracle::lay_out(scales, rows, cols / 16, scale_layout);
    let mut case = DequantizeCase {
        name: golden.name.clone(),
        tensor: Output { scales, ..golden.rowwise.clone() },
        shape: [rows, cols],
        scale_layout,
        scaling: golden.scaling,
        e4m3_max: golden.rule.e4m3_max(),
        element,
        expected: Vec::new(),
    };
    case.expected = oracle::dequantize(&case);
    case
}

/// Where the full golden data lies when it is present: `shared/golden` beside the workspace.
#[must_use]
pub fn shared_golden() -> Option<PathBuf> {
    shared("golden")
}

/// A folder of `shared` beside the workspace, when it is present: `golden`, `golden-search` or
/// `golden-training`.
#[must_use]
pub fn shared(folder: &str) -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared").join(folder);
    beside.is_dir().then_some(beside)
}
