//! Paths through a kernel's machine code.
//!
//! **Hot path**: the shortest way from the entry to an exit that does a thread's whole work (loads,
//! stores and conversions, see [`Work`]) without the exact path. The exact path shows by what only
//! it does: it calls subroutines (the slow cases of division and reciprocal) and loads single
//! elements. "Shortest" settles the other branches as ordinary data and options do: compact scales,
//! one global scale, one tensor, every tie-breaker skipped, no padding. Loops are gone through as
//! often as the work needs.
//!
//! **Slow path**: the longest way, every subroutine's longest way included. A loop that loads single
//! elements runs as often as 16 of them need, any other once.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, HashMap};

use super::disassembly::Block;
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
        done[2] += u32::from(kernel::packs(instruction));
        if work.element == Some(loaded) {
            // Skip flags are words too, but no kernel for words looks at one on its hot path.
            return None;
        }
    }
    block.calls.is_none().then_some(done)
}

/// The length of the longest path.
pub(crate) fn slow(blocks: &[Block], work: &Work) -> u64 {
    Slow { blocks, work }.routine(0)
}

struct Slow<'a> {
    blocks: &'a [Block],
    work: &'a Work,
}

impl Slow<'_> {
    /// The longest path from a block to wherever it ends.
    fn routine(&self, entry: usize) -> u64 {
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
        lengths.into_iter().filter(|(block, _)| ends(*block)).map(|(_, n)| n).max().unwrap_or(0)
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
            let loops =
                component.len() > 1 || self.next(region, entry, header).any(|next| next == header);
            if !loops {
                lengths.insert(header, start + self.cost(header));
                continue;
            }
            let within = self.longest(&component, header);
            let repeats =
                |(block, _): &(&usize, &u64)| self.blocks[**block].successors.contains(&header);
            let pass = within.iter().filter(repeats).map(|(_, n)| *n).max().unwrap_or(0);
            let start = start + (self.trips(&component) - 1) * pass;
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
        let reach: BTreeMap<usize, BTreeSet<usize>> = region
            .iter()
            .map(|&from| {
                let mut reached = BTreeSet::new();
                let mut open = vec![from];
                while let Some(block) = open.pop() {
                    open.extend(self.next(region, entry, block).filter(|n| reached.insert(*n)));
                }
                (from, reached)
            })
            .collect();
        let mut components: Vec<BTreeSet<usize>> = Vec::new();
        let mut seen = BTreeSet::new();
        // A block reaches more than those behind it do.
        let mut order: Vec<usize> = reach[&entry].iter().copied().chain([entry]).collect();
        order.sort_by_key(|block| {
            let mut behind = reach[block].clone();
            behind.insert(*block);
            Reverse(behind.len())
        });
        for block in order {
            if seen.contains(&block) {
                continue;
            }
            let mut component: BTreeSet<usize> =
                reach[&block].iter().copied().filter(|n| reach[n].contains(&block)).collect();
            component.insert(block);
            seen.extend(component.iter().copied());
            components.push(component);
        }
        components
    }

    /// How often a loop runs.
    fn trips(&self, component: &BTreeSet<usize>) -> u64 {
        let instructions = component.iter().flat_map(|block| &self.blocks[*block].instructions);
        let loads =
            instructions.filter(|i| self.work.element == Some(kernel::loaded(i))).count() as u64;
        16u64.checked_div(loads).map_or(1, |trips| trips.max(1))
    }
}
