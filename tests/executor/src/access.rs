//! Loads, stores, atomics and asynchronous copies of a warp.

use super::ast::{Kind, Type, width_mask};
use super::context::{ApproxError, BlockContext};
use super::fault::{FaultKind, MemoryKind, Trap};
use super::memory::Accessor;
use super::op::{Address, Approximation, AtomicOp, Compute, LANES, Op, Slot, Strength, Window};
use super::read_modify_write::combine;
use super::warp::{Copy, Warp, lanes_of};
use super::window;

/// The most elements of one access: `.v8`.
const MOST_ELEMENTS: usize = 8;

impl Warp {
    /// The operations that are neither plain computation nor control flow.
    pub(super) fn other(
        &mut self,
        ctx: &mut BlockContext<'_>,
        op: &Op,
        mask: u32,
        group: u32,
    ) -> Result<(), Box<Trap>> {
        match op {
            Op::Load { to, ty, width, from, strength } => {
                self.load(ctx, to, *ty, *width, *from, *strength, mask)
            }
            Op::LoadMatrix { to, from, transposed } => {
                self.load_matrix(ctx, to, *from, *transposed, mask)
            }
            Op::Store { from, ty, to, strength } => {
                self.store_memory(ctx, from, *ty, *to, *strength, mask)
            }
            Op::Atomic { op, ty, dest, at, a, b } => {
                self.atomic(ctx, (*op, *ty), *dest, *at, (*a, *b), mask)
            }
            Op::Divide { d, a, b, f: Compute::Two(f) } => {
                self.check(*a, mask)?;
                self.check(*b, mask)?;
                let divisors = &self.registers[*b as usize];
                if let Some(lane) = lanes_of(mask).find(|&lane| divisors[lane] == 0) {
                    return Err(Trap::lane(FaultKind::DivisionByZero, lane as u32));
                }
                self.compute(*d, [*a, *b], mask, |d, [a, b]| f(d, a, b))
            }
            Op::Approximate { d, a, b, f: Compute::Two(f), how } => {
                self.compute(*d, [*a, *b], mask, |d, [a, b]| f(d, a, b))?;
                for lane in lanes_of(mask) {
                    let value = &mut self.registers[*d as usize][lane];
                    *value = disturb(*value, *how, ctx.approx, ctx.noise);
                }
                Ok(())
            }
            Op::ActiveMask { d } => {
                self.broadcast(*d, u64::from(group), mask);
                Ok(())
            }
            Op::AsyncCopy { to, from, bytes, source_bytes } => {
                self.start_copy(ctx, *to, *from, *bytes, *source_bytes, mask)
            }
            Op::AsyncCommit => {
                for lane in lanes_of(mask) {
                    self.committed[lane] += 1;
                }
                Ok(())
            }
            Op::AsyncWait { pending, uncommitted } => {
                for lane in lanes_of(mask) {
                    let before = match uncommitted {
                        true => u32::MAX,
                        false => self.committed[lane].saturating_sub(*pending),
                    };
                    self.land_copies(ctx, lane, before)?;
                }
                Ok(())
            }
            Op::Trap => Err(Trap::lane(FaultKind::Trap, mask.trailing_zeros())),
            Op::MissingFunction { name } => {
                let kind = FaultKind::MissingFunction { name: name.clone() };
                Err(Trap::lane(kind, mask.trailing_zeros()))
            }
            _ => Ok(()),
        }
    }

    fn accessor(
        &self,
        ctx: &BlockContext<'_>,
        lane: usize,
        address: u64,
        strength: Strength,
    ) -> Accessor {
        // A block's shared memory knows nothing of other blocks.
        let shared = in_window(address, window::SHARED);
        Accessor {
            thread: ctx.first_thread + self.number * LANES as u32 + lane as u32,
            now: self.synced.max(ctx.epoch),
            epoch: ctx.epoch,
            block_start: ctx.block_start,
            launch_start: if shared { ctx.block_start } else { ctx.launch_start },
            strength,
        }
    }

