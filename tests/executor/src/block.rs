//! A block of a grid: its warps, its shared memory and its barriers.

use super::context::BlockContext;
use super::fault::{FaultKind, MemoryKind, Trap};
use super::memory::Region;
use super::op::{LANES, Op, Program, Special, VoteMode};
use super::warp::{Group, Progress, Wait, Warp, lanes_of};

/// The shape of a launch.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shape {
    pub(super) grid: [u32; 3],
    pub(super) block: [u32; 3],
    pub(super) dynamic_shared: u32,
}

impl Shape {
    pub(super) fn threads(&self) -> u32 {
        self.block.iter().product()
    }

    pub(super) fn warps(&self) -> u32 {
        self.threads().div_ceil(LANES as u32)
    }
}

impl Warp {
    pub(super) fn new(program: &Program, shape: &Shape, number: u32) -> Self {
        let local = program.local_bytes as usize * LANES;
        let mut registers = vec![[0; LANES]; program.registers as usize];
        for &(slot, value) in &program.constants {
            registers[slot as usize] = [value; LANES];
        }
        for &(slot, special) in &program.specials {
            let value = |lane| special.value(program, shape, number, lane as u32).into();
            registers[slot as usize] = std::array::from_fn(value);
        }
        Self {
            number,
            registers,
            written: vec![0; program.registers as usize],
            groups: Vec::new(),
            alive: 0,
            synced: 0,
            result: [0; LANES],
            local: vec![0; local],
            local_written: vec![false; local],
            copies: vec![Vec::new(); LANES],
            committed: [0; LANES],
        }
    }

    /// Makes the warp ready for the block at `coordinates`.
    pub(super) fn start(&mut self, program: &Program, shape: &Shape, coordinates: [u32; 3]) {
        let count = (shape.threads() - self.number * LANES as u32).min(LANES as u32);
        self.alive = super::ast::width_mask(count) as u32;
        self.synced = 0;
        self.written.fill(0);
        self.local_written.fill(false);
        self.copies.iter_mut().for_each(Vec::clear);
        self.committed = [0; LANES];
        self.groups.clear();
        self.groups.push(Group { pc: 0, mask: self.alive, wait: Wait::Ready });
        for &(slot, _) in &program.constants {
            self.written[slot as usize] = u32::MAX;
        }
        for &(slot, special) in &program.specials {
            if let Special::Ctaid(axis) = special {
                self.registers[slot as usize] = [coordinates[axis].into(); LANES];
            }
            self.written[slot as usize] = u32::MAX;
        }
    }
}

impl Special {
    /// The value in a lane of a warp; of the block's coordinates, which [`Warp::start`] knows, zero.
    fn value(self, program: &Program, shape: &Shape, warp: u32, lane: u32) -> u32 {
        let thread = thread_coordinates(shape, warp * LANES as u32 + lane);
        let bit = 1u32 << lane;
        match self {
            Self::Tid(axis) => thread[axis],
            Self::Ntid(axis) => shape.block[axis],
            Self::Ctaid(_) => 0,
            Self::Nctaid(axis) => shape.grid[axis],
            Self::LaneId => lane,
            Self::WarpId => warp,
            Self::NWarpId => shape.warps(),
            Self::LaneMaskEq => bit,
            Self::LaneMaskLt => bit - 1,
            Self::LaneMaskLe => (bit - 1) | bit,
            Self::LaneMaskGe => !(bit - 1),
            Self::LaneMaskGt => !(bit - 1) & !bit,
            Self::DynamicSharedSize => shape.dynamic_shared,
            Self::TotalSharedSize => program.shared_bytes + shape.dynamic_shared,
        }
    }
}

/// The coordinates of a block's `thread`-th thread.
pub(super) fn thread_coordinates(shape: &Shape, thread: u32) -> [u32; 3] {
    let [x, y, _] = shape.block;
    [thread % x, thread / x % y, thread / (x * y)]
}

