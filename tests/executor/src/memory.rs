//! Device memory and the sanitizer that watches it.
//!
//! Every byte knows whether it was written, and the last thread that wrote and read it in this launch.
//! Two accesses by different threads race if one writes, not both are atomic or strong, and nothing
//! orders them: different blocks are never ordered; threads of a block are by a barrier; lanes of a
//! warp also by `bar.warp.sync`.

use super::fault::{FaultKind, MemoryKind};
use super::op::Strength;
use super::window;

/// Who accesses memory, and when.
#[derive(Clone, Copy, Debug)]
pub(super) struct Accessor {
    /// Thread number in the grid; the number of a warp is this divided by 32.
    pub(super) thread: u32,
    /// The barrier interval of the block. Intervals of all blocks and launches have numbers of their
    /// own, ascending.
    pub(super) epoch: u32,
    pub(super) block_epoch: u32,
    pub(super) launch_epoch: u32,
    /// Warp barriers that this warp has passed.
    pub(super) stamp: u32,
    pub(super) strength: Strength,
}

/// The last access of one kind to a byte.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Touch {
    epoch: u32,
    thread: u32,
    stamp: u32,
    strong: bool,
}

/// Readers in several blocks.
const SEVERAL_BLOCKS: u32 = u32::MAX;
/// Readers in several warps of a block.
const SEVERAL_WARPS: u32 = u32::MAX - 1;
/// Several readers in the warp whose number is in the low bits.
const SEVERAL_LANES: u32 = 1 << 31;

impl Touch {
    fn by(who: &Accessor) -> Self {
        let strong = who.strength == Strength::Strong;
        Self { epoch: who.epoch, thread: who.thread, stamp: who.stamp, strong }
    }

    fn warp(self) -> Option<u32> {
        match self.thread {
            SEVERAL_BLOCKS | SEVERAL_WARPS => None,
            several if several & SEVERAL_LANES != 0 => Some(several & !SEVERAL_LANES),
            thread => Some(thread / 32),
        }
    }

    /// Whether nothing orders this earlier access before one by `who`.
    fn races(self, who: &Accessor) -> bool {
        if self.epoch < who.launch_epoch || self.thread == who.thread {
            return false;
        }
        if self.strong && who.strength == Strength::Strong {
            return false;
        }
        if self.epoch < who.block_epoch || self.thread == SEVERAL_BLOCKS {
            return true;
        }
        if self.epoch < who.epoch {
            return false;
        }
        !(self.warp() == Some(who.thread / 32) && self.stamp < who.stamp)
    }

    /// This record after a read by `who`.
    fn joined(self, who: &Accessor) -> Self {
        let now = Self::by(who);
        if self.epoch < who.launch_epoch {
            return now;
        }
        let strong = self.strong && now.strong;
        if self.thread == SEVERAL_BLOCKS || self.epoch < who.block_epoch {
            return Self { thread: SEVERAL_BLOCKS, strong, ..now };
        }
        if self.epoch < who.epoch || self.thread == who.thread {
            return now;
        }
        match self.warp() {
            Some(warp) if warp == who.thread / 32 => {
                if self.stamp < who.stamp {
                    return now;
                }
                Self { thread: SEVERAL_LANES | warp, strong, ..now }
            }
            _ => Self { thread: SEVERAL_WARPS, strong, ..now },
        }
    }

    fn other(self) -> Option<u32> {
        (self.thread & SEVERAL_LANES == 0).then_some(self.thread)
    }
}

/// A byte's history.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Mark {
    writer: Touch,
    reader: Touch,
}

/// A contiguous piece of global or shared memory.
#[derive(Debug)]
pub(super) struct Region {
    kind: MemoryKind,
    pub(super) bytes: Vec<u8>,
    written: Vec<bool>,
    marks: Vec<Mark>,
}

/// A failed access: how, and at which byte of the region.
pub(super) type Refused = (FaultKind, usize);

impl Region {
    pub(super) fn new(kind: MemoryKind, len: usize) -> Self {
        Self {
            kind,
            bytes: vec![0; len],
            written: vec![false; len],
            marks: vec![Mark::default(); len],
        }
    }

    /// Forgets contents, for a block's shared memory.
    pub(super) fn forget(&mut self) {
        self.written.fill(false);
    }

    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    fn race(&self, touch: Touch, after_write: bool) -> FaultKind {
        FaultKind::Race { memory: self.kind, after_write, other: touch.other() }
    }

    /// Notes a read of `len` bytes and returns them. The range lies within the region.
    pub(super) fn read(&mut self, at: usize, len: usize, who: &Accessor) -> Result<&[u8], Refused> {
        let mut last = None;
        for i in at..at + len {
            if !self.written[i] {
                return Err((FaultKind::UninitializedMemory { memory: self.kind }, i));
            }
            let mark = self.marks[i];
            // Neighbouring bytes mostly share their history: what was found for one holds for all.
            if let Some((before, after)) = last
                && before == mark
            {
                self.marks[i].reader = after;
                continue;
            }
            if mark.writer.races(who) {
                return Err((self.race(mark.writer, true), i));
            }
            if who.strength == Strength::ReadOnly && mark.writer.epoch >= who.launch_epoch {
                return Err((FaultKind::NonCoherent, i));
            }
            let after = mark.reader.joined(who);
            self.marks[i].reader = after;
            last = Some((mark, after));
        }
        Ok(&self.bytes[at..at + len])
    }

