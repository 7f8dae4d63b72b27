//! What a mutant that no case notices does beside its original.

use std::cell::OnceCell;
use std::fmt;

use fouroversix_kernels::ptx;

use super::{Trial, failure, flow};
use crate::case::Case;
use crate::ptx::{Module, PtxBackend, reach};

/// What is seen of a mutant on all cases of its kernel, each thing looked at when it is first asked for.
pub(super) struct Evidence<'a> {
    trial: &'a Trial,
    cases: &'a [Case],
    original: &'static str,
    same_values: OnceCell<bool>,
    absorbed: OnceCell<bool>,
    only_more_work: OnceCell<bool>,
}

impl fmt::Debug for Evidence<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Evidence")
            .field("same_values", &self.same_values())
            .field("absorbed", &self.absorbed())
            .field("only_more_work", &self.only_more_work())
            .field("certified", &self.certified())
            .finish_non_exhaustive()
    }
}

impl<'a> Evidence<'a> {
    pub(super) fn of(trial: &'a Trial, cases: &'a [Case]) -> Self {
        let original = ptx::source(trial.isa, trial.kernel).expect("the kernel is committed");
        let (same_values, absorbed, only_more_work) = Default::default();
        Self { trial, cases, original, same_values, absorbed, only_more_work }
    }

    fn line(&self) -> u32 {
        self.trial.mutant.pos.line
    }

    /// Why no launch can come to the instruction, if none can.
    pub(super) fn unreachable(&self) -> Option<&'static str> {
        reach::unreachable(self.original).get(&self.line()).copied()
    }

    /// Whether it sets what a thread past the tensor's edge holds.
    pub(super) fn for_absent(&self) -> bool {
        reach::is_for_absent(self.original, self.line())
    }

    /// Whether the changed instruction gives what the original gives, wherever it is executed.
    pub(super) fn same_values(&self) -> bool {
        *self.same_values.get_or_init(|| {
            let text = flow::compared(self.original, self.line(), &self.trial.mutant.to);
            holds(self.trial, text, self.cases)
        })
    }

    /// Whether every instruction that reads the result gives the same.
    pub(super) fn absorbed(&self) -> bool {
        *self.absorbed.get_or_init(|| {
            let text = flow::readers_compared(self.original, self.line(), &self.trial.mutant.to);
            holds(self.trial, text, self.cases)
        })
    }

    /// Whether the result is compared for equality only, and never equal where the original is not.
    pub(super) fn fewer_equalities(&self) -> bool {
        let text = flow::fewer_equalities(self.original, self.line(), &self.trial.mutant.to);
        holds(self.trial, text, self.cases)
    }

    /// Whether the kernel executes more instructions in some case and fewer in none.
    pub(super) fn only_more_work(&self) -> bool {
        *self.only_more_work.get_or_init(|| only_more_work(self.trial, self.original, self.cases))
    }

    /// Whether the result goes into the comparison of the certified errors and nowhere else.
    pub(super) fn certified(&self) -> bool {
        flow::certified(self.original, self.line())
    }

    /// Whether nothing else than such instructions reads the result.
    pub(super) fn read_by(&self, opcode: &str) -> bool {
        let readers = flow::readers(self.original, self.line());
        !readers.is_empty() && readers.iter().all(|reader| reader.starts_with(opcode))
    }
}

/// Whether all cases pass on a kernel that traps where two values differ.
fn holds(trial: &Trial, text: Option<String>, cases: &[Case]) -> bool {
    let Some(module) = text.and_then(|text| Module::parse(&text).ok()) else { return false };
    let backend = trial.backend(module);
    cases.iter().all(|case| failure(&backend, case).is_none())
}

fn only_more_work(trial: &Trial, original: &str, cases: &[Case]) -> bool {
    let Ok(mutant) = Module::parse(&trial.mutant.text) else { return false };
    let Ok(original) = Module::parse(original) else { return false };
    let (mutant, original) = (trial.backend(mutant), trial.backend(original));
    let work = |backend: &PtxBackend| {
        backend.executed().get(trial.kernel).map_or(0, |stats| stats.lane_instructions)
    };
    let mut sums = (0, 0);
    for case in cases {
        if failure(&mutant, case).is_some() || failure(&original, case).is_some() {
            return false;
        }
        let now = (work(&mutant), work(&original));
        if now.0 - sums.0 < now.1 - sums.1 {
            return false;
        }
        sums = now;
    }
    sums.0 > sums.1
}