/// A trap with the step and the warp that it happened in.
pub(super) struct Stopped {
    pub(super) step: u32,
    pub(super) warp: u32,
    pub(super) trap: Box<Trap>,
}

/// Steps that a warp takes before the next one has its turn: long, but no thread that waits for
/// another by reading memory waits for ever.
const TURN: u32 = 20_000;

/// Runs a block's started warps to their end, in the given order.
pub(super) fn run(ctx: &mut BlockContext<'_>, warps: &mut [Warp]) -> Result<(), Stopped> {
    loop {
        let (mut done, mut ready) = (0, 0);
        for warp in warps.iter_mut() {
            let number = warp.number;
            let progress = warp.run(ctx, TURN);
            match progress.map_err(|(step, trap)| Stopped { step, warp: number, trap })? {
                Progress::Done => done += 1,
                Progress::Ready => ready += 1,
                Progress::Blocked => {}
            }
        }
        if done == warps.len() {
            return Ok(());
        }
        if ready == 0 {
            release(ctx, warps)?;
        }
    }
}

/// Lets all threads pass the barrier at which all of them wait.
fn release(ctx: &mut BlockContext<'_>, warps: &mut [Warp]) -> Result<(), Stopped> {
    let waiting = warps.iter().flat_map(|w| w.groups.iter().map(move |g| (w.number, g)));
    let Some((_, &first)) = waiting.clone().next() else { return Ok(()) };
    for (warp, group) in waiting {
        if group.wait != first.wait || !matches!(group.wait, Wait::Block { .. }) {
            let trap = Trap::lane(FaultKind::Deadlock, group.mask.trailing_zeros());
            return Err(Stopped { step: group.pc, warp, trap });
        }
    }
    reduce(ctx, warps)?;
    for warp in warps.iter_mut() {
        let parted = warp.groups.len() > 1;
        for group in &mut warp.groups {
            let op = &ctx.program.steps[group.pc as usize].op;
            if parted && !matches!(op, Op::Barrier { aligned: false, .. }) {
                let trap = Trap::lane(FaultKind::DivergentBarrier, group.mask.trailing_zeros());
                return Err(Stopped { step: group.pc, warp: warp.number, trap });
            }
            group.wait = Wait::Ready;
            group.pc += 1;
        }
    }
    ctx.epoch = ctx.memory.tick();
    Ok(())
}

/// `bar.red`: gives every waiting thread the vote of all.
fn reduce(ctx: &BlockContext<'_>, warps: &mut [Warp]) -> Result<(), Stopped> {
    let (mut yes, mut all, mut reducing) = (0u32, 0u32, false);
    for warp in warps.iter() {
        for group in &warp.groups {
            if let Op::BarrierReduce { a, negate, .. } = ctx.program.steps[group.pc as usize].op {
                let votes = warp.ballot(a, negate, group.mask);
                let stop = |trap| Stopped { step: group.pc, warp: warp.number, trap };
                yes += votes.map_err(stop)?.count_ones();
                reducing = true;
            }
            all += group.mask.count_ones();
        }
    }
    if !reducing {
        return Ok(());
    }
    for warp in warps {
        for group in warp.groups.clone() {
            let Op::BarrierReduce { op, dest, .. } = ctx.program.steps[group.pc as usize].op else {
                let trap = Trap::lane(FaultKind::DivergentBarrier, group.mask.trailing_zeros());
                return Err(Stopped { step: group.pc, warp: warp.number, trap });
            };
            let value = match op {
                VoteMode::All => u64::from(yes == all),
                VoteMode::Any | VoteMode::Uniform => u64::from(yes > 0),
                VoteMode::Ballot => u64::from(yes),
            };
            for lane in lanes_of(group.mask) {
                warp.registers[dest as usize][lane] = value;
            }
            warp.written[dest as usize] |= group.mask;
        }
    }
    Ok(())
}

/// A block's shared memory before anything is written to it.
pub(super) fn shared_memory(program: &Program, shape: &Shape) -> Region {
    Region::new(MemoryKind::Shared, (program.shared_bytes + shape.dynamic_shared) as usize)
}
