//! How many blocks leave the kernels' hot loop, and how many of them need the contract's own sequence.
//!
//! The hot loop decides by cheap errors and a proven bound. A block whose errors are too close, or whose
//! scales are extreme, is not certain: its warp asks whether it is zeros or an exact tie, and what is
//! neither is encoded by the contract's sequence. The kernels vote on both, so the votes of an executed
//! launch are the counts.

use std::sync::Arc;

use fouroversix_core::config::{Config, InputType, Outputs, Scaling};
use fouroversix_core::kernel::Blocks;
use fouroversix_core::{InstructionSet, Kernel};

use super::PtxBackend;
use crate::backend::{Backend, BackendError};
use crate::case::{Case, Input};
use crate::{oracle, report};

/// What became of the blocks of some launches. Tiles count as blocks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fallback {
    /// Blocks in all.
    pub blocks: u64,
    /// Blocks that the cheap errors did not decide.
    pub uncertain: u64,
    /// Blocks that took the contract's own sequence.
    pub exact: u64,
    /// Warps in all.
    pub warps: u64,
    /// Times that a warp left the hot loop.
    pub left: u64,
}

impl Fallback {
    /// Adds other launches.
    pub fn add(&mut self, other: &Self) {
        self.blocks += other.blocks;
        self.uncertain += other.uncertain;
        self.exact += other.exact;
        self.warps += other.warps;
        self.left += other.left;
    }
}

/// The kernel that quantizes one tensor of a configuration: rows in one pass, where they have global
/// scales of their own.
///
/// # Panics
/// If there is no such kernel.
#[must_use]
pub fn kernel(config: &Config, input: InputType) -> Kernel {
    let rule = config.rule().into();
    match config.scaling() {
        Scaling::Row if config.outputs() == Outputs::Rowwise => Kernel::quantize_rows(input, rule),
        Scaling::Tile => Kernel::quantize(Blocks::Tile, config.outputs(), false, input, rule),
        _ => Kernel::quantize(Blocks::Row, config.outputs(), false, input, rule),
    }
}

/// Runs one of an instruction set's committed kernels on an input, compares all that it writes with the
/// reference, and counts. It is to be a kernel of one output whose warps the shape fills: blocks at an
/// edge may count twice.
///
/// # Errors
/// If the kernel can't be run, writes other bits, or votes otherwise than the kernels of this project.
pub fn measure(
    isa: InstructionSet,
    kernel: Kernel,
    config: Config,
    input: &Arc<Input>,
) -> Result<Fallback, BackendError> {
    let case = Case {
        name: "generated for its votes".to_owned(),
        config,
        input: Arc::clone(input),
        supplied_amax: None,
        expected: oracle::quantize(config, input, None)?,
    };
    let backend = PtxBackend::committed(isa).only(kernel);
    let outcome = backend.quantize(&case)?;
    if let Some(difference) = report::difference(&case, &outcome) {
        return Err(format!("{kernel}: {difference}").into());
    }
    let (elements, lanes) = if config.scaling() == Scaling::Tile { (256, 8) } else { (16, 1) };
    let blocks = input.bits.len() as u64 / elements;
    Ok(Fallback { blocks, warps: blocks * lanes / 32, ..so_far(&backend, kernel)? })
}

/// What the launches of a kernel on a backend have counted so far, without the numbers of blocks and warps.
///
/// # Errors
/// If there is no such kernel, or it votes otherwise than those of this project.
pub fn so_far(backend: &PtxBackend, kernel: Kernel) -> Result<Fallback, BackendError> {
    let votes: Vec<Vote> = backend
        .votes(kernel)?
        .iter()
        .map(|(source, [lanes, yes])| {
            let ballot = source.text.starts_with("vote.sync.ballot");
            Vote { ballot, lanes: *lanes, yes: *yes }
        })
        .collect();
    let counted = match kernel.blocks() {
        Some(Blocks::Tile) => of_tiles(&votes),
        _ => of_blocks(&votes),
    };
    let unknown = || format!("{kernel} votes in another order than is known: {votes:?}");
    Ok(counted.ok_or_else(unknown)?)
}

/// A vote of a kernel and what came of it.
#[derive(Clone, Copy, Debug)]
struct Vote {
    ballot: bool,
    /// Lanes that took part.
    lanes: u64,
    yes: u64,
}

/// A lane has a block (`block::encode`): is any not certain, and which take the contract's sequence.
/// Kernels of columns and of both outputs have several copies.
fn of_blocks(votes: &[Vote]) -> Option<Fallback> {
    let mut sum = Fallback::default();
    for pair in votes.windows(2).filter(|pair| pair[1].ballot) {
        let [uncertain, exact] = [pair[0], pair[1]];
        if uncertain.ballot {
            return None;
        }
        sum.uncertain += uncertain.yes;
        sum.exact += exact.yes;
        sum.left += exact.lanes / 32;
    }
    votes.last().is_some_and(|vote| vote.ballot).then_some(sum)
}

/// Eight lanes have a tile (`decide::tile::encode`): irregular; not certain, which an irregular one nearly always is
/// too; all lanes a tie; near and no tie; irregular and not zeros.
fn of_tiles(votes: &[Vote]) -> Option<Fallback> {
    let [irregular, uncertain, tie, settled, exact] = votes else { return None };
    votes.iter().all(|vote| vote.ballot).then_some(Fallback {
        uncertain: uncertain.yes.max(irregular.yes) / 8,
        exact: (settled.yes + exact.yes) / 8,
        left: (tie.lanes + exact.lanes) / 32,
        ..Fallback::default()
    })
}
