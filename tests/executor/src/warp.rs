//! A warp: its registers, its lanes' places in the program, and the loop that runs them.
//!
//! Divergence: lanes at the same step form a group. The ready group with the smallest step runs, and
//! lanes that come to the same step reconverge (see [`layout`](super::layout)). A group at an operation
//! that needs other lanes or warps waits there, so any schedule that the hardware's independent threads
//! could take gives what this one gives.

use super::context::BlockContext;
use super::fault::{FaultKind, Trap};
use super::lanes::has_wide_vectors;
use super::op::{Compute, LANES, Lanes, Op, Slot, VoteMode, WarpOp};

/// What a group waits for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Wait {
    Ready,
    /// The other lanes of the mask, at the same step.
    Lanes {
        members: u32,
    },
    /// The other threads of the block.
    Block {
        id: u64,
    },
}

/// Lanes at one step.
#[derive(Clone, Copy, Debug)]
pub(super) struct Group {
    pub(super) pc: u32,
    pub(super) mask: u32,
    pub(super) wait: Wait,
}

/// An asynchronous copy that has not landed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Copy {
    pub(super) to: u64,
    pub(super) from: u64,
    pub(super) bytes: u32,
    pub(super) source_bytes: u32,
    /// Groups committed by this lane before this copy's own.
    pub(super) group: u32,
}

/// One warp.
#[derive(Debug)]
pub(super) struct Warp {
    pub(super) number: u32,
    pub(super) registers: Vec<Lanes>,
    /// The result of the computation that is running.
    pub(super) result: Lanes,
    /// Lanes that have written each register.
    pub(super) written: Vec<u32>,
    pub(super) groups: Vec<Group>,
    pub(super) alive: u32,
    /// When it last passed a warp barrier, on [`Memory`](super::memory::Memory)'s clock.
    pub(super) synced: u32,
    pub(super) local: Vec<u8>,
    pub(super) local_written: Vec<bool>,
    /// Copies in flight and groups committed, by lane.
    pub(super) copies: Vec<Vec<Copy>>,
    pub(super) committed: [u32; LANES],
}

/// How [`Warp::run`] came back, or the step that stopped it.
pub(super) type Ran = Result<Progress, (u32, Box<Trap>)>;

/// A warp that was not stopped.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Progress {
    /// It has more to do.
    Ready,
    /// Every lane has exited.
    Done,
    /// Every lane that has not exited waits.
    Blocked,
}

pub(super) fn lanes_of(mask: u32) -> impl Iterator<Item = usize> {
    (0..LANES).filter(move |&lane| mask >> lane & 1 == 1)
}

impl Warp {
    /// Runs ready lanes until none is left or about `budget` steps were taken.
    pub(super) fn run(&mut self, ctx: &mut BlockContext<'_>, budget: u32) -> Ran {
        if has_wide_vectors() {
            // SAFETY: the machine has these instructions.
            #[allow(unused_unsafe, reason = "safe where there is one form")]
            return unsafe { self.run_wide(ctx, budget) };
        }
        self.run_in_this_form(ctx, budget)
    }

    #[cfg_attr(target_arch = "x86_64", target_feature(enable = "avx2,fma,popcnt"))]
    fn run_wide(&mut self, ctx: &mut BlockContext<'_>, budget: u32) -> Ran {
        self.run_in_this_form(ctx, budget)
    }

    #[inline(always)]
    fn run_in_this_form(&mut self, ctx: &mut BlockContext<'_>, budget: u32) -> Ran {
        let mut left = budget;
        while left > 0 {
            let Some(mut group) = self.take_first() else {
                return Ok(if self.alive == 0 { Progress::Done } else { Progress::Blocked });
            };
            let next = self.ready().map(|g| g.pc).min().unwrap_or(u32::MAX);
            let (mask, lanes) = (group.mask, group.mask.count_ones());
            loop {
                left = left.saturating_sub(1);
                let pc = group.pc;
                let lanes = if group.mask == mask { lanes } else { group.mask.count_ones() };
                let runs_on = self.step(ctx, &mut group, lanes).map_err(|trap| (pc, trap))?;
                if !runs_on {
                    break;
                }
                if group.pc >= next || left == 0 {
                    self.groups.push(group);
                    break;
                }
            }
        }
        Ok(Progress::Ready)
    }

