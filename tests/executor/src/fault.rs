//! What can go wrong while a kernel runs, and where.

use std::fmt;

use super::ast::Pos;

/// A kind of memory, for messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemoryKind {
    /// Device memory.
    Global,
    /// A block's memory.
    Shared,
    /// A thread's memory.
    Local,
    /// A kernel's parameters.
    Param,
}

/// What an instruction did wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FaultKind {
    /// An access of `bytes` bytes that no allocation holds.
    OutOfBounds {
        /// The memory accessed.
        memory: MemoryKind,
        /// Bytes accessed.
        bytes: u32,
    },
    /// An address that is no multiple of the access's size.
    Misaligned {
        /// Bytes accessed.
        bytes: u32,
    },
    /// A read of a byte that nobody wrote.
    UninitializedMemory {
        /// The memory read.
        memory: MemoryKind,
    },
    /// A read of a register that this thread never wrote.
    UninitializedRegister,
    /// A write to memory that can't be written.
    ReadOnly {
        /// The memory written.
        memory: MemoryKind,
    },
    /// Two threads touched one byte, at least one of them wrote, and nothing orders them.
    Race {
        /// The memory raced on.
        memory: MemoryKind,
        /// Whether the earlier access was a write.
        after_write: bool,
        /// The other thread's number in the grid, if it was one thread.
        other: Option<u32>,
    },
    /// A non-coherent load (`.nc`) of a byte that this launch wrote.
    NonCoherent,
    /// Integer division by zero.
    DivisionByZero,
    /// A `trap` instruction.
    Trap,
    /// A call of a function that has no body.
    MissingFunction {
        /// Its name.
        name: String,
    },
    /// A lane's member mask does not name the lane, or names one that has exited.
    BadMembers {
        /// The mask.
        members: u32,
    },
    /// A shuffle read a lane that does not take part.
    ShuffleSource {
        /// The lane read.
        lane: u32,
    },
    /// Lanes of a warp reached an aligned barrier at different instructions, or not together.
    DivergentBarrier,
    /// Threads wait for each other for ever.
    Deadlock,
    /// More lane-instructions than the launch may take.
    InstructionLimit,
    /// A branch table index out of its table.
    BranchIndex,
    /// Something PTX defines and the executor does not do.
    Unsupported {
        /// What.
        what: &'static str,
    },
}

impl fmt::Display for FaultKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OutOfBounds { memory, bytes } => {
                write!(f, "access of {bytes} bytes out of bounds of {memory:?} memory")
            }
            Self::Misaligned { bytes } => write!(f, "misaligned access of {bytes} bytes"),
            Self::UninitializedMemory { memory } => {
                write!(f, "read of uninitialized {memory:?} memory")
            }
            Self::UninitializedRegister => f.write_str("read of an uninitialized register"),
            Self::ReadOnly { memory } => write!(f, "write to read-only {memory:?} memory"),
            Self::Race { memory, after_write, other } => {
                let before = if *after_write { "write" } else { "read" };
                write!(f, "data race on {memory:?} memory with an earlier {before} by ")?;
                match other {
                    Some(thread) => write!(f, "thread {thread} of the grid"),
                    None => f.write_str("several threads"),
                }
            }
            Self::NonCoherent => f.write_str("non-coherent load of a byte written by this launch"),
            Self::DivisionByZero => f.write_str("integer division by zero"),
            Self::Trap => f.write_str("trap"),
            Self::MissingFunction { name } => write!(f, "call of {name}, which has no body"),
            Self::BadMembers { members } => {
                write!(f, "member mask {members:#010x} without the lane, or with one that exited")
            }
            Self::ShuffleSource { lane } => {
                write!(f, "shuffle from lane {lane}, which does not take part")
            }
            Self::DivergentBarrier => f.write_str("a diverged warp at an aligned barrier"),
            Self::Deadlock => f.write_str("threads wait for each other for ever"),
            Self::InstructionLimit => f.write_str("the launch's instruction limit is reached"),
            Self::BranchIndex => f.write_str("branch index out of its table"),
            Self::Unsupported { what } => write!(f, "{what} is not supported"),
        }
    }
}

/// Why a launch ended early.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// The launch itself is wrong: no such kernel, a wrong parameter size, a wrong geometry.
    Launch {
        /// What is wrong.
        message: String,
    },
    /// An instruction failed.
    Instruction {
        /// How.
        kind: FaultKind,
        /// The kernel.
        kernel: String,
        /// Where in the module's text.
        pos: Pos,
        /// The instruction's text.
        text: String,
        /// The block's coordinates.
        block: [u32; 3],
        /// The thread's coordinates in its block.
        thread: [u32; 3],
        /// The generic address, where the fault has one.
        address: Option<u64>,
    },
}

impl Fault {
    /// The kind of an instruction's fault.
    #[must_use]
    pub fn kind(&self) -> Option<&FaultKind> {
        match self {
            Self::Launch { .. } => None,
            Self::Instruction { kind, .. } => Some(kind),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Launch { message } => f.write_str(message),
            Self::Instruction { kind, kernel, pos, text, block, thread, address } => {
                write!(f, "{kind}: {kernel}, line {pos}, `{text}`, block {block:?}, ")?;
                write!(f, "thread {thread:?}")?;
                match address {
                    Some(address) => write!(f, ", address {address:#x}"),
                    None => Ok(()),
                }
            }
        }
    }
}

impl std::error::Error for Fault {}

/// A fault before the machine adds where it happened.
#[derive(Debug)]
pub(super) struct Trap {
    pub(super) kind: FaultKind,
    pub(super) lane: u32,
    pub(super) address: Option<u64>,
}

impl Trap {
    pub(super) fn lane(kind: FaultKind, lane: u32) -> Box<Self> {
        Box::new(Self { kind, lane, address: None })
    }

    pub(super) fn access(kind: FaultKind, lane: usize, address: u64) -> Box<Self> {
        Box::new(Self { kind, lane: lane as u32, address: Some(address) })
    }
}
