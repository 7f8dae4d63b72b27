//! Device memory and the sanitizer that watches it.
//!
//! Every byte knows whether it was written, and the last thread that wrote and read it in this launch.
//! Two accesses by different threads race if one writes, not both are atomic or strong, and nothing
//! orders them: different blocks are never ordered; threads of a block are by a barrier; lanes of a
//! warp also by `bar.warp.sync`.

use std::iter;
use std::ops::Range;

use super::fault::{FaultKind, MemoryKind};
use super::op::Strength;
use super::window;

/// Who accesses memory, and when. Times are those of [`Memory::clock`].
#[derive(Clone, Copy, Debug)]
pub(super) struct Accessor {
    /// Thread number in the grid; the number of a warp is this divided by 32.
    pub(super) thread: u32,
    /// When the thread last passed a barrier, of its warp or of its block.
    pub(super) now: u32,
    /// When its block last passed a barrier.
    pub(super) epoch: u32,
    /// When its block began.
    pub(super) block_start: u32,
    /// When the launch began; of memory that a block shares, when the block did.
    pub(super) launch_start: u32,
    pub(super) strength: Strength,
}

/// The last access of one kind to a byte.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Touch {
    /// Twice [`Accessor::now`], and one more if the access was strong.
    time_and_strong: u32,
    thread: u32,
}

/// Readers in several blocks.
const SEVERAL_BLOCKS: u32 = u32::MAX;
/// Readers in several warps of a block.
const SEVERAL_WARPS: u32 = u32::MAX - 1;
/// Several readers in the warp whose number is in the low bits.
const SEVERAL_LANES: u32 = 1 << 31;

impl Touch {
    fn new(thread: u32, time: u32, strong: bool) -> Self {
        Self { time_and_strong: time << 1 | u32::from(strong), thread }
    }

    fn by(who: &Accessor) -> Self {
        Self::new(who.thread, who.now, who.strength == Strength::Strong)
    }

    fn time(self) -> u32 {
        self.time_and_strong >> 1
    }

    fn strong(self) -> bool {
        self.time_and_strong & 1 == 1
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
        if self.time() < who.launch_start || self.thread == who.thread {
            return false;
        }
        if self.strong() && who.strength == Strength::Strong {
            return false;
        }
        if self.time() < who.block_start || self.thread == SEVERAL_BLOCKS {
            return true;
        }
        if self.time() < who.epoch {
            return false;
        }
        !(self.warp() == Some(who.thread / 32) && self.time() < who.now)
    }

    /// This record after a read by `who`.
    fn joined(self, who: &Accessor) -> Self {
        let now = Self::by(who);
        if self.time() < who.launch_start {
            return now;
        }
        let several = |thread| Self::new(thread, who.now, self.strong() && now.strong());
        if self.thread == SEVERAL_BLOCKS || self.time() < who.block_start {
            return several(SEVERAL_BLOCKS);
        }
        if self.time() < who.epoch || self.thread == who.thread {
            return now;
        }
        match self.warp() {
            Some(warp) if warp == who.thread / 32 => {
                if self.time() < who.now {
                    return now;
                }
                several(SEVERAL_LANES | warp)
            }
            _ => several(SEVERAL_WARPS),
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
    /// Whether all bytes were surely written: by the host, at once.
    whole: bool,
    /// Bytes that share a mark: a power of two, as large as the accesses so far allow.
    grain: usize,
    marks: Vec<Mark>,
}

/// A failed access: how, and at which byte of the region.
pub(super) type Refused = (FaultKind, usize);

/// The bytes that share a mark at first: the longest access but a few.
const LARGEST_GRAIN: usize = 16;

impl Region {
    pub(super) fn new(kind: MemoryKind, len: usize) -> Self {
        Self {
            kind,
            bytes: vec![0; len],
            written: vec![false; len],
            whole: false,
            grain: LARGEST_GRAIN,
            marks: vec![Mark::default(); len.div_ceil(LARGEST_GRAIN)],
        }
    }

    /// Forgets contents, for a block's shared memory.
    pub(super) fn forget(&mut self) {
        self.written.fill(false);
        self.whole = false;
    }

    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    fn race(&self, touch: Touch, after_write: bool) -> FaultKind {
        FaultKind::Race { memory: self.kind, after_write, other: touch.other() }
    }

    /// The marks of `len` bytes, each of which is of no other byte.
    fn marks_of(&mut self, at: usize, len: usize) -> Range<usize> {
        if (at | len) & (self.grain - 1) != 0 {
            let finer = 1 << (at | len).trailing_zeros();
            let parts = self.grain / finer;
            let mut marks = Vec::with_capacity(self.marks.len() * parts);
            for mark in &self.marks {
                marks.extend(iter::repeat_n(*mark, parts));
            }
            (self.marks, self.grain) = (marks, finer);
        }
        let shift = self.grain.trailing_zeros();
        at >> shift..(at + len) >> shift
    }

    /// Notes a read of `len` bytes and returns them. The range lies within the region.
    pub(super) fn read(&mut self, at: usize, len: usize, who: &Accessor) -> Result<&[u8], Refused> {
        let range = at..at + len;
        let written = match self.whole {
            true => len,
            false => self.written[range.clone()].iter().take_while(|written| **written).count(),
        };
        // The first byte that is wrong ends the launch, as not written or, written, for its history.
        let unwritten = (FaultKind::UninitializedMemory { memory: self.kind }, at + written);
        let mut last = None;
        for i in self.marks_of(at, len) {
            let first = i * self.grain;
            if first >= at + written {
                return Err(unwritten);
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
                return Err((self.race(mark.writer, true), first));
            }
            if who.strength == Strength::ReadOnly && mark.writer.time() >= who.launch_start {
                return Err((FaultKind::NonCoherent, first));
            }
            let after = mark.reader.joined(who);
            self.marks[i].reader = after;
            last = Some((mark, after));
        }
        if written < len { Err(unwritten) } else { Ok(&self.bytes[range]) }
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
        for i in self.marks_of(at, len) {
            let mark = self.marks[i];
            if last != Some(mark) {
                if mark.writer.races(who) {
                    return Err((self.race(mark.writer, true), i * self.grain));
                }
                if mark.reader.races(who) {
                    return Err((self.race(mark.reader, false), i * self.grain));
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
        self.whole = false;
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
    /// Advances with every launch, block and barrier.
    pub(super) clock: u32,
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
        Self { allocations: Vec::new(), end: window::GLOBAL, recent: 0, clock: 0 }
    }
}

/// Bytes between allocations, at least.
const GAP: u64 = 4096;

impl Memory {
    /// A time after all that came before.
    pub(super) fn tick(&mut self) -> u32 {
        self.clock += 1;
        self.clock
    }

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
    #[inline]
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
        region.whole |= bytes.len() == region.len();
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
