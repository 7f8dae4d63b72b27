//! Paths through a kernel's machine code.
//!
//! A warp's, that is: what any of its lanes goes through counts once, and so does an instruction
//! whose guard holds for none. It is what the hardware counts as executed.
//!
//! **Hot path**: the shortest way from the entry to an exit that does a thread's whole work (loads,
//! stores and conversions, see [`Work`]) without the exact path. The exact path shows by what only
//! it does: it calls subroutines (the slow cases of division and reciprocal) and loads single
//! elements. "Shortest" settles the other branches as ordinary data and options do: compact scales,
//! one global scale, one tensor, every tie-breaker skipped, no padding. Branches that the thread's
//! number decides are settled by it ([`super::lanes`]). Loops are gone through as often as the work
//! needs.
//!
//! **Slow path**: the longest way, every subroutine's longest way included: an upper bound. A loop
//! - that converts whole blocks to codes runs as often as the work needs,
//! - that picks lanes from a ballot, one after the other: 32 times,
//! - that takes elements, from memory or from other lanes: as often as 16 of them need,
//! - around one of those: twice, for two candidates,
//! - of any other kind: once.

use std::cell::RefCell;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, HashMap};

use super::disassembly::{Block, Instruction};
use super::kernel::{self, Work};

/// Work done so far: bytes loaded, bytes stored, conversions.
type Done = [u32; 3];
/// About to enter a block, with work done.
type State = (usize, Done);

/// The blocks of the hot path in order, and its length in instructions.
pub(crate) fn hot(blocks: &[Block], work: &Work) -> Option<(Vec<usize>, u64)> {
    let needed = [work.loads, work.stores, work.packs];
    let effects: Vec<Option<Done>> = blocks.iter().map(|block| effect(block, work)).collect();
    let mut queue = BinaryHeap::from([Reverse((0u64, 0usize, [0u32; 3]))]);
    let mut before: HashMap<State, (u64, Option<State>)> =
        HashMap::from([((0, [0; 3]), (0, None))]);
    while let Some(Reverse((length, block, done))) = queue.pop() {
        if before[&(block, done)].0 < length {
            continue;
        }
        let Some(effect) = effects[block] else { continue };
        let after = std::array::from_fn(|i| (done[i] + effect[i]).min(needed[i]));
        let length = length + blocks[block].instructions.len() as u64;
        if blocks[block].exits && after == needed {
            let mut path = vec![block];
            let mut at = (block, done);
            while let Some(previous) = before[&at].1 {
                path.push(previous.0);
                at = previous;
            }
            path.reverse();
            return Some((path, length));
        }
        for &next in &blocks[block].successors {
            if before.get(&(next, after)).is_none_or(|(known, _)| *known > length) {
                before.insert((next, after), (length, Some((block, done))));
                queue.push(Reverse((length, next, after)));
            }
        }
    }
    None
}

/// What a block does for the work; `None` if it belongs to the exact path.
fn effect(block: &Block, work: &Work) -> Option<Done> {
    let mut done = [0; 3];
    for instruction in &block.instructions {
        let loaded = kernel::loaded(instruction);
        done[0] += loaded;
        done[1] += kernel::stored(instruction);
        done[2] += u32::from(kernel::packs(instruction, work.toward_zero));
        if work.element == Some(loaded) {
            // Skip flags are words too, but no kernel for words looks at one on its hot path.
            return None;
        }
    }
    block.calls.is_none().then_some(done)
}

/// The length of the longest path.
pub(crate) fn slow(blocks: &[Block], work: &Work) -> u64 {
    Slow { blocks, work, routines: RefCell::default() }.routine(0)
}

struct Slow<'a> {
    blocks: &'a [Block],
    work: &'a Work,
    /// The lengths of subroutines, by their first blocks.
    routines: RefCell<BTreeMap<usize, u64>>,
}