    fn ready(&self) -> impl Iterator<Item = &Group> {
        self.groups.iter().filter(|g| g.wait == Wait::Ready)
    }

    /// Removes the ready group with the smallest step, joined with all others there.
    fn take_first(&mut self) -> Option<Group> {
        let pc = self.ready().map(|g| g.pc).min()?;
        let mut mask = 0;
        self.groups.retain(|g| {
            let joins = g.wait == Wait::Ready && g.pc == pc;
            if joins {
                mask |= g.mask;
            }
            !joins
        });
        Some(Group { pc, mask, wait: Wait::Ready })
    }

    /// Takes one step of a group of so many lanes. False if the group is no more: it ended, parted or waits.
    #[inline(always)]
    fn step(
        &mut self,
        ctx: &mut BlockContext<'_>,
        group: &mut Group,
        lanes: u32,
    ) -> Result<bool, Box<Trap>> {
        let program = ctx.program;
        let step = &program.steps[group.pc as usize];
        let mut mask = group.mask;
        if let Some(guard) = step.guard {
            self.check(guard.predicate, mask)?;
            let set = odd(&self.registers[guard.predicate as usize]);
            mask &= if guard.negated { !set } else { set };
        }
        if step.counted {
            // A branch is executed by the lanes that do not take it as well.
            let all = mask == group.mask || matches!(step.op, Op::Branch { .. });
            let lanes = if all { lanes } else { mask.count_ones() };
            ctx.counts[step.source as usize] += u64::from(lanes);
            *ctx.budget = ctx.budget.checked_sub(u64::from(lanes)).ok_or_else(|| {
                Trap::lane(FaultKind::InstructionLimit, group.mask.trailing_zeros())
            })?;
        }
        if mask == 0 {
            group.pc += 1;
            return Ok(true);
        }
        match &step.op {
            Op::Compute1 { d, a, f: Compute::One(f) } => {
                self.compute(*d, [*a], mask, |d, [a]| f(d, a))?;
            }
            Op::Compute2 { d, a, b, f: Compute::Two(f) } => {
                self.compute(*d, [*a, *b], mask, |d, [a, b]| f(d, a, b))?;
            }
            Op::Compute3 { d, a, b, c, f: Compute::Three(f) } => {
                self.compute(*d, [*a, *b, *c], mask, |d, [a, b, c]| f(d, a, b, c))?;
            }
            Op::Move { d, a } => {
                let written = self.written[*a as usize];
                self.result = self.registers[*a as usize];
                self.keep_written(*d, written, mask);
            }
            Op::Select { d, a, b, p } => self.select(*d, *a, *b, *p, mask)?,
            Op::Branch { target } => return Ok(self.branch(group, mask, *target)),
            Op::Exit => return Ok(self.exit(group, mask)),
            Op::Barrier { .. } | Op::BarrierReduce { .. } => {
                return self.wait_for_block(ctx, group, mask, &step.op);
            }
            Op::Warp { op, members } => {
                if let WarpOp::Vote { a, negate, .. } = *op {
                    let yes = self.ballot(a, negate, mask)?.count_ones();
                    ctx.votes[step.source as usize] += u64::from(yes);
                }
                return self.wait_for_lanes(ctx, group, mask, *op, *members);
            }
            Op::BranchIndexed { index, targets } => {
                return self.branch_indexed(group, mask, *index, targets);
            }
            other => self.other(ctx, other, mask, group.mask)?,
        }
        group.pc += 1;
        Ok(true)
    }

    /// Fails if a lane of `mask` reads a register that it never wrote.
    #[inline(always)]
    pub(super) fn check(&self, slot: Slot, mask: u32) -> Result<(), Box<Trap>> {
        let missing = mask & !self.written[slot as usize];
        if missing == 0 {
            return Ok(());
        }
        Err(Trap::lane(FaultKind::UninitializedRegister, missing.trailing_zeros()))
    }