    fn address_of(&self, address: Address, lane: usize) -> u64 {
        let at = self.registers[address.base as usize][lane].wrapping_add_signed(address.offset);
        match address.window {
            Window::Generic | Window::Global | Window::Const => at,
            Window::Shared => at.wrapping_add(window::SHARED),
            Window::Local => at.wrapping_add(window::LOCAL),
            Window::Param => at.wrapping_add(window::PARAM),
        }
    }

    #[expect(clippy::too_many_arguments, reason = "the fields of one operation")]
    fn load(
        &mut self,
        ctx: &mut BlockContext<'_>,
        to: &[Slot],
        ty: Type,
        width: u32,
        from: Address,
        strength: Strength,
        mask: u32,
    ) -> Result<(), Box<Trap>> {
        self.check(from.base, mask)?;
        let size = ty.bytes() as usize;
        for lane in lanes_of(mask) {
            let address = self.address_of(from, lane);
            let bytes = self.fetch(ctx, lane, address, strength, size * to.len())?;
            let mut words = [0; MOST_ELEMENTS];
            for (i, word) in words[..to.len()].iter_mut().enumerate() {
                *word = little_endian(&bytes[i * size..(i + 1) * size]);
                if ty.kind == Kind::Signed {
                    let shift = 64 - ty.bits;
                    *word = (((*word << shift) as i64) >> shift) as u64 & width_mask(width);
                }
            }
            for (slot, word) in to.iter().zip(words) {
                self.registers[*slot as usize][lane] = word;
            }
        }
        for slot in to {
            self.written[*slot as usize] |= mask;
        }
        Ok(())
    }

    /// Lane `8·i + r` has the address of row r of matrix i. Lane l receives row `l/4`, columns
    /// `2·(l%4)` and the next, or of the transposed matrix the same.
    fn load_matrix(
        &mut self,
        ctx: &mut BlockContext<'_>,
        to: &[Slot],
        from: Address,
        transposed: bool,
        mask: u32,
    ) -> Result<(), Box<Trap>> {
        if mask != u32::MAX {
            let what = "ldmatrix by a part of the warp";
            return Err(Trap::lane(FaultKind::Unsupported { what }, mask.trailing_zeros()));
        }
        for (i, slot) in to.iter().enumerate() {
            self.check(from.base, 0xFF << (8 * i))?;
            let mut matrix = [[0u16; 8]; 8];
            for (row, elements) in matrix.iter_mut().enumerate() {
                let lane = 8 * i + row;
                let address = self.address_of(from, lane);
                let bytes = self.fetch(ctx, lane, address, Strength::Weak, 16)?;
                for (element, bytes) in elements.iter_mut().zip(bytes.chunks_exact(2)) {
                    *element = u16::from_le_bytes([bytes[0], bytes[1]]);
                }
            }
            let at = |a: usize, b: usize| if transposed { matrix[b][a] } else { matrix[a][b] };
            let word = |lane: usize| {
                let column = 2 * (lane % 4);
                u64::from(at(lane / 4, column)) | u64::from(at(lane / 4, column + 1)) << 16
            };
            self.result = std::array::from_fn(word);
            self.keep(*slot, mask);
        }
        Ok(())
    }

    fn store_memory(
        &mut self,
        ctx: &mut BlockContext<'_>,
        from: &[Slot],
        ty: Type,
        to: Address,
        strength: Strength,
        mask: u32,
    ) -> Result<(), Box<Trap>> {
        self.check(to.base, mask)?;
        for &slot in from {
            self.check(slot, mask)?;
        }
        let size = ty.bytes() as usize;
        for lane in lanes_of(mask) {
            let address = self.address_of(to, lane);
            let mut buffer = [0u8; 8 * MOST_ELEMENTS];
            for (i, slot) in from.iter().enumerate() {
                let value = self.registers[*slot as usize][lane].to_le_bytes();
                // The next element overwrites what is more than this one.
                buffer[i * size..i * size + 8].copy_from_slice(&value);
            }
            self.put(ctx, lane, address, strength, &buffer[..size * from.len()])?;
        }
        Ok(())
    }

