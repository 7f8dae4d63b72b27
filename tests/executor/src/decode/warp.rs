//! Operations among the lanes of a warp and the warps of a block.

use super::super::ast::{Instruction, Kind, Operand, Type};
use super::super::op::{AtomicOp, Op, ShuffleMode, Slot, VoteMode, WarpOp};
use super::decoder::{Decoded, Decoder};
use super::modifiers::Modifiers;

impl Decoder<'_> {
    pub(super) fn warp(&mut self, ins: &Instruction, m: &mut Modifiers<'_>) -> Decoded<()> {
        match ins.opcode.as_str() {
            "activemask" => {
                m.ty()?;
                self.operand_count(ins, 1)?;
                let d = self.write(ins, 0, 32)?;
                self.emit(Op::ActiveMask { d });
                Ok(())
            }
            "membar" => {
                m.require(&[("cta", ()), ("gl", ()), ("sys", ())])?;
                self.emit(Op::Nothing);
                Ok(())
            }
            "fence" => {
                m.choice(&[("sc", ()), ("acq_rel", ()), ("acquire", ()), ("release", ())]);
                m.require(&[("cta", ()), ("cluster", ()), ("gpu", ()), ("sys", ())])?;
                self.emit(Op::Nothing);
                Ok(())
            }
            "nanosleep" => {
                m.ty()?;
                self.emit(Op::Nothing);
                Ok(())
            }
            "griddepcontrol" => {
                // One launch at a time: whatever it depends on has ended.
                m.require(&[("wait", ()), ("launch_dependents", ())])?;
                self.emit(Op::Nothing);
                Ok(())
            }
            "bar" | "barrier" => self.barrier(ins, m),
            _ => self.among_lanes(ins, m),
        }
    }

    fn barrier(&mut self, ins: &Instruction, m: &mut Modifiers<'_>) -> Decoded<()> {
        if ins.opcode == "bar" && m.flag("warp") {
            m.require(&[("sync", ())])?;
            self.operand_count(ins, 1)?;
            let members = self.read(ins, 0, 32)?;
            self.emit(Op::Warp { op: WarpOp::Sync, members });
            return Ok(());
        }
        m.flag("cta");
        let aligned = ins.opcode == "bar" || m.flag("aligned");
        if m.flag("red") {
            m.flag("aligned");
            let votes = [("and", VoteMode::All), ("or", VoteMode::Any), ("popc", VoteMode::Ballot)];
            let op = m.require(&votes)?;
            let ty = m.ty()?;
            self.operand_count(ins, 3)?;
            let id = self.read(ins, 1, 32)?;
            let (a, negate) = self.predicate(ins, 2)?;
            let dest = self.write(ins, 0, ty.bits)?;
            self.emit(Op::BarrierReduce { id, op, dest, a, negate });
            return Ok(());
        }
        m.require(&[("sync", ())])?;
        let id = self.read(ins, 0, 32)?;
        let count = if ins.operands.len() > 1 { Some(self.read(ins, 1, 32)?) } else { None };
        self.emit(Op::Barrier { id, count, aligned });
        Ok(())
    }

    /// A destination with an optional predicate: `d` or `d|p`.
    fn dest_pair(&mut self, ins: &Instruction, bits: u32) -> Decoded<(Slot, Option<Slot>)> {
        match self.at(ins, 0)?.clone() {
            Operand::Pair(d, p) => {
                let d = self.target(ins, &d, bits, false)?;
                Ok((d, Some(self.target(ins, &p, 1, false)?)))
            }
            d => Ok((self.target(ins, &d, bits, false)?, None)),
        }
    }

    fn among_lanes(&mut self, ins: &Instruction, m: &mut Modifiers<'_>) -> Decoded<()> {
        if !m.flag("sync") {
            return m.error(format!("{} without .sync is not supported", ins.opcode));
        }
        let op = match ins.opcode.as_str() {
            "shfl" => {
                let mode = m.require(&[
                    ("up", ShuffleMode::Up),
                    ("down", ShuffleMode::Down),
                    ("bfly", ShuffleMode::Butterfly),
                    ("idx", ShuffleMode::Index),
                ])?;
                m.ty()?;
                self.operand_count(ins, 5)?;
                let a = self.read(ins, 1, 32)?;
                let b = self.read(ins, 2, 32)?;
                let c = self.read(ins, 3, 32)?;
                let (dest, in_range) = self.dest_pair(ins, 32)?;
                WarpOp::Shuffle { mode, dest, in_range, a, b, c }
            }
            "vote" => {
                let mode = m.require(&[
                    ("all", VoteMode::All),
                    ("any", VoteMode::Any),
                    ("uni", VoteMode::Uniform),
                    ("ballot", VoteMode::Ballot),
                ])?;
                let ty = m.ty()?;
                self.operand_count(ins, 3)?;
                let (a, negate) = self.predicate(ins, 1)?;
                let dest = self.write(ins, 0, ty.bits)?;
                WarpOp::Vote { mode, dest, a, negate }
            }
            "match" => {
                let any = m.require(&[("any", true), ("all", false)])?;
                let ty = m.ty()?;
                self.operand_count(ins, 3)?;
                let a = self.read(ins, 1, ty.bits)?;
                let (dest, same) = self.dest_pair(ins, 32)?;
                if any { WarpOp::MatchAny { dest, a } } else { WarpOp::MatchAll { dest, same, a } }
            }
            _ => self.redux(ins, m)?,
        };
        let members = self.read(ins, ins.operands.len() - 1, 32)?;
        self.emit(Op::Warp { op, members });
        Ok(())
    }

    fn redux(&mut self, ins: &Instruction, m: &mut Modifiers<'_>) -> Decoded<WarpOp> {
        let op = m.require(&[
            ("add", AtomicOp::Add),
            ("min", AtomicOp::Min),
            ("max", AtomicOp::Max),
            ("and", AtomicOp::And),
            ("or", AtomicOp::Or),
            ("xor", AtomicOp::Xor),
        ])?;
        let ty: Type = m.ty()?;
        let bitwise = matches!(op, AtomicOp::And | AtomicOp::Or | AtomicOp::Xor);
        if ty.bits != 32 || ty.float() || bitwise != (ty.kind == Kind::Bits) {
            return m.error("redux.sync does not take this type");
        }
        self.operand_count(ins, 3)?;
        let a = self.read(ins, 1, 32)?;
        let dest = self.write(ins, 0, 32)?;
        Ok(WarpOp::Reduce { op, ty, dest, a })
    }
}