    /// Computes a register of the lanes of `mask`.
    #[inline(always)]
    pub(super) fn compute<const N: usize>(
        &mut self,
        d: Slot,
        operands: [Slot; N],
        mask: u32,
        f: impl Fn(&mut Lanes, [&Lanes; N]),
    ) -> Result<(), Box<Trap>> {
        for slot in operands {
            self.check(slot, mask)?;
        }
        // Straight into its place, if no lane needs what is there.
        if mask == self.alive && !operands.contains(&d) {
            let (before, rest) = self.registers.split_at_mut(d as usize);
            let (register, after) = rest.split_first_mut().expect("slots are in the file");
            let other = |slot: Slot| match slot < d {
                true => &before[slot as usize],
                false => &after[(slot - d) as usize - 1],
            };
            f(register, operands.map(other));
            self.written[d as usize] |= mask;
            return Ok(());
        }
        f(&mut self.result, operands.map(|slot| &self.registers[slot as usize]));
        self.keep(d, mask);
        Ok(())
    }

    /// Gives a register the result, in the lanes of `mask`.
    #[inline(always)]
    pub(super) fn keep(&mut self, slot: Slot, mask: u32) {
        self.written[slot as usize] |= mask;
        let register = &mut self.registers[slot as usize];
        // Lanes that have exited have no more use for what they held.
        if mask == self.alive {
            *register = self.result;
        } else {
            blend(register, &self.result, mask);
        }
    }

    /// [`keep`](Self::keep) of a result that is initialized in the lanes of `written` alone.
    #[inline(always)]
    fn keep_written(&mut self, slot: Slot, written: u32, mask: u32) {
        self.keep(slot, mask);
        self.written[slot as usize] &= written | !mask;
    }

    #[inline(always)]
    fn select(&mut self, d: Slot, a: Slot, b: Slot, p: Slot, mask: u32) -> Result<(), Box<Trap>> {
        self.check(p, mask)?;
        let [x, y, choice] = [a, b, p].map(|slot| &self.registers[slot as usize]);
        for lane in 0..LANES {
            self.result[lane] = if choice[lane] != 0 { x[lane] } else { y[lane] };
        }
        let first = odd(choice);
        let [in_a, in_b] = [a, b].map(|slot| self.written[slot as usize]);
        self.keep_written(d, in_a & first | in_b & !first, mask);
        Ok(())
    }

    /// True if the whole group goes one way.
    fn branch(&mut self, group: &mut Group, taken: u32, target: u32) -> bool {
        if taken == group.mask {
            group.pc = target;
            return true;
        }
        self.groups.push(Group { pc: target, mask: taken, wait: Wait::Ready });
        let rest = group.mask & !taken;
        self.groups.push(Group { pc: group.pc + 1, mask: rest, wait: Wait::Ready });
        false
    }

    fn branch_indexed(
        &mut self,
        group: &mut Group,
        mask: u32,
        index: Slot,
        targets: &[u32],
    ) -> Result<bool, Box<Trap>> {
        self.check(index, mask)?;
        for lane in lanes_of(mask) {
            let index = self.registers[index as usize][lane] as usize;
            let Some(&pc) = targets.get(index) else {
                return Err(Trap::lane(FaultKind::BranchIndex, lane as u32));
            };
            self.groups.push(Group { pc, mask: 1 << lane, wait: Wait::Ready });
        }
        self.leave_behind(group, mask);
        Ok(false)
    }

    /// The lanes of a group that a guard kept from `mask`'s operation go on.
    fn leave_behind(&mut self, group: &Group, mask: u32) {
        let rest = group.mask & !mask;
        if rest != 0 {
            self.groups.push(Group { pc: group.pc + 1, mask: rest, wait: Wait::Ready });
        }
    }

    fn exit(&mut self, group: &mut Group, mask: u32) -> bool {
        self.alive &= !mask;
        group.mask &= !mask;
        group.pc += 1;
        group.mask != 0
    }