    /// Notes a write of `len` bytes and returns them. The range lies within the region.
    pub(super) fn write(
        &mut self,
        at: usize,
        len: usize,
        who: &Accessor,
    ) -> Result<&mut [u8], Refused> {
        let now = Touch::by(who);
        let mut last = None;
        for i in at..at + len {
            let mark = self.marks[i];
            if last != Some(mark) {
                if mark.writer.races(who) {
                    return Err((self.race(mark.writer, true), i));
                }
                if mark.reader.races(who) {
                    return Err((self.race(mark.reader, false), i));
                }
                last = Some(mark);
            }
            self.marks[i].writer = now;
        }
        self.written[at..at + len].fill(true);
        Ok(&mut self.bytes[at..at + len])
    }

    /// Marks bytes as not yet there: an asynchronous copy to them is in flight.
    pub(super) fn unwrite(&mut self, at: usize, len: usize) {
        self.written[at..at + len].fill(false);
    }
}

#[derive(Debug)]
struct Allocation {
    base: u64,
    region: Region,
}

/// Device memory: allocations with gaps between them.
#[derive(Debug)]
pub struct Memory {
    allocations: Vec<Allocation>,
    end: u64,
    /// The allocation found last: the next access is likely there too.
    recent: usize,
    pub(super) next_epoch: u32,
}

/// A host access to device memory that is not all allocated, or reads bytes that nobody wrote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryError {
    /// The first wrong address.
    pub address: u64,
    /// Whether the byte is allocated but was never written.
    pub unwritten: bool,
}

impl std::fmt::Display for MemoryError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let what = if self.unwritten { "was never written" } else { "is not allocated" };
        write!(f, "device byte {:#x} {what}", self.address)
    }
}

impl std::error::Error for MemoryError {}

impl Default for Memory {
    fn default() -> Self {
        Self { allocations: Vec::new(), end: window::GLOBAL, recent: 0, next_epoch: 1 }
    }
}

/// Bytes between allocations, at least.
const GAP: u64 = 4096;

impl Memory {
    /// Allocates `len` bytes that hold nothing yet, at a multiple of 256.
    pub fn alloc(&mut self, len: usize) -> u64 {
        let base = self.end;
        self.end = (base + len as u64 + GAP).next_multiple_of(256);
        self.insert(base, len);
        base
    }

    /// Allocates a copy of `bytes`.
    pub fn alloc_from(&mut self, bytes: &[u8]) -> u64 {
        let base = self.alloc(bytes.len());
        self.write(base, bytes).expect("the allocation is as long as its contents");
        base
    }

    /// Allocates `len` bytes `shift` bytes past a multiple of 256.
    pub fn alloc_unaligned(&mut self, len: usize, shift: u64) -> u64 {
        let base = self.end + shift;
        self.end = (base + len as u64 + GAP).next_multiple_of(256);
        self.insert(base, len);
        base
    }

    pub(super) fn insert(&mut self, base: u64, len: usize) {
        let region = Region::new(MemoryKind::Global, len);
        let at = self.allocations.partition_point(|a| a.base < base);
        self.allocations.insert(at, Allocation { base, region });
    }

    pub(super) fn has(&self, base: u64) -> bool {
        self.allocations.iter().any(|a| a.base == base)
    }

    /// The region that holds `len` bytes at `address`, with the offset of the first.
    pub(super) fn find(&mut self, address: u64, len: usize) -> Option<(&mut Region, usize)> {
        let holds = |a: &Allocation| {
            address >= a.base && address - a.base + len as u64 <= a.region.len() as u64
        };
        if !self.allocations.get(self.recent).is_some_and(holds) {
            let after = self.allocations.partition_point(|a| a.base <= address);
            self.recent = after.checked_sub(1)?;
            if !holds(&self.allocations[self.recent]) {
                return None;
            }
        }
        let allocation = &mut self.allocations[self.recent];
        let offset = (address - allocation.base) as usize;
        Some((&mut allocation.region, offset))
    }

    /// Copies `bytes` to the device.
    ///
    /// # Errors
    /// [`MemoryError`] when the range is not inside one allocation.
    pub fn write(&mut self, address: u64, bytes: &[u8]) -> Result<(), MemoryError> {
        let Some((region, at)) = self.find(address, bytes.len()) else {
            return Err(MemoryError { address, unwritten: false });
        };
        region.bytes[at..at + bytes.len()].copy_from_slice(bytes);
        region.written[at..at + bytes.len()].fill(true);
        Ok(())
    }

    /// Copies `len` bytes from the device.
    ///
    /// # Errors
    /// [`MemoryError`] when the range is not inside one allocation, or a byte was never written.
    pub fn read(&mut self, address: u64, len: usize) -> Result<Vec<u8>, MemoryError> {
        let Some((region, at)) = self.find(address, len) else {
            return Err(MemoryError { address, unwritten: false });
        };
        match region.written[at..at + len].iter().position(|&written| !written) {
            Some(i) => Err(MemoryError { address: address + i as u64, unwritten: true }),
            None => Ok(region.bytes[at..at + len].to_vec()),
        }
    }

    /// Which of `len` bytes were written.
    ///
    /// # Errors
    /// [`MemoryError`] when the range is not inside one allocation.
    pub fn written(&mut self, address: u64, len: usize) -> Result<Vec<bool>, MemoryError> {
        match self.find(address, len) {
            Some((region, at)) => Ok(region.written[at..at + len].to_vec()),
            None => Err(MemoryError { address, unwritten: false }),
        }
    }
}
