//! Loads, stores, atomics and asynchronous copies of a warp.

use super::ast::{Kind, Type, width_mask};
use super::context::{ApproxError, BlockContext};
use super::fault::{FaultKind, MemoryKind, Trap};
use super::memory::Accessor;
use super::op::{Address, Approximation, AtomicOp, Compute, LANES, Op, Slot, Strength, Window};
use super::read_modify_write::combine;
use super::warp::{Copy, Warp, lanes_of};
use super::window;

impl Warp {
    /// The operations that are neither plain computation nor control flow.
    pub(super) fn other(
        &mut self,
        ctx: &mut BlockContext<'_>,
        op: &Op,
        mask: u32,
        group: u32,
    ) -> Result<(), Trap> {
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
            Op::Divide { d, a, b, f } => {
                self.check(*a, mask)?;
                self.check(*b, mask)?;
                let divisors = &self.registers[*b as usize];
                if let Some(lane) = lanes_of(mask).find(|&lane| divisors[lane] == 0) {
                    return Err(Trap::lane(FaultKind::DivisionByZero, lane as u32));
                }
                self.compute2(*d, *a, *b, f, mask);
                Ok(())
            }
            Op::Approximate { d, a, b, f, how } => {
                self.check(*a, mask)?;
                self.check(*b, mask)?;
                self.compute2(*d, *a, *b, f, mask);
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

    fn compute2(&mut self, d: Slot, a: Slot, b: Slot, f: &Compute, mask: u32) {
        if let Compute::Two(f) = f {
            let mut out = [0; LANES];
            f(&mut out, &self.registers[a as usize], &self.registers[b as usize]);
            self.store(d, &out, mask);
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
            epoch: ctx.epoch,
            block_epoch: ctx.block_epoch,
            launch_epoch: if shared { ctx.block_epoch } else { ctx.launch_epoch },
            stamp: self.stamp,
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
    ) -> Result<(), Trap> {
        self.check(from.base, mask)?;
        let size = ty.bytes() as usize;
        for lane in lanes_of(mask) {
            let address = self.address_of(from, lane);
            let mut buffer = [0u8; 64];
            let buffer = &mut buffer[..size * to.len()];
            self.fetch(ctx, lane, address, strength, buffer)?;
            for (slot, bytes) in to.iter().zip(buffer.chunks_exact(size)) {
                let mut value = [0u8; 8];
                value[..size].copy_from_slice(bytes);
                let mut value = u64::from_le_bytes(value);
                if ty.kind == Kind::Signed {
                    let shift = 64 - ty.bits;
                    value = (((value << shift) as i64) >> shift) as u64 & width_mask(width);
                }
                self.registers[*slot as usize][lane] = value;
                self.written[*slot as usize] |= 1 << lane;
            }
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
    ) -> Result<(), Trap> {
        if mask != u32::MAX {
            let what = "ldmatrix by a part of the warp";
            return Err(Trap::lane(FaultKind::Unsupported { what }, mask.trailing_zeros()));
        }
        for (i, slot) in to.iter().enumerate() {
            self.check(from.base, 0xFF << (8 * i))?;
            let mut matrix = [[0u16; 8]; 8];
            for (row, elements) in matrix.iter_mut().enumerate() {
                let lane = 8 * i + row;
                let mut bytes = [0; 16];
                let address = self.address_of(from, lane);
                self.fetch(ctx, lane, address, Strength::Weak, &mut bytes)?;
                for (element, bytes) in elements.iter_mut().zip(bytes.chunks_exact(2)) {
                    *element = u16::from_le_bytes([bytes[0], bytes[1]]);
                }
            }
            let at = |a: usize, b: usize| if transposed { matrix[b][a] } else { matrix[a][b] };
            let word = |lane: usize| {
                let column = 2 * (lane % 4);
                u64::from(at(lane / 4, column)) | u64::from(at(lane / 4, column + 1)) << 16
            };
            self.store(*slot, &std::array::from_fn(word), mask);
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
    ) -> Result<(), Trap> {
        self.check(to.base, mask)?;
        for &slot in from {
            self.check(slot, mask)?;
        }
        let size = ty.bytes() as usize;
        for lane in lanes_of(mask) {
            let address = self.address_of(to, lane);
            let mut buffer = [0u8; 64];
            for (slot, bytes) in from.iter().zip(buffer.chunks_exact_mut(size)) {
                let value = self.registers[*slot as usize][lane].to_le_bytes();
                bytes.copy_from_slice(&value[..size]);
            }
            self.put(ctx, lane, address, strength, &buffer[..size * from.len()])?;
        }
        Ok(())
    }

    /// Reads `out.len()` bytes for one lane.
    fn fetch(
        &self,
        ctx: &mut BlockContext<'_>,
        lane: usize,
        address: u64,
        strength: Strength,
        out: &mut [u8],
    ) -> Result<(), Trap> {
        let fault = |kind, address| Trap { kind, lane: lane as u32, address: Some(address) };
        let bytes = out.len() as u32;
        if !address.is_multiple_of(u64::from(bytes)) {
            return Err(fault(FaultKind::Misaligned { bytes }, address));
        }
        let outside = |memory| fault(FaultKind::OutOfBounds { memory, bytes }, address);
        if let Some(at) = self.local_range(ctx, lane, address, bytes)? {
            let range = at..at + bytes as usize;
            if let Some(i) = range.clone().find(|&i| !self.local_written[i]) {
                let kind = FaultKind::UninitializedMemory { memory: MemoryKind::Local };
                return Err(fault(kind, address + (i - at) as u64));
            }
            out.copy_from_slice(&self.local[range]);
            return Ok(());
        }
        if in_window(address, window::PARAM) {
            let at = (address - window::PARAM) as usize;
            let source = ctx.params.get(at..at + out.len());
            out.copy_from_slice(source.ok_or_else(|| outside(MemoryKind::Param))?);
            return Ok(());
        }
        let who = self.accessor(ctx, lane, address, strength);
        let (region, at) =
            ctx.region(address, out.len()).ok_or_else(|| outside(kind_of(address)))?;
        match region.read(at, out.len(), &who) {
            Ok(source) => out.copy_from_slice(source),
            Err((kind, i)) => return Err(fault(kind, address + (i - at) as u64)),
        }
        Ok(())
    }

    /// Writes bytes for one lane.
    fn put(
        &mut self,
        ctx: &mut BlockContext<'_>,
        lane: usize,
        address: u64,
        strength: Strength,
        source: &[u8],
    ) -> Result<(), Trap> {
        let fault = |kind, address| Trap { kind, lane: lane as u32, address: Some(address) };
        let bytes = source.len() as u32;
        if !address.is_multiple_of(u64::from(bytes)) {
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
    fn local_range(
        &self,
        ctx: &BlockContext<'_>,
        lane: usize,
        address: u64,
        bytes: u32,
    ) -> Result<Option<usize>, Trap> {
        if !in_window(address, window::LOCAL) {
            return Ok(None);
        }
        let size = u64::from(ctx.program.local_bytes);
        let at = address - window::LOCAL;
        if at < window::LOCAL_START || at + u64::from(bytes) > size {
            let kind = FaultKind::OutOfBounds { memory: MemoryKind::Local, bytes };
            return Err(Trap { kind, lane: lane as u32, address: Some(address) });
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
    ) -> Result<(), Trap> {
        for slot in [Some(at.base), Some(a), b].into_iter().flatten() {
            self.check(slot, mask)?;
        }
        let size = ty.bytes() as usize;
        for lane in lanes_of(mask) {
            let address = self.address_of(at, lane);
            let mut bytes = [0; 8];
            self.fetch(ctx, lane, address, Strength::Strong, &mut bytes[..size])?;
            let old = u64::from_le_bytes(bytes);
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
    ) -> Result<(), Trap> {
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
    ) -> Result<(), Trap> {
        let all = std::mem::take(&mut self.copies[lane]);
        let (landing, flying) = all.into_iter().partition(|copy| copy.group < before);
        self.copies[lane] = flying;
        let landing: Vec<Copy> = landing;
        for copy in landing {
            let mut bytes = [0; 16];
            if copy.source_bytes == copy.bytes {
                let out = &mut bytes[..copy.bytes as usize];
                self.fetch(ctx, lane, copy.from, Strength::Weak, out)?;
            } else {
                for (i, byte) in bytes[..copy.source_bytes as usize].iter_mut().enumerate() {
                    let out = std::slice::from_mut(byte);
                    self.fetch(ctx, lane, copy.from + i as u64, Strength::Weak, out)?;
                }
            }
            self.put(ctx, lane, copy.to, Strength::Weak, &bytes[..copy.bytes as usize])?;
        }
        Ok(())
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
