//! What the executor runs: a kernel as a flat list of steps over numbered registers.
//!
//! A register is 32 lanes of 64 bits, of which a narrower type uses the low ones and keeps the others
//! zero. Constants and special registers are registers too, filled before the kernel starts, so that
//! every operand is a plain index. A computation is one closure over whole registers, its modifiers
//! resolved when it was built.

use std::{fmt, iter};

use super::ast::{Pos, Type};

/// Lanes of a warp.
pub(super) const LANES: usize = 32;

/// One register of a warp.
pub(super) type Lanes = [u64; LANES];

/// A register's index in the file of a warp.
pub(super) type Slot = u32;

type One = dyn Fn(&mut Lanes, &Lanes) + Send + Sync;
type Two = dyn Fn(&mut Lanes, &Lanes, &Lanes) + Send + Sync;
type Three = dyn Fn(&mut Lanes, &Lanes, &Lanes, &Lanes) + Send + Sync;

/// A computation of one, two or three operands, lane by lane.
pub(super) enum Compute {
    One(Box<One>),
    Two(Box<Two>),
    Three(Box<Three>),
}

impl fmt::Debug for Compute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::One(_) => "One",
            Self::Two(_) => "Two",
            Self::Three(_) => "Three",
        })
    }
}

/// A register that the machine fills before a warp starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Special {
    Tid(usize),
    Ntid(usize),
    Ctaid(usize),
    Nctaid(usize),
    LaneId,
    WarpId,
    NWarpId,
    LaneMaskEq,
    LaneMaskLe,
    LaneMaskLt,
    LaneMaskGe,
    LaneMaskGt,
    DynamicSharedSize,
    TotalSharedSize,
}

/// The memory that an access names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Window {
    /// Decided by the address.
    Generic,
    Global,
    Const,
    Shared,
    Local,
    Param,
}

/// An access's address: a register plus a constant.
#[derive(Clone, Copy, Debug)]
pub(super) struct Address {
    pub(super) window: Window,
    pub(super) base: Slot,
    pub(super) offset: i64,
}

/// How an access may meet others of the same bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Strength {
    /// An ordinary access.
    Weak,
    /// `.relaxed`, `.acquire`, `.release`, `.volatile` or atomic: may meet others of its kind.
    Strong,
    /// `.nc`: the bytes must not be written during the launch.
    ReadOnly,
}

/// A read-modify-write operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AtomicOp {
    Add,
    Min,
    Max,
    And,
    Or,
    Xor,
    Exchange,
    CompareAndSwap,
    Increment,
    Decrement,
}

/// How `shfl.sync` finds its source lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ShuffleMode {
    Up,
    Down,
    Butterfly,
    Index,
}

/// What `vote.sync` and `match.sync` compute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum VoteMode {
    All,
    Any,
    Uniform,
    Ballot,
}

/// An operation among the lanes of a warp that waits for those its mask names.
#[derive(Clone, Copy, Debug)]
pub(super) enum WarpOp {
    Shuffle { mode: ShuffleMode, dest: Slot, in_range: Option<Slot>, a: Slot, b: Slot, c: Slot },
    Vote { mode: VoteMode, dest: Slot, a: Slot, negate: bool },
    MatchAny { dest: Slot, a: Slot },
    MatchAll { dest: Slot, same: Option<Slot>, a: Slot },
    Reduce { op: AtomicOp, ty: Type, dest: Slot, a: Slot },
    Sync,
}

/// How far an approximate result may be from the exact one, in units of its last place.
#[derive(Clone, Copy, Debug)]
pub(super) struct Approximation {
    pub(super) ulps: u32,
    /// `.ftz`: a subnormal result becomes zero.
    pub(super) flush: bool,
}

/// One operation.
#[derive(Debug)]
pub(super) enum Op {
    Compute1 {
        d: Slot,
        a: Slot,
        f: Compute,
    },
    Compute2 {
        d: Slot,
        a: Slot,
        b: Slot,
        f: Compute,
    },
    Compute3 {
        d: Slot,
        a: Slot,
        b: Slot,
        c: Slot,
        f: Compute,
    },
    /// A copy. Compilers copy and select values that are never used: what is not initialized stays
    /// so and is no fault here.
    Move {
        d: Slot,
        a: Slot,
    },
    /// `a` where `p`, else `b`, with the same tolerance.
    Select {
        d: Slot,
        a: Slot,
        b: Slot,
        p: Slot,
    },
    /// Integer division or remainder: faults where `b` is zero.
    Divide {
        d: Slot,
        a: Slot,
        b: Slot,
        f: Compute,
    },
    /// The correctly rounded `f`, off by the error that the launch injects.
    Approximate {
        d: Slot,
        a: Slot,
        b: Slot,
        f: Compute,
        how: Approximation,
    },
    /// `width` is the registers' width, to which a signed type is extended.
    Load {
        to: Vec<Slot>,
        ty: Type,
        width: u32,
        from: Address,
        strength: Strength,
    },
    /// `ldmatrix` of 8x8 matrices of 16 bits, a register for each, from shared memory.
    LoadMatrix {
        to: Vec<Slot>,
        from: Address,
        transposed: bool,
    },
    Store {
        from: Vec<Slot>,
        ty: Type,
        to: Address,
        strength: Strength,
    },
    Atomic {
        op: AtomicOp,
        ty: Type,
        dest: Option<Slot>,
        at: Address,
        a: Slot,
        b: Option<Slot>,
    },
    Warp {
        op: WarpOp,
        members: Slot,
    },
    ActiveMask {
        d: Slot,
    },
    Barrier {
        id: Slot,
        count: Option<Slot>,
        aligned: bool,
    },
    BarrierReduce {
        id: Slot,
        op: VoteMode,
        dest: Slot,
        a: Slot,
        negate: bool,
    },
    AsyncCopy {
        to: Address,
        from: Address,
        bytes: u32,
        source_bytes: Option<Slot>,
    },
    AsyncCommit,
    /// Waits until at most `pending` committed groups are in flight, or until nothing is.
    AsyncWait {
        pending: u32,
        uncommitted: bool,
    },
    Branch {
        target: u32,
    },
    BranchIndexed {
        index: Slot,
        targets: Vec<u32>,
    },
    Exit,
    Trap,
    /// A call that can't be inlined because there is no body.
    MissingFunction {
        name: String,
    },
    Nothing,
}

