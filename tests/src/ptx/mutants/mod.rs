//! Mutants of the committed kernels: one instruction changed, which the cases must notice.
//!
//! Those that no case can notice are allowed where the changed line alone proves it (`allowed`). The
//! others are survivors, to be looked at: a missing case, or one more kernel that does the same.

mod allowed;
mod mutate;

use std::collections::BTreeMap;
use std::fmt;

use fouroversix_core::config::InputType;
use fouroversix_core::{InstructionSet, Kernel, launch};
use fouroversix_ptx as ptx;

use super::{PtxBackend, fallback, large};
use crate::backend::{Backend, BackendError};
use crate::case::Case;
use crate::dequantize_case::DequantizeCase;
use crate::generate::ELEMENTS;
use crate::generate::beyond::{stochastic_cases, transform_cases};
use crate::generate::uncertain::{self, Uncertain};
use crate::golden::GoldenError;
use crate::suite::Suite;
use crate::{coverage, report};
use fouroversix_ptx_executor::Module;

pub use mutate::{Mutant, Mutator};

/// The most lane-instructions that a launch of a mutant may take: loops may have lost their end.
const LIMIT: u64 = 100_000_000;

/// A check that mutants are tried on.
#[derive(Clone, Debug)]
enum Check {
    Quantize(Case),
    Dequantize(DequantizeCase),
    /// [`PtxBackend::run_peaks`]
    Peaks(InputType),
    /// A case whose blocks this kernel must not be certain of.
    Uncertain(Uncertain, Kernel),
}

/// The checks that mutants are tried on, by the kernels that they launch.
#[derive(Debug)]
pub struct Cases(BTreeMap<Kernel, Vec<Check>>);

impl Cases {
    /// The carried, the generated and the large cases.
    ///
    /// # Errors
    /// If the carried selection is broken.
    pub fn all() -> Result<Self, GoldenError> {
        let mut suite = Suite::carried()?;
        suite.extend(Suite::generated(4));
        suite.extend(Suite::carried_training()?);
        suite.extend(Suite::generated_training(4));
        suite.extend(Suite::carried_search()?);
        suite.extend(Suite::generated_search(4));
        suite.cases.extend(large::cases());
        suite.cases.extend(stochastic_cases(&large::cases(), 0));
        suite.cases.extend(transform_cases(&large::cases(), 0));
        suite.cases.retain(|case| launch::check_features(&case.config).is_ok());
        let mut by_kernel: BTreeMap<Kernel, Vec<Check>> = BTreeMap::new();
        for case in suite.cases {
            for kernel in PtxBackend::kernels_of(&case).expect("cases can be launched") {
                by_kernel.entry(kernel).or_default().push(Check::Quantize(case.clone()));
            }
        }
        for case in suite.dequantize_cases {
            let kernel = coverage::dequantize_kernel(&case).expect("cases can be launched");
            by_kernel.entry(kernel).or_default().push(Check::Dequantize(case));
        }
        for uncertain in uncertain::cases(1) {
            for kernel in PtxBackend::kernels_of(&uncertain.case).expect("cases can be launched") {
                let checks = by_kernel.entry(kernel).or_default();
                checks.push(Check::Uncertain(uncertain.clone(), kernel));
            }
        }
        for element in ELEMENTS {
            let one_and_many = [false, true].map(|grouped| Kernel::amax(grouped, element));
            for kernel in one_and_many.into_iter().chain([Kernel::amax_rows(element)]) {
                by_kernel.entry(kernel).or_default().push(Check::Peaks(element));
            }
        }
        // Small ones first: most mutants fall to any case.
        for cases in by_kernel.values_mut() {
            cases.sort_by_key(Check::elements);
        }
        Ok(Self(by_kernel))
    }

    /// The checks that launch a kernel.
    fn of(&self, kernel: Kernel) -> &[Check] {
        self.0.get(&kernel).map_or(&[], Vec::as_slice)
    }
}

impl Check {
    fn elements(&self) -> usize {
        match self {
            Self::Quantize(case) => case.input.bits.len(),
            Self::Dequantize(case) => case.expected.len(),
            Self::Peaks(_) => usize::MAX,
            Self::Uncertain(uncertain, _) => uncertain.case.input.bits.len(),
        }
    }