    /// The `len` bytes that one lane reads.
    fn fetch<'a>(
        &'a self,
        ctx: &'a mut BlockContext<'_>,
        lane: usize,
        address: u64,
        strength: Strength,
        len: usize,
    ) -> Result<&'a [u8], Box<Trap>> {
        let fault = |kind, address| Trap::access(kind, lane, address);
        let bytes = len as u32;
        if !is_aligned(address, len) {
            return Err(fault(FaultKind::Misaligned { bytes }, address));
        }
        let outside = |memory| fault(FaultKind::OutOfBounds { memory, bytes }, address);
        if let Some(at) = self.local_range(ctx, lane, address, bytes)? {
            let range = at..at + len;
            if let Some(i) = range.clone().find(|&i| !self.local_written[i]) {
                let kind = FaultKind::UninitializedMemory { memory: MemoryKind::Local };
                return Err(fault(kind, address + (i - at) as u64));
            }
            return Ok(&self.local[range]);
        }
        if in_window(address, window::PARAM) {
            let at = (address - window::PARAM) as usize;
            return ctx.params.get(at..at + len).ok_or_else(|| outside(MemoryKind::Param));
        }
        let who = self.accessor(ctx, lane, address, strength);
        let (region, at) = ctx.region(address, len).ok_or_else(|| outside(kind_of(address)))?;
        region.read(at, len, &who).map_err(|(kind, i)| fault(kind, address + (i - at) as u64))
    }

    /// Writes bytes for one lane.
    fn put(
        &mut self,
        ctx: &mut BlockContext<'_>,
        lane: usize,
        address: u64,
        strength: Strength,
        source: &[u8],
    ) -> Result<(), Box<Trap>> {
        let fault = |kind, address| Trap::access(kind, lane, address);
        let bytes = source.len() as u32;
        if !is_aligned(address, source.len()) {
            return Err(fault(FaultKind::Misaligned { bytes }, address));
        }
        if let Some(at) = self.local_range(ctx, lane, address, bytes)? {
            self.local[at..at + source.len()].copy_from_slice(source);
            self.local_written[at..at + source.len()].fill(true);
            return Ok(());
        }
        if in_window(address, window::PARAM) {
            return Err(fault(FaultKind::ReadOnly { memory: MemoryKind::Param }, address));
        }
        let who = self.accessor(ctx, lane, address, strength);
        let outside = FaultKind::OutOfBounds { memory: kind_of(address), bytes };
        let found = ctx.region(address, source.len());
        let (region, at) = found.ok_or_else(|| fault(outside, address))?;
        match region.write(at, source.len(), &who) {
            Ok(target) => target.copy_from_slice(source),
            Err((kind, i)) => return Err(fault(kind, address + (i - at) as u64)),
        }
        Ok(())
    }

    /// Where `address` lies in the warp's local memory, if it is a local address.
    #[inline]
    fn local_range(
        &self,
        ctx: &BlockContext<'_>,
        lane: usize,
        address: u64,
        bytes: u32,
    ) -> Result<Option<usize>, Box<Trap>> {
        if !in_window(address, window::LOCAL) {
            return Ok(None);
        }
        let size = u64::from(ctx.program.local_bytes);
        let at = address - window::LOCAL;
        if at < window::LOCAL_START || at + u64::from(bytes) > size {
            let kind = FaultKind::OutOfBounds { memory: MemoryKind::Local, bytes };
            return Err(Trap::access(kind, lane, address));
        }
        Ok(Some(lane * size as usize + at as usize))
    }

    fn atomic(
        &mut self,
        ctx: &mut BlockContext<'_>,
        (op, ty): (AtomicOp, Type),
        dest: Option<Slot>,
        at: Address,
        (a, b): (Slot, Option<Slot>),
        mask: u32,
    ) -> Result<(), Box<Trap>> {
        for slot in [Some(at.base), Some(a), b].into_iter().flatten() {
            self.check(slot, mask)?;
        }
        let size = ty.bytes() as usize;
        for lane in lanes_of(mask) {
            let address = self.address_of(at, lane);
            let old = little_endian(self.fetch(ctx, lane, address, Strength::Strong, size)?);
            let a = self.registers[a as usize][lane];
            let b = b.map_or(0, |b| self.registers[b as usize][lane]);
            let new = combine(op, ty, old, a, b).to_le_bytes();
            self.put(ctx, lane, address, Strength::Strong, &new[..size])?;
            if let Some(dest) = dest {
                self.registers[dest as usize][lane] = old;
                self.written[dest as usize] |= 1 << lane;
            }
        }
        Ok(())
    }

    /// Starts a copy. It lands as late as it may, and until then its target can't be read.
    fn start_copy(
        &mut self,
        ctx: &mut BlockContext<'_>,
        to: Address,
        from: Address,
        bytes: u32,
        source_bytes: Option<Slot>,
        mask: u32,
    ) -> Result<(), Box<Trap>> {
        for slot in [Some(to.base), Some(from.base), source_bytes].into_iter().flatten() {
            self.check(slot, mask)?;
        }
        for lane in lanes_of(mask) {
            let copy = Copy {
                to: self.address_of(to, lane),
                from: self.address_of(from, lane),
                bytes,
                source_bytes: source_bytes
                    .map_or(bytes, |slot| (self.registers[slot as usize][lane] as u32).min(bytes)),
                group: self.committed[lane],
            };
            let zeros = [0; 16];
            self.put(ctx, lane, copy.to, Strength::Weak, &zeros[..bytes as usize])?;
            if let Some((region, at)) = ctx.region(copy.to, bytes as usize) {
                region.unwrite(at, bytes as usize);
            }
            self.copies[lane].push(copy);
        }
        Ok(())
    }

    /// Lands a lane's copies of the groups before `before`.
    fn land_copies(
        &mut self,
        ctx: &mut BlockContext<'_>,
        lane: usize,
        before: u32,
    ) -> Result<(), Box<Trap>> {
        let all = std::mem::take(&mut self.copies[lane]);
        let (landing, flying) = all.into_iter().partition(|copy| copy.group < before);
        self.copies[lane] = flying;
        let landing: Vec<Copy> = landing;
        for copy in landing {
            let mut bytes = [0; 16];
            if copy.source_bytes == copy.bytes {
                let len = copy.bytes as usize;
                let source = self.fetch(ctx, lane, copy.from, Strength::Weak, len)?;
                bytes[..len].copy_from_slice(source);
            } else {
                for (i, byte) in bytes[..copy.source_bytes as usize].iter_mut().enumerate() {
                    *byte = self.fetch(ctx, lane, copy.from + i as u64, Strength::Weak, 1)?[0];
                }
            }
            self.put(ctx, lane, copy.to, Strength::Weak, &bytes[..copy.bytes as usize])?;
        }
        Ok(())
    }
}