    fn wait_for_block(
        &mut self,
        ctx: &BlockContext<'_>,
        group: &Group,
        mask: u32,
        op: &Op,
    ) -> Result<bool, Box<Trap>> {
        let (id, count) = match op {
            Op::Barrier { id, count, .. } => (*id, *count),
            Op::BarrierReduce { id, .. } => (*id, None),
            _ => unreachable!("only barriers wait for a block"),
        };
        let first = mask.trailing_zeros();
        for slot in count.iter().chain([&id]) {
            self.check(*slot, mask)?;
        }
        if let Some(count) = count
            && self.registers[count as usize][first as usize] != u64::from(ctx.threads)
        {
            let what = "a barrier of a part of the block";
            return Err(Trap::lane(FaultKind::Unsupported { what }, first));
        }
        let id = self.registers[id as usize][first as usize];
        self.leave_behind(group, mask);
        self.groups.push(Group { mask, wait: Wait::Block { id }, ..*group });
        Ok(false)
    }

    /// Lets lanes wait for the lanes that their masks name, and runs `op` for those complete.
    fn wait_for_lanes(
        &mut self,
        ctx: &mut BlockContext<'_>,
        group: &mut Group,
        mask: u32,
        op: WarpOp,
        members: Slot,
    ) -> Result<bool, Box<Trap>> {
        self.check(members, mask)?;
        let named = &self.registers[members as usize];
        let whole = u64::from(group.mask);
        if mask == group.mask && mask & !lanes_where(|lane| named[lane] == whole) == 0 {
            self.together(ctx, op, mask)?;
            group.pc += 1;
            return Ok(true);
        }
        let named = *named;
        self.leave_behind(group, mask);
        let mut left = mask;
        while left != 0 {
            let lane = left.trailing_zeros();
            let members = named[lane as usize] as u32;
            let here = lanes_of(left).filter(|&l| named[l] as u32 == members);
            let mut here = here.fold(0, |mask, lane| mask | 1 << lane);
            left &= !here;
            if here & !members != 0 || members & !self.alive != 0 {
                return Err(Trap::lane(FaultKind::BadMembers { members }, lane));
            }
            let wait = Wait::Lanes { members };
            self.groups.retain(|g| {
                let same = g.pc == group.pc && g.wait == wait;
                if same {
                    here |= g.mask;
                }
                !same
            });
            if here == members {
                self.together(ctx, op, members)?;
                self.groups.push(Group { pc: group.pc + 1, mask: here, wait: Wait::Ready });
            } else {
                self.groups.push(Group { pc: group.pc, mask: here, wait });
            }
        }
        Ok(false)
    }

    /// Gathers a predicate of `mask`'s lanes.
    #[inline(always)]
    pub(super) fn ballot(&self, slot: Slot, negate: bool, mask: u32) -> Result<u32, Box<Trap>> {
        self.check(slot, mask)?;
        let votes = odd(&self.registers[slot as usize]);
        Ok(if negate { !votes } else { votes } & mask)
    }

    pub(super) fn broadcast(&mut self, slot: Slot, value: u64, mask: u32) {
        self.result = [value; LANES];
        self.keep(slot, mask);
    }
}

/// The lanes for which something is true.
#[inline(always)]
pub(super) fn lanes_where(is: impl Fn(usize) -> bool) -> u32 {
    (0..LANES).fold(0, |set, lane| set | u32::from(is(lane)) << lane)
}

/// The lanes whose value is odd: of a predicate, those where it is true.
#[inline(always)]
fn odd(lanes: &Lanes) -> u32 {
    lanes_where(|lane| lanes[lane] & 1 == 1)
}

/// Takes the lanes of `mask` from another register.
#[inline(always)]
fn blend(register: &mut Lanes, from: &Lanes, mask: u32) {
    for lane in 0..LANES {
        register[lane] = if mask >> lane & 1 == 1 { from[lane] } else { register[lane] };
    }
}

/// The result of a vote over `mask`.
pub(super) fn vote(mode: VoteMode, votes: u32, mask: u32) -> u64 {
    match mode {
        VoteMode::All => u64::from(votes == mask),
        VoteMode::Any => u64::from(votes != 0),
        VoteMode::Uniform => u64::from(votes == 0 || votes == mask),
        VoteMode::Ballot => u64::from(votes),
    }
}
