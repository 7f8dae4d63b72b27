//! What the warps of a block share while it runs.

use super::memory::{Memory, Region};
use super::op::Program;
use super::window;

/// The error put on approximate results, within the instruction's documented bound.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ApproxError {
    /// None: the correctly rounded result.
    #[default]
    Exact,
    /// The bound, toward zero.
    Low,
    /// The bound, away from zero.
    High,
    /// Any error within the bound, another for every lane, from this seed.
    Random(u64),
}

/// What the warps of a block share.
pub(super) struct BlockContext<'a> {
    pub(super) program: &'a Program,
    pub(super) memory: &'a mut Memory,
    pub(super) shared: Region,
    pub(super) params: &'a [u8],
    /// Lanes that executed each source instruction.
    pub(super) counts: &'a mut [u64],
    /// Lanes that voted yes at each.
    pub(super) votes: &'a mut [u64],
    /// Lane-instructions that the launch may still take.
    pub(super) budget: &'a mut u64,
    pub(super) approx: ApproxError,
    pub(super) noise: &'a mut u64,
    /// Threads of a block.
    pub(super) threads: u32,
    /// Number in the grid of the block's first thread.
    pub(super) first_thread: u32,
    /// When the block last passed a barrier, when it began, and when the launch did.
    pub(super) epoch: u32,
    pub(super) block_start: u32,
    pub(super) launch_start: u32,
}

impl BlockContext<'_> {
    /// The shared or global region that holds `len` bytes at a generic address.
    pub(super) fn region(&mut self, address: u64, len: usize) -> Option<(&mut Region, usize)> {
        if !(window::SHARED..window::SHARED + window::SIZE).contains(&address) {
            return self.memory.find(address, len);
        }
        let at = (address - window::SHARED).checked_sub(window::SHARED_START)? as usize;
        (at + len <= self.shared.len()).then_some((&mut self.shared, at))
    }
}