    /// How it fails on a backend, if it does.
    fn failure(&self, backend: &PtxBackend) -> Option<String> {
        let result = match self {
            Self::Quantize(case) => {
                backend.quantize(case).map(|outcome| report::difference(case, &outcome))
            }
            Self::Dequantize(case) if backend.supports_dequantize(case).is_err() => return None,
            Self::Dequantize(case) => backend
                .dequantize(case)
                .map(|elements| report::dequantize_difference(case, &elements)),
            Self::Peaks(element) => backend.run_peaks(*element).map(|()| None),
            Self::Uncertain(uncertain, kernel) => uncertain_difference(backend, uncertain, *kernel),
        };
        match result {
            Ok(difference) => difference.map(|_| "wrong bits".to_owned()),
            Err(error) => Some(error.to_string().chars().take(80).collect()),
        }
    }
}

/// What is wrong with a kernel's bits, or with how many blocks it encodes by the contract's sequence.
fn uncertain_difference(
    backend: &PtxBackend,
    Uncertain { case, blocks }: &Uncertain,
    kernel: Kernel,
) -> Result<Option<String>, BackendError> {
    let before = fallback::so_far(backend, kernel)?.exact;
    let outcome = backend.quantize(case)?;
    let counted = fallback::so_far(backend, kernel)?.exact - before;
    let certain = || (counted < *blocks).then(|| format!("{counted} of {blocks} are not certain"));
    Ok(report::difference(case, &outcome).or_else(certain))
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Quantize(case) => case.fmt(f),
            Self::Dequantize(case) => case.fmt(f),
            Self::Peaks(element) => write!(f, "peaks of {}", element.name()),
            Self::Uncertain(uncertain, _) => uncertain.case.fmt(f),
        }
    }
}

/// A mutant of one kernel.
#[derive(Clone, Debug)]
pub struct Trial {
    /// Whose instruction set.
    pub isa: InstructionSet,
    /// Whose kernel.
    pub kernel: Kernel,
    /// What was changed.
    pub mutant: Mutant,
}

/// What came of a mutant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// A case failed: how, and which.
    Killed(String),
    /// No case can fail: why.
    Equivalent(&'static str),
    /// No case failed.
    Survived,
}

/// `count` mutants of the committed kernels whose names contain `filter`, drawn from `seed`.
///
/// # Panics
/// If there is no such kernel with a case.
#[must_use]
pub fn draw(seed: u64, count: usize, filter: &str, cases: &Cases) -> Vec<Trial> {
    let mut mutator = Mutator::new(seed);
    let mut choices = Vec::new();
    for isa in InstructionSet::ALL {
        let named = Kernel::ALL.into_iter().filter(|kernel| kernel.name().contains(filter));
        choices.extend(named.filter(|it| !cases.of(*it).is_empty()).map(|kernel| (isa, kernel)));
    }
    assert!(!choices.is_empty(), "no kernel with cases contains {filter:?}");
    let mut trials = Vec::new();
    while trials.len() < count {
        let (isa, kernel) = choices[mutator.below(choices.len())];
        let text = ptx::source(isa, kernel).expect("every set is carried");
        if let Some(mutant) = mutator.mutate(text) {
            trials.push(Trial { isa, kernel, mutant });
        }
    }
    trials
}

impl Trial {
    /// Runs the mutant on the cases of its kernel until one fails.
    #[must_use]
    pub fn judge(&self, cases: &Cases) -> Verdict {
        let cases = cases.of(self.kernel);
        let module = match Module::parse(&self.mutant.text) {
            Ok(module) => module,
            Err(error) => return Verdict::Killed(error.to_string()),
        };
        let backend = self.backend(module);
        // A few small cases, then ever more: most mutants fall to the first.
        for case in cases.iter().step_by(16).chain(cases) {
            if let Some(how) = case.failure(&backend) {
                return Verdict::Killed(format!("{how} in {case}"));
            }
        }
        let Mutant { from, to, .. } = &self.mutant;
        allowed::reason(from, to).map_or(Verdict::Survived, Verdict::Equivalent)
    }

    /// The committed kernels with `module` in this one's place.
    fn backend(&self, module: Module) -> PtxBackend {
        let backend = PtxBackend::committed(self.isa).with_limit(LIMIT).only(self.kernel);
        backend.replace(self.kernel, module);
        backend
    }
}