impl Slow<'_> {
    /// The longest path from a block to wherever it ends.
    fn routine(&self, entry: usize) -> u64 {
        if let Some(known) = self.routines.borrow().get(&entry) {
            return *known;
        }
        // A call from within is no way on.
        self.routines.borrow_mut().insert(entry, 0);
        let mut region = BTreeSet::from([entry]);
        let mut open = vec![entry];
        while let Some(block) = open.pop() {
            for &next in &self.blocks[block].successors {
                if region.insert(next) {
                    open.push(next);
                }
            }
        }
        let ends = |block: usize| self.blocks[block].exits || self.blocks[block].returns;
        let lengths = self.longest(&region, entry);
        let ends = lengths.into_iter().filter(|(block, _)| ends(*block));
        let longest = ends.map(|(_, n)| n).max().unwrap_or(0);
        self.routines.borrow_mut().insert(entry, longest);
        longest
    }

    fn cost(&self, block: usize) -> u64 {
        let block = &self.blocks[block];
        block.instructions.len() as u64 + block.calls.map_or(0, |routine| self.routine(routine))
    }

    /// The longest path from the entry through each block of a region, ways back to the entry left
    /// out.
    fn longest(&self, region: &BTreeSet<usize>, entry: usize) -> BTreeMap<usize, u64> {
        let mut lengths: BTreeMap<usize, u64> = BTreeMap::new();
        for component in self.components(region, entry) {
            // Longest way into each of the component's blocks.
            let mut into: BTreeMap<usize, u64> = BTreeMap::new();
            for (&from, &length) in &lengths {
                for next in self.next(region, entry, from) {
                    if component.contains(&next) {
                        let known = into.entry(next).or_insert(0);
                        *known = length.max(*known);
                    }
                }
            }
            if component.contains(&entry) {
                into.insert(entry, 0);
            }
            let Some((&header, &start)) = into.iter().max_by_key(|(_, length)| **length) else {
                continue;
            };
            if !self.loops(region, entry, &component) {
                lengths.insert(header, start + self.cost(header));
                continue;
            }
            let within = self.longest(&component, header);
            let repeats =
                |(block, _): &(&usize, &u64)| self.blocks[**block].successors.contains(&header);
            let pass = within.iter().filter(repeats).map(|(_, n)| *n).max().unwrap_or(0);
            let start = start + (self.trips(&component, header) - 1) * pass;
            lengths.extend(within.into_iter().map(|(block, length)| (block, start + length)));
        }
        lengths
    }

    fn next(
        &self,
        region: &BTreeSet<usize>,
        entry: usize,
        from: usize,
    ) -> impl Iterator<Item = usize> {
        let next = self.blocks[from].successors.iter();
        next.copied().filter(move |n| region.contains(n) && *n != entry)
    }

    /// Strongly connected components, each after those that lead to it.
    fn components(&self, region: &BTreeSet<usize>, entry: usize) -> Vec<BTreeSet<usize>> {
        let next = |block| self.next(region, entry, block).collect::<Vec<_>>();
        let mut search = Components::default();
        search.visit(entry, &next);
        search.found.reverse();
        search.found
    }

    /// Whether a component is a loop.
    fn loops(&self, region: &BTreeSet<usize>, entry: usize, component: &BTreeSet<usize>) -> bool {
        component.len() > 1
            || component.iter().any(|b| self.next(region, entry, *b).any(|next| next == *b))
    }

    /// How often a loop runs.
    fn trips(&self, component: &BTreeSet<usize>, header: usize) -> u64 {
        let mut inner = self.components(component, header);
        inner.retain(|c| self.loops(component, header, c));
        let own = component.iter().filter(|block| !inner.iter().any(|c| c.contains(block)));
        let own = || own.clone().flat_map(|block| &self.blocks[*block].instructions);
        let takes = |i: &Instruction| {
            self.work.element == Some(kernel::loaded(i)) || i.mnemonic() == "SHFL"
        };
        let count = |f: &dyn Fn(&Instruction) -> bool| own().filter(|i| f(i)).count() as u64;
        let (packs, elements) =
            (count(&|i: &Instruction| kernel::packs(i, self.work.toward_zero)), count(&takes));
        if count(&|i| ["FLO", "UFLO"].contains(&i.mnemonic())) > 0 {
            32
        } else if packs >= 8 {
            u64::from(self.work.packs).div_ceil(packs)
        } else if elements > 0 {
            16u64.div_ceil(elements)
        } else {
            let takes = |c: &BTreeSet<usize>| {
                c.iter().flat_map(|block| &self.blocks[*block].instructions).any(takes)
            };
            if inner.iter().any(takes) { 2 } else { 1 }
        }
    }
}

/// Tarjan's search for strongly connected components.
#[derive(Default)]
struct Components {
    /// When a block was entered.
    entered: BTreeMap<usize, usize>,
    /// Blocks of components that are not complete.
    open: Vec<usize>,
    /// Each before those that lead to it.
    found: Vec<BTreeSet<usize>>,
}

impl Components {
    /// The earliest open block that can be reached.
    fn visit(&mut self, block: usize, next: &impl Fn(usize) -> Vec<usize>) -> usize {
        let entered = self.entered.len();
        self.entered.insert(block, entered);
        let depth = self.open.len();
        self.open.push(block);
        let mut earliest = entered;
        for successor in next(block) {
            let reached = match self.entered.get(&successor) {
                None => self.visit(successor, next),
                Some(entered) if self.open.contains(&successor) => *entered,
                Some(_) => continue,
            };
            earliest = earliest.min(reached);
        }
        if earliest == entered {
            self.found.push(self.open.drain(depth..).collect());
        }
        earliest
    }
}
