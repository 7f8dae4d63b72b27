//! What the lanes of a warp do together once all of them have arrived.

use super::fault::{FaultKind, Trap};
use super::op::{AtomicOp, LANES, ShuffleMode, Slot, WarpOp};
use super::read_modify_write::combine;
use super::warp::{Warp, lanes_of, vote};

impl Warp {
    /// Runs `op` for the lanes of `mask`, all of which are there.
    pub(super) fn together(&mut self, op: WarpOp, mask: u32) -> Result<(), Trap> {
        match op {
            WarpOp::Shuffle { mode, dest, in_range, a, b, c } => {
                for slot in [a, b, c] {
                    self.check(slot, mask)?;
                }
                self.shuffle(mode, dest, in_range, [a, b, c], mask)?;
            }
            WarpOp::Vote { mode, dest, a, negate } => {
                let votes = self.ballot(a, negate, mask)?;
                self.broadcast(dest, vote(mode, votes, mask), mask);
            }
            WarpOp::MatchAny { dest, a } => {
                self.check(a, mask)?;
                let values = self.registers[a as usize];
                let mut out = [0; LANES];
                for lane in lanes_of(mask) {
                    let same = lanes_of(mask).filter(|&l| values[l] == values[lane]);
                    out[lane] = same.fold(0, |set, l| set | 1 << l);
                }
                self.store(dest, &out, mask);
            }
            WarpOp::MatchAll { dest, same, a } => {
                self.check(a, mask)?;
                let values = self.registers[a as usize];
                let first = values[mask.trailing_zeros() as usize];
                let all = lanes_of(mask).all(|lane| values[lane] == first);
                self.broadcast(dest, if all { u64::from(mask) } else { 0 }, mask);
                if let Some(same) = same {
                    self.broadcast(same, u64::from(all), mask);
                }
            }
            WarpOp::Reduce { op, ty, dest, a } => {
                self.check(a, mask)?;
                let values = self.registers[a as usize];
                let start = match op {
                    AtomicOp::Add | AtomicOp::Or | AtomicOp::Xor => 0,
                    _ => values[mask.trailing_zeros() as usize],
                };
                let sum =
                    lanes_of(mask).fold(start, |sum, lane| combine(op, ty, sum, values[lane], 0));
                self.broadcast(dest, sum, mask);
            }
            WarpOp::Sync => self.stamp += 1,
        }
        Ok(())
    }

    /// `shfl.sync`, as the PTX ISA's pseudocode has it.
    fn shuffle(
        &mut self,
        mode: ShuffleMode,
        dest: Slot,
        in_range: Option<Slot>,
        operands: [Slot; 3],
        mask: u32,
    ) -> Result<(), Trap> {
        let [a, b, c] = operands.map(|slot| self.registers[slot as usize]);
        let (mut out, mut inside) = ([0; LANES], [0; LANES]);
        for lane in lanes_of(mask) {
            let b = b[lane] as u32 & 0x1f;
            let clamp = c[lane] as u32 & 0x1f;
            let segment = c[lane] as u32 >> 8 & 0x1f;
            let own = lane as u32;
            let max = (own & segment) | (clamp & !segment);
            let min = own & segment;
            let (source, valid) = match mode {
                ShuffleMode::Up => {
                    let source = own.wrapping_sub(b) as i32;
                    (source as u32, source >= max as i32)
                }
                ShuffleMode::Down => (own + b, own + b <= max),
                ShuffleMode::Butterfly => (own ^ b, own ^ b <= max),
                ShuffleMode::Index => {
                    let source = min | (b & !segment);
                    (source, source <= max)
                }
            };
            let source = if valid { source } else { own };
            if mask >> source & 1 == 0 {
                return Err(Trap::lane(FaultKind::ShuffleSource { lane: source }, own));
            }
            out[lane] = a[source as usize];
            inside[lane] = u64::from(valid);
        }
        self.store(dest, &out, mask);
        if let Some(in_range) = in_range {
            self.store(in_range, &inside, mask);
        }
        Ok(())
    }
}
