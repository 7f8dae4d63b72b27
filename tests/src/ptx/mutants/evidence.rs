//! What a mutant that no case notices does beside its original.

use fouroversix_kernels::ptx;

use super::{Trial, failure, flow};
use crate::case::Case;
use crate::ptx::{Module, PtxBackend, reach};

/// What was seen of a mutant on all cases of its kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "observations, each by itself")]
pub struct Evidence {
    /// Why no launch can come to the instruction, if none can.
    pub unreachable: Option<&'static str>,
    /// Whether the changed instruction gives what the original gives, wherever it is executed.
    pub same_values: bool,
    /// Whether what it gives differs, but every instruction that reads it gives the same.
    pub absorbed: bool,
    /// Whether the kernel executes more instructions in some case and fewer in none.
    pub only_more_work: bool,
    /// Whether what it gives goes into the comparison of the certified errors and nowhere else.
    pub certified: bool,
    /// Whether what it gives is only compared.
    pub compared: bool,
    /// The opcodes of the instructions that read what it gives.
    pub readers: Vec<String>,
}

impl Evidence {
    /// Runs the cases with the mutant, with the original, and with both side by side.
    pub(super) fn of(trial: &Trial, cases: &[Case]) -> Self {
        let original = ptx::source(trial.isa, trial.kernel).expect("the kernel is committed");
        let line = trial.mutant.pos.line;
        let slice = flow::Slice::of(original, line);
        Self {
            unreachable: reach::unreachable(original).get(&line).copied(),
            same_values: holds(trial, flow::compared(original, line, &trial.mutant.to), cases),
            absorbed: holds(trial, flow::readers_compared(original, line, &trial.mutant.to), cases),
            only_more_work: only_more_work(trial, original, cases),
            certified: slice.as_ref().is_some_and(|slice| slice.certified),
            compared: slice.is_some(),
            readers: flow::readers(original, line),
        }
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