/// A guard: the predicate and the value of it that lets the step run.
#[derive(Clone, Copy, Debug)]
pub(super) struct Guard {
    pub(super) predicate: Slot,
    pub(super) negated: bool,
}

/// One step of a program.
#[derive(Debug)]
pub(super) struct Step {
    pub(super) op: Op,
    pub(super) guard: Option<Guard>,
    /// Index into [`Program::sources`].
    pub(super) source: u32,
    /// False for the further steps of an instruction that takes several, and for added jumps.
    pub(super) counted: bool,
}

/// What a step does to a register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Use {
    Read,
    Written,
}

impl Step {
    /// Visits the registers that the step reads, and after them those that it writes.
    pub(super) fn registers(&mut self, visit: &mut impl FnMut(&mut Slot, Use)) {
        use Use::{Read, Written};
        if let Some(guard) = &mut self.guard {
            visit(&mut guard.predicate, Read);
        }
        let mut all = |read: &mut [&mut Slot], written: &mut dyn Iterator<Item = &mut Slot>| {
            read.iter_mut().for_each(|slot| visit(slot, Read));
            written.for_each(|slot| visit(slot, Written));
        };
        let none = &mut iter::empty();
        match &mut self.op {
            Op::Compute1 { d, a, .. } | Op::Move { d, a } => all(&mut [a], &mut iter::once(d)),
            Op::Compute2 { d, a, b, .. }
            | Op::Divide { d, a, b, .. }
            | Op::Approximate { d, a, b, .. } => all(&mut [a, b], &mut iter::once(d)),
            Op::Compute3 { d, a, b, c, .. } | Op::Select { d, a, b, p: c } => {
                all(&mut [a, b, c], &mut iter::once(d));
            }
            Op::Load { to, from, .. } | Op::LoadMatrix { to, from, .. } => {
                all(&mut [&mut from.base], &mut to.iter_mut());
            }
            Op::Store { from, to, .. } => {
                from.iter_mut().for_each(|slot| all(&mut [slot], none));
                all(&mut [&mut to.base], none);
            }
            Op::Atomic { dest, at, a, b, .. } => {
                b.iter_mut().for_each(|slot| all(&mut [slot], none));
                all(&mut [a, &mut at.base], &mut dest.iter_mut());
            }
            Op::Warp { op, members } => match op {
                WarpOp::Shuffle { dest, in_range, a, b, c, .. } => {
                    all(&mut [members, a, b, c], &mut iter::once(dest).chain(in_range));
                }
                WarpOp::Vote { dest, a, .. }
                | WarpOp::MatchAny { dest, a }
                | WarpOp::Reduce { dest, a, .. } => all(&mut [members, a], &mut iter::once(dest)),
                WarpOp::MatchAll { dest, same, a } => {
                    all(&mut [members, a], &mut iter::once(dest).chain(same));
                }
                WarpOp::Sync => all(&mut [members], none),
            },
            Op::ActiveMask { d } => all(&mut [], &mut iter::once(d)),
            Op::Barrier { id, count, .. } => {
                count.iter_mut().for_each(|slot| all(&mut [slot], none));
                all(&mut [id], none);
            }
            Op::BarrierReduce { id, dest, a, .. } => all(&mut [id, a], &mut iter::once(dest)),
            Op::AsyncCopy { to, from, source_bytes, .. } => {
                source_bytes.iter_mut().for_each(|slot| all(&mut [slot], none));
                all(&mut [&mut to.base, &mut from.base], none);
            }
            Op::BranchIndexed { index, .. } => all(&mut [index], none),
            Op::AsyncCommit
            | Op::AsyncWait { .. }
            | Op::Branch { .. }
            | Op::Exit
            | Op::Trap
            | Op::MissingFunction { .. }
            | Op::Nothing => {}
        }
    }
}

/// An instruction as written, for messages and coverage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// Where it stands in the module's text.
    pub pos: Pos,
    /// Its text on one line.
    pub text: String,
    /// The kernel or device function that it stands in.
    pub function: String,
}

/// A kernel ready to run.
#[derive(Debug)]
pub(super) struct Program {
    pub(super) name: String,
    pub(super) steps: Vec<Step>,
    pub(super) sources: Vec<Source>,
    /// Registers of a warp, constants and special registers included.
    pub(super) registers: u32,
    pub(super) constants: Vec<(Slot, u64)>,
    pub(super) specials: Vec<(Slot, Special)>,
    pub(super) param_bytes: u32,
    pub(super) local_bytes: u32,
    /// Statically declared shared memory; dynamic shared memory follows it.
    pub(super) shared_bytes: u32,
    pub(super) required_block: Option<[u32; 3]>,
    pub(super) max_block: Option<[u32; 3]>,
}