/// Whether an address is a multiple of an access's length, a power of two.
const fn is_aligned(address: u64, len: usize) -> bool {
    address & (len as u64 - 1) == 0
}

/// The number that an element's bytes are, one, two, four or eight.
fn little_endian(bytes: &[u8]) -> u64 {
    match *bytes {
        [a] => u64::from(a),
        [a, b] => u64::from(u16::from_le_bytes([a, b])),
        [a, b, c, d] => u64::from(u32::from_le_bytes([a, b, c, d])),
        _ => u64::from_le_bytes(bytes.try_into().expect("elements have at most eight bytes")),
    }
}

const fn in_window(address: u64, base: u64) -> bool {
    address >= base && address - base < window::SIZE
}

const fn kind_of(address: u64) -> MemoryKind {
    if in_window(address, window::SHARED) { MemoryKind::Shared } else { MemoryKind::Global }
}

/// A result moved by the error that the launch injects. Zeros, infinities and NaN stay.
fn disturb(bits: u64, how: Approximation, error: ApproxError, noise: &mut u64) -> u64 {
    let magnitude = bits & 0x7fff_ffff;
    let shift = match error {
        ApproxError::Exact => 0,
        ApproxError::Low => -i64::from(how.ulps),
        ApproxError::High => i64::from(how.ulps),
        ApproxError::Random(_) => {
            *noise = noise
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (*noise >> 33) as i64 % (2 * i64::from(how.ulps) + 1) - i64::from(how.ulps)
        }
    };
    let moved = if magnitude == 0 || magnitude >= 0x7f80_0000 {
        magnitude
    } else {
        (magnitude as i64 + shift).clamp(0, 0x7f80_0000) as u64
    };
    let flushed = if how.flush && moved < 0x80_0000 { 0 } else { moved };
    bits & 0x8000_0000 | flushed
}
