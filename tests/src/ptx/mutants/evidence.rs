//! What a mutant that no case notices does beside its original.

use std::cell::OnceCell;
use std::fmt;

use fouroversix_core::Outputs;
use fouroversix_core::kernel::{Blocks, KernelRule};
use fouroversix_ptx as ptx;

use super::shadow::{self, Lanes};
use super::{Check, Trial, demand, flow};
use crate::ptx::{PtxBackend, fallback, reach};
use fouroversix_ptx_executor::Module;

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
        reach::unreachable(self.trial.kernel, self.original).get(&self.line()).copied()
    }

    /// Why the comparison always has the same result, if it decides a branch that never varies.
    pub(super) fn decided(&self) -> Option<&'static str> {
        reach::decided(self.trial.kernel, self.original, self.line())
    }

    /// Whether the kernel is for one tensor, and the instruction compares where a block of threads begins.
    pub(super) fn is_block_bound(&self) -> bool {
        !self.trial.kernel.grouped() && flow::is_block_bound(self.original, self.line())
    }

    /// Whether it sets what a thread past the tensor's edge holds.
    pub(super) fn for_absent(&self) -> bool {
        reach::is_for_absent(self.trial.kernel, self.original, self.line())
    }

    /// Whether the changed instruction gives what the original gives, wherever it is executed.
    pub(super) fn same_values(&self) -> bool {
        *self.same_values.get_or_init(|| self.same_in(Lanes::All))
    }

    fn same_in(&self, lanes: Lanes) -> bool {
        self.same_in_cases(lanes, self.cases)
    }

    fn same_in_cases(&self, lanes: Lanes, cases: &[Check]) -> bool {
        let text = shadow::compared(self.original, self.line(), &self.trial.mutant.to, lanes);
        holds(self.trial, text, cases)
    }

    /// Whether it does for the blocks that are regular. Of others nothing is used on the hot path.
    pub(super) fn same_in_regular_blocks(&self) -> bool {
        self.same_in(Lanes::Regular)
    }

    fn is_plain(&self) -> bool {
        self.trial.kernel.rule() == Some(KernelRule::Plain)
    }

    /// Whether, in a kernel of one candidate, the instruction clamps the scale of another.
    pub(super) fn is_of_no_candidate(&self) -> bool {
        self.is_plain() && flow::clamps_zero(self.original, self.line())
    }

    /// Whether it does in all cases but those whose every block saturates with both candidates.
    pub(super) fn same_unless_saturated(&self) -> bool {
        let saturated = |check: &&Check| check.to_string().contains("generated saturated");
        let cases: Vec<Check> = self.cases.iter().filter(|c| !saturated(c)).cloned().collect();
        self.same_in_cases(Lanes::All, &cases)
    }

    /// Whether, in a kernel of one candidate and 1x16 blocks, all is the same in the lower half of the warp,
    /// now or a few instructions on.
    pub(super) fn same_for_the_only_candidate(&self) -> bool {
        let one = self.is_plain() && self.trial.kernel.blocks() == Some(Blocks::Row);
        let later = |depth| self.absorbed_in(depth, Lanes::LowerHalf);
        one && (self.same_in(Lanes::LowerHalf) || (1..=12).any(later))
    }

    /// Whether every instruction that reads the result gives the same.
    pub(super) fn absorbed(&self) -> bool {
        *self.absorbed.get_or_init(|| self.absorbed_within(1))
    }

    /// Whether after so many instructions that read the result, and one another, all is the same.
    pub(super) fn absorbed_within(&self, depth: usize) -> bool {
        self.absorbed_in(depth, Lanes::All)
    }

    fn absorbed_in(&self, depth: usize, lanes: Lanes) -> bool {
        let mutated = &self.trial.mutant.to;
        let text = shadow::readers_compared(self.original, self.line(), mutated, depth, lanes);
        holds(self.trial, text, self.cases)
    }

    /// Whether each shuffle that reads a changed constant alone makes no difference but in the certified
    /// errors.
    pub(super) fn only_reorders_lanes(&self) -> bool {
        let constant = self.trial.mutant.to.trim_end_matches(';').rsplit(' ').next();
        let readers = flow::readers_with(self.original, self.line(), constant.unwrap_or_default());
        let hidden = |line: u32, changed: &str| {
            (2..=5).any(|depth| {
                let text =
                    shadow::readers_compared(self.original, line, changed, depth, Lanes::All);
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
        *self.only_more_work.get_or_init(|| {
            more_in_some_case(self.trial, self.original, self.cases, |backend| {
                let executed = backend.executed();
                executed.get(&self.trial.kernel).map_or(0, |stats| stats.lane_instructions)
            })
        })
    }

    /// Whether the kernel encodes more blocks by the contract's own sequence in some case, and fewer in none.
    pub(super) fn only_more_exact(&self) -> bool {
        more_in_some_case(self.trial, self.original, self.cases, |backend| {
            fallback::so_far(backend, self.trial.kernel).map_or(0, |counted| counted.exact)
        })
    }

    /// Whether the result goes into the comparison of the certified errors and nowhere else.
    pub(super) fn certified(&self) -> bool {
        flow::certified(self.original, self.line())
    }

    /// Whether the instruction reads or gives nothing but bit 31 of the flags.
    pub(super) fn is_of_bit_31(&self) -> bool {
        flow::is_of_bit_31(self.original, self.line())
    }

    /// Whether the bits that may differ get to no memory, condition or address.
    pub(super) fn differs_where_nothing_matters(&self) -> bool {
        demand::differs_where_nothing_matters(self.original, &self.trial.mutant.text, self.line())
    }

    /// The bits of the result that matter.
    pub(super) fn demanded(&self) -> u64 {
        demand::of_result(self.original, self.line())
    }

    /// Whether, bit 31 of the flags not being set, the bits that matter are 0 before and after.
    pub(super) fn is_zero_without_bit_31(&self) -> bool {
        let (wanted, line) = (self.demanded(), self.line());
        flow::is_zero_in(self.original, line, wanted)
            && flow::is_zero_in(&self.trial.mutant.text, line, wanted)
    }

    /// Whether the instruction asks if a block is regular.
    pub(super) fn compares_limit(&self) -> bool {
        flow::compares_limit(self.original, self.line())
    }

    /// Whether it reads a counter that is 0 in the only turn of its loop.
    pub(super) fn is_of_the_only_turn(&self) -> bool {
        flow::is_of_the_only_turn(self.original, self.line())
    }

    /// Whether it compares an even number with one whose lowest bit the kernel looks at.
    pub(super) fn compares_even(&self) -> bool {
        flow::compares_even(self.original, self.line())
    }

    /// Whether it only has a say in whether a warp looks for zeros early.
    pub(super) fn is_of_the_zero_shortcut(&self) -> bool {
        flow::is_of_the_zero_shortcut(self.original, self.line())
    }

    /// Whether the result is a scale that is still to be rounded to E4M3, and nothing else.
    pub(super) fn is_of_scales(&self) -> bool {
        flow::is_of_scales(self.original, self.line())
    }

    /// Whether rows or columns are multiples of 16 in this kernel's outputs, all of them.
    pub(super) fn has_whole_blocks_of_lines(&self) -> bool {
        let kernel = self.trial.kernel;
        kernel.blocks() == Some(Blocks::Tile) || kernel.outputs() == Some(Outputs::Columnwise)
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

/// Whether a count is higher for the mutant than for the original in some case, and lower in none.
fn more_in_some_case(
    trial: &Trial,
    original: &str,
    cases: &[Check],
    count: impl Fn(&PtxBackend) -> u64,
) -> bool {
    let Ok(mutant) = Module::parse(&trial.mutant.text) else { return false };
    let Ok(original) = Module::parse(original) else { return false };
    let (mutant, original) = (trial.backend(mutant), trial.backend(original));
    let mut sums = (0, 0);
    for case in cases {
        if case.failure(&mutant).is_some() || case.failure(&original).is_some() {
            return false;
        }
        let now = (count(&mutant), count(&original));
        if now.0 - sums.0 < now.1 - sums.1 {
            return false;
        }
        sums = now;
    }
    sums.0 > sums.1
}
