//! The order in which blocks are laid out, which is also the order in which a diverged warp runs them.
//!
//! A warp whose lanes have parted always advances the lanes with the smallest step number, so lanes
//! meet again if every block has a larger number than the blocks that lead to it (but for the edges
//! back to a loop's head) and a loop's blocks stand together. That is Bourdoncle's weak topological
//! order (F. Bourdoncle, "Efficient chaotic iteration strategies with widenings", 1993, figure 4).
//! Reconvergence is then at the immediate post-dominator for structured code. Order changes speed and
//! nothing else: an operation that needs other lanes waits for them wherever they are.

use super::op::{Op, Step};

struct Block {
    first: usize,
    end: usize,
    successors: Vec<usize>,
    /// The block that runs on into the step after `end`.
    next: Option<usize>,
}

/// Lays `steps` out anew. Branches name labels on entry, whose steps `labels` gives, and step numbers
/// on return.
pub(super) fn arrange(steps: Vec<Step>, labels: &[u32]) -> Vec<Step> {
    let blocks = blocks(&steps, labels);
    let block_of = |step: u32| blocks.partition_point(|block| block.first <= step as usize) - 1;
    let order = Order::of(&blocks);
    let mut old: Vec<Option<Step>> = steps.into_iter().map(Some).collect();
    let mut out: Vec<Step> = Vec::with_capacity(old.len());
    let mut starts = vec![u32::MAX; blocks.len()];
    for (i, &block) in order.iter().enumerate() {
        starts[block] = out.len() as u32;
        let Block { first, end, next, .. } = blocks[block];
        out.extend(old[first..end].iter_mut().filter_map(Option::take));
        // Targets become block numbers first.
        if let Some(last) = out.last_mut() {
            match &mut last.op {
                Op::Branch { target } => *target = block_of(labels[*target as usize]) as u32,
                Op::BranchIndexed { targets, .. } => {
                    for target in targets {
                        *target = block_of(labels[*target as usize]) as u32;
                    }
                }
                _ => {}
            }
        }
        if let Some(next) = next
            && order.get(i + 1) != Some(&next)
        {
            let source = out.last().map_or(0, |step| step.source);
            let op = Op::Branch { target: next as u32 };
            out.push(Step { op, guard: None, source, counted: false });
        }
    }
    for step in &mut out {
        match &mut step.op {
            Op::Branch { target } => *target = starts[*target as usize],
            Op::BranchIndexed { targets, .. } => {
                for target in targets {
                    *target = starts[*target as usize];
                }
            }
            _ => {}
        }
    }
    out
}

fn ends_block(op: &Op) -> bool {
    matches!(op, Op::Branch { .. } | Op::BranchIndexed { .. } | Op::Exit | Op::Trap)
}

fn blocks(steps: &[Step], labels: &[u32]) -> Vec<Block> {
    let mut leader = vec![false; steps.len() + 1];
    leader[0] = true;
    for &label in labels {
        if let Some(slot) = leader.get_mut(label as usize) {
            *slot = true;
        }
    }
    for (i, step) in steps.iter().enumerate() {
        if ends_block(&step.op) {
            leader[i + 1] = true;
        }
    }
    let starts: Vec<usize> = (0..steps.len()).filter(|&i| leader[i]).collect();
    let block_of = |step: u32| starts.partition_point(|&start| start <= step as usize) - 1;
    let mut blocks = Vec::with_capacity(starts.len());
    for (i, &first) in starts.iter().enumerate() {
        let end = starts.get(i + 1).copied().unwrap_or(steps.len());
        let last = &steps[end - 1];
        let falls = !ends_block(&last.op) || last.guard.is_some();
        let next = (falls && i + 1 < starts.len()).then_some(i + 1);
        let mut successors: Vec<usize> = next.into_iter().collect();
        match &last.op {
            Op::Branch { target } => successors.push(block_of(labels[*target as usize])),
            Op::BranchIndexed { targets, .. } => {
                successors.extend(targets.iter().map(|&t| block_of(labels[t as usize])));
            }
            _ => {}
        }
        blocks.push(Block { first, end, successors, next });
    }
    blocks
}

/// Bourdoncle's recursive strategy.
struct Order<'a> {
    blocks: &'a [Block],
    depth_first: Vec<u32>,
    number: u32,
    stack: Vec<usize>,
    reversed: Vec<usize>,
}

impl<'a> Order<'a> {
    fn of(blocks: &'a [Block]) -> Vec<usize> {
        let mut order = Self {
            blocks,
            depth_first: vec![0; blocks.len()],
            number: 0,
            stack: Vec::new(),
            reversed: Vec::new(),
        };
        order.visit(0);
        order.reversed.reverse();
        order.reversed
    }

    fn visit(&mut self, block: usize) -> u32 {
        self.stack.push(block);
        self.number += 1;
        self.depth_first[block] = self.number;
        let mut head = self.number;
        let mut in_loop = false;
        let blocks = self.blocks;
        for &next in &blocks[block].successors {
            let lowest = match self.depth_first[next] {
                0 => self.visit(next),
                number => number,
            };
            if lowest <= head {
                head = lowest;
                in_loop = true;
            }
        }
        if head == self.depth_first[block] {
            self.depth_first[block] = u32::MAX;
            let mut element = self.stack.pop();
            if in_loop {
                while let Some(inner) = element.filter(|&inner| inner != block) {
                    self.depth_first[inner] = 0;
                    element = self.stack.pop();
                }
                for &next in &blocks[block].successors {
                    if self.depth_first[next] == 0 {
                        self.visit(next);
                    }
                }
            }
            self.reversed.push(block);
        }
        head
    }
}
