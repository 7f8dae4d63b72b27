//! Which registers share a slot of a warp's register file.
//!
//! PTX names a register for almost every result, thousands in a kernel, of which few are in use at a time: a
//! file with a slot for each would be megabytes, and every launch clears it. Registers share a slot where no
//! lane can need both. One that a lane may read before it wrote it is in use from the kernel's start, so that
//! reading it is noticed as if it had the slot alone.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::ops::Range;

use super::op::{Op, Slot, Step, Use};

/// The steps at which a register is in use, from the first to the last. One that a step reads and one that it
/// writes are in use at once: a result goes straight to its place.
#[derive(Clone, Copy)]
struct Life {
    first: u32,
    last: u32,
}

impl Life {
    const NONE: Self = Self { first: u32::MAX, last: 0 };

    fn add(&mut self, step: u32) {
        self.first = self.first.min(step);
        self.last = self.last.max(step);
    }
}

/// Steps that run one after another, and the blocks that lead to them.
struct Block {
    steps: Range<u32>,
    before: Vec<u32>,
}

/// Gives the registers of `steps` new slots, and returns how many there are. Those in `filled` hold values that
/// are there before the first step.
pub(super) fn share<'a>(
    steps: &mut [Step],
    registers: u32,
    filled: impl Iterator<Item = &'a mut Slot>,
) -> u32 {
    let filled: Vec<&mut Slot> = filled.collect();
    let mut lives = lives(steps, registers);
    for slot in &filled {
        lives[**slot as usize] = Life { first: 0, last: u32::MAX };
    }
    let mut order: Vec<Slot> = (0..registers).collect();
    order.retain(|&register| lives[register as usize].first != u32::MAX);
    order.sort_by_key(|&register| lives[register as usize].first);
    let mut slots: Vec<Slot> = (0..registers).collect();
    let (mut count, mut free) = (0, Vec::new());
    let mut in_use: BinaryHeap<Reverse<(u32, Slot)>> = BinaryHeap::new();
    for register in order {
        let Life { first, last } = lives[register as usize];
        while let Some(&Reverse((end, slot))) = in_use.peek()
            && end < first
        {
            in_use.pop();
            free.push(slot);
        }
        let slot = free.pop().unwrap_or_else(|| {
            count += 1;
            count - 1
        });
        slots[register as usize] = slot;
        in_use.push(Reverse((last, slot)));
    }
    let mut rename = |register: &mut Slot| *register = slots[*register as usize];
    filled.into_iter().for_each(&mut rename);
    steps.iter_mut().for_each(|step| step.registers(&mut |register, _| rename(register)));
    count
}

/// The life of every register.
fn lives(steps: &mut [Step], registers: u32) -> Vec<Life> {
    let blocks = blocks(steps);
    let mut lives = vec![Life::NONE; registers as usize];
    // The blocks that read a register before they surely write it, and those that surely write it.
    let mut reading: Vec<Vec<u32>> = vec![Vec::new(); registers as usize];
    let mut writing = reading.clone();
    for (number, block) in (0..).zip(&blocks) {
        for i in block.steps.clone() {
            let step = &mut steps[i as usize];
            let guarded = step.guard.is_some();
            step.registers(&mut |register, what| {
                let register = *register as usize;
                lives[register].add(i);
                let written = writing[register].last() == Some(&number);
                match what {
                    Use::Written if !guarded && !written => writing[register].push(number),
                    Use::Read if !written => reading[register].push(number),
                    _ => {}
                }
            });
        }
    }
    let mut seen = vec![u32::MAX; blocks.len()];
    for register in 0..registers {
        let life = &mut lives[register as usize];
        let mut needing = std::mem::take(&mut reading[register as usize]);
        while let Some(number) = needing.pop() {
            if std::mem::replace(&mut seen[number as usize], register) == register {
                continue;
            }
            let block = &blocks[number as usize];
            life.add(block.steps.start);
            for &before in &block.before {
                life.add(blocks[before as usize].steps.end - 1);
                if !writing[register as usize].contains(&before) {
                    needing.push(before);
                }
            }
        }
    }
    lives
}

/// The steps cut where a branch goes or comes from.
fn blocks(steps: &[Step]) -> Vec<Block> {
    let mut first = vec![false; steps.len() + 1];
    first[0] = true;
    for (i, step) in steps.iter().enumerate() {
        let targets = step.op.targets();
        first[i + 1] |= !targets.is_empty() || step.op.ends_thread();
        targets.iter().for_each(|&target| first[target as usize] = true);
    }
    let starts: Vec<u32> = (0..steps.len() as u32).filter(|&i| first[i as usize]).collect();
    let ends = starts.iter().skip(1).copied().chain([steps.len() as u32]);
    let mut blocks: Vec<Block> = starts
        .iter()
        .zip(ends)
        .map(|(&start, end)| Block { steps: start..end, before: vec![] })
        .collect();
    for number in 0..starts.len() {
        let last = &steps[blocks[number].steps.end as usize - 1];
        let goes_on =
            last.guard.is_some() || last.op.targets().is_empty() && !last.op.ends_thread();
        let next = (goes_on && number + 1 < starts.len()).then_some(number + 1);
        let targets = last.op.targets().iter();
        let targets = targets.map(|target| starts.binary_search(target).expect("a block's start"));
        for after in targets.chain(next) {
            blocks[after].before.push(number as u32);
        }
    }
    blocks
}

impl Op {
    fn targets(&self) -> &[u32] {
        match self {
            Self::Branch { target } => std::slice::from_ref(target),
            Self::BranchIndexed { targets, .. } => targets,
            _ => &[],
        }
    }

    fn ends_thread(&self) -> bool {
        matches!(self, Self::Exit | Self::Trap)
    }
}
