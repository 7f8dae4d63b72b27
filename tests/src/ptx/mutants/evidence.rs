//! What a mutant that no case notices does beside its original.

use std::cell::OnceCell;
use std::fmt;

use fouroversix_kernels::ptx;

use super::{Check, Trial, flow, shadow};
use crate::ptx::{Module, PtxBackend, reach};

/// What is seen of a mutant on all cases of its kernel, each thing looked at when it is first asked for.
pub(super) struct Evidence<'a> {
    trial: &'a Trial,
    cases: &'a [Check],
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
    pub(super) fn of(trial: &'a Trial, cases: &'a [Check]) -> Self {
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

    /// Why the comparison always has the same result, if it decides a branch that never varies.
    pub(super) fn decided(&self) -> Option<&'static str> {
        reach::decided(self.original, self.line())
    }

    /// Whether the kernel is for one tensor, and the instruction compares where a block of threads begins.
    pub(super) fn is_block_bound(&self) -> bool {
        !self.trial.kernel.contains("_grouped_") && flow::is_block_bound(self.original, self.line())
    }

    /// Whether it sets what a thread past the tensor's edge holds.
    pub(super) fn for_absent(&self) -> bool {
        reach::is_for_absent(self.original, self.line())
    }

    /// Whether the changed instruction gives what the original gives, wherever it is executed.
    pub(super) fn same_values(&self) -> bool {
        *self.same_values.get_or_init(|| {
            let text = shadow::compared(self.original, self.line(), &self.trial.mutant.to);
            holds(self.trial, text, self.cases)
        })
    }

    /// Whether every instruction that reads the result gives the same.
    pub(super) fn absorbed(&self) -> bool {
        *self.absorbed.get_or_init(|| self.absorbed_within(1))
    }

    /// Whether after so many instructions that read the result, and one another, all is the same.
    pub(super) fn absorbed_within(&self, depth: usize) -> bool {
        let mutated = &self.trial.mutant.to;
        let text = shadow::readers_compared(self.original, self.line(), mutated, depth);
        holds(self.trial, text, self.cases)
    }

    /// Whether each shuffle that reads a changed constant alone makes no difference but in the certified
    /// errors.
    pub(super) fn only_reorders_lanes(&self) -> bool {
        let constant = self.trial.mutant.to.trim_end_matches(';').rsplit(' ').next();
        let readers = flow::readers_with(self.original, self.line(), constant.unwrap_or_default());
        let hidden = |line: u32, changed: &str| {
            (2..=5).any(|depth| {
                let text = shadow::readers_compared(self.original, line, changed, depth);
                holds(self.trial, text, self.cases)
            })
        };
        self.read_by("shfl")
            && readers.iter().all(|(line, changed)| {
                flow::certified(self.original, *line) || hidden(*line, changed)
            })
    }

    /// Whether the result is compared for equality only, and never equal where the original is not.
    pub(super) fn fewer_equalities(&self) -> bool {
        let text = shadow::fewer_equalities(self.original, self.line(), &self.trial.mutant.to);
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

    /// Whether the instruction reads or gives nothing but bit 31 of the flags.
    pub(super) fn is_of_bit_31(&self) -> bool {
        flow::is_of_bit_31(self.original, self.line())
    }

    /// Whether the result is for a second candidate's scale byte, in a kernel that has one candidate.
    pub(super) fn is_of_no_candidate(&self) -> bool {
        self.trial.kernel.ends_with("_plain") && flow::goes_above_a_byte(self.original, self.line())
    }

    /// Whether the instruction tests a flag that says if a block is regular.
    pub(super) fn tests_a_flag(&self) -> bool {
        flow::tests_a_flag(self.original, self.line())
    }

    /// Whether the instruction compares the difference of the certified errors with its uncertainty.
    pub(super) fn compares_certainty(&self) -> bool {
        flow::compares_certainty(self.original, self.line())
    }

    /// Whether the instruction finds the sign of a difference that counts only if it is not 0.
    pub(super) fn is_sign_of_certain(&self) -> bool {
        flow::is_sign_of_certain(self.original, self.line())
    }

    /// Whether the instruction gives the first quotient of a division by 6·A.
    pub(super) fn is_quotient(&self) -> bool {
        flow::is_quotient(self.original, self.line())
    }

    /// Whether nothing else than such an instruction reads the result.
    pub(super) fn read_by(&self, opcode: &str) -> bool {
        self.read_by_any(&[opcode])
    }

    /// Whether the first of these reads the result, and nothing else than them.
    pub(super) fn read_by_any(&self, opcodes: &[&str]) -> bool {
        let readers = flow::readers(self.original, self.line());
        readers.iter().any(|reader| reader.starts_with(opcodes[0]))
            && readers.iter().all(|reader| opcodes.iter().any(|opcode| reader.starts_with(opcode)))
    }
}

/// Whether all cases pass on a kernel that traps where two values differ.
fn holds(trial: &Trial, text: Option<String>, cases: &[Check]) -> bool {
    let Some(module) = text.and_then(|text| Module::parse(&text).ok()) else { return false };
    let backend = trial.backend(module);
    cases.iter().all(|case| case.failure(&backend).is_none())
}

fn only_more_work(trial: &Trial, original: &str, cases: &[Check]) -> bool {
    let Ok(mutant) = Module::parse(&trial.mutant.text) else { return false };
    let Ok(original) = Module::parse(original) else { return false };
    let (mutant, original) = (trial.backend(mutant), trial.backend(original));
    let work = |backend: &PtxBackend| {
        backend.executed().get(trial.kernel).map_or(0, |stats| stats.lane_instructions)
    };
    let mut sums = (0, 0);
    for case in cases {
        if case.failure(&mutant).is_some() || case.failure(&original).is_some() {
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
