//! What the lanes of a warp do together once all of them have arrived.

use super::context::BlockContext;
use super::fault::{FaultKind, Trap};
use super::op::{AtomicOp, LANES, Lanes, ShuffleMode, Slot, WarpOp};
use super::read_modify_write::combine;
use super::warp::{Warp, lanes_of, lanes_where, vote};

impl Warp {
    /// Runs `op` for the lanes of `mask`, all of which are there.
    #[inline(always)]
    pub(super) fn together(
        &mut self,
        ctx: &mut BlockContext<'_>,
        op: WarpOp,
        mask: u32,
    ) -> Result<(), Box<Trap>> {
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
                let values = &self.registers[a as usize];
                for lane in lanes_of(mask) {
                    let same = lanes_of(mask).filter(|&l| values[l] == values[lane]);
                    self.result[lane] = same.fold(0, |set, l| set | 1 << l);
                }
                self.keep(dest, mask);
            }
            WarpOp::MatchAll { dest, same, a } => {
                self.check(a, mask)?;
                let values = &self.registers[a as usize];
                let first = values[mask.trailing_zeros() as usize];
                let all = lanes_of(mask).all(|lane| values[lane] == first);
                self.broadcast(dest, if all { u64::from(mask) } else { 0 }, mask);
                if let Some(same) = same {
                    self.broadcast(same, u64::from(all), mask);
                }
            }
            WarpOp::Reduce { op, ty, dest, a } => {
                self.check(a, mask)?;
                let values = &self.registers[a as usize];
                let start = match op {
                    AtomicOp::Add | AtomicOp::Or | AtomicOp::Xor => 0,
                    _ => values[mask.trailing_zeros() as usize],
                };
                let sum =
                    lanes_of(mask).fold(start, |sum, lane| combine(op, ty, sum, values[lane], 0));
                self.broadcast(dest, sum, mask);
            }
            WarpOp::Sync => self.synced = ctx.memory.tick(),
        }
        Ok(())
    }

    /// `shfl.sync`, as the PTX ISA's pseudocode has it.
    #[inline(always)]
    fn shuffle(
        &mut self,
        mode: ShuffleMode,
        dest: Slot,
        in_range: Option<Slot>,
        operands: [Slot; 3],
        mask: u32,
    ) -> Result<(), Box<Trap>> {
        let [a, b, c] = operands.map(|slot| &self.registers[slot as usize]);
        let (sources, valid) = mode.sources(b, c);
        let wrong = match mask {
            u32::MAX => 0,
            _ => mask & lanes_where(|lane| mask >> sources[lane] & 1 == 0),
        };
        if wrong != 0 {
            let lane = wrong.trailing_zeros();
            let kind = FaultKind::ShuffleSource { lane: sources[lane as usize] };
            return Err(Trap::lane(kind, lane));
        }
        for lane in 0..LANES {
            self.result[lane] = a[sources[lane] as usize % LANES];
        }
        self.keep(dest, mask);
        if let Some(slot) = in_range {
            self.result = std::array::from_fn(|lane| u64::from(valid[lane]));
            self.keep(slot, mask);
        }
        Ok(())
    }
}

/// What decides where a lane reads: its own number, operand b, and the first and the last lane of its segment,
/// whose bits are those of `segment`.
struct Reader {
    own: u32,
    b: u32,
    min: u32,
    max: u32,
    segment: u32,
}

impl ShuffleMode {
    /// The lane that each lane reads, and whether it is in range: else a lane reads itself.
    #[inline(always)]
    fn sources(self, b: &Lanes, c: &Lanes) -> ([u32; LANES], [bool; LANES]) {
        // A loop for each mode, so that none decides in every lane.
        match self {
            Self::Up => sources(b, c, |it| {
                let source = it.own.wrapping_sub(it.b);
                (source, source as i32 >= it.max as i32)
            }),
            Self::Down => sources(b, c, |it| (it.own + it.b, it.own + it.b <= it.max)),
            Self::Butterfly => sources(b, c, |it| (it.own ^ it.b, it.own ^ it.b <= it.max)),
            Self::Index => sources(b, c, |it| {
                let source = it.min | (it.b & !it.segment);
                (source, source <= it.max)
            }),
        }
    }
}

#[inline(always)]
fn sources(
    b: &Lanes,
    c: &Lanes,
    of: impl Fn(Reader) -> (u32, bool),
) -> ([u32; LANES], [bool; LANES]) {
    let (mut sources, mut valid) = ([0; LANES], [false; LANES]);
    for lane in 0..LANES {
        let own = lane as u32;
        let (b, clamp) = (b[lane] as u32 & 0x1f, c[lane] as u32 & 0x1f);
        let segment = c[lane] as u32 >> 8 & 0x1f;
        let (min, max) = (own & segment, (own & segment) | (clamp & !segment));
        let (source, is_valid) = of(Reader { own, b, min, max, segment });
        sources[lane] = if is_valid { source } else { own };
        valid[lane] = is_valid;
    }
    (sources, valid)
}
