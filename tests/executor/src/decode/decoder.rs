//! A kernel in the making, and the first things that every decoding needs.

use std::collections::HashMap;

use super::super::ast::{Instruction, ParseError, Pos, Space, Text, Type};
use super::super::op::{Compute, Guard, Op, Slot, Source, Special, Step};
use super::super::statics::Statics;

/// What comes out, or what can't be decoded.
pub(super) type Decoded<T> = Result<T, ParseError>;

/// What a name stands for.
#[derive(Clone, Debug)]
pub(super) enum Symbol {
    /// A register; its slot is given out at its first use.
    Register { ty: Type, slot: Option<Slot> },
    /// A variable at an address of its own space.
    Variable { space: Space, address: u64 },
    /// The start of dynamic shared memory, which is known at the end.
    DynamicShared,
    /// A code label.
    Label(u32),
    /// A list of labels for `brx.idx`.
    Targets(Vec<String>),
}

/// A kernel as far as it is decoded: steps whose branch targets are not yet known.
pub(super) struct Decoder<'a> {
    pub(super) text: &'a Text,
    pub(super) statics: &'a Statics,
    pub(super) scopes: Vec<HashMap<String, Symbol>>,
    /// Where each label stands, once it is reached.
    pub(super) labels: Vec<Option<u32>>,
    pub(super) steps: Vec<Step>,
    pub(super) sources: Vec<Source>,
    pub(super) source_index: HashMap<(Pos, String), u32>,
    pub(super) constants: HashMap<u64, Slot>,
    pub(super) specials: Vec<(Slot, Special)>,
    pub(super) registers: Slot,
    pub(super) local_bytes: u64,
    pub(super) shared_bytes: u64,
    pub(super) dynamic_shared: Vec<Slot>,
    /// Shared variables of the module that this kernel names, as they are met.
    pub(super) shared_variables: HashMap<String, Symbol>,
    /// Functions being inlined, with the label behind each call.
    pub(super) calls: Vec<(String, u32)>,
    pub(super) guard: Option<Guard>,
    pub(super) source: u32,
    pub(super) fresh: bool,
    pub(super) name: String,
    pub(super) param_bytes: u64,
}

impl Decoder<'_> {
    /// Appends a step of the current instruction.
    pub(super) fn emit(&mut self, op: Op) {
        let counted = std::mem::take(&mut self.fresh);
        self.steps.push(Step { op, guard: self.guard, source: self.source, counted });
    }

    pub(super) fn emit_compute(&mut self, d: Slot, operands: &[Slot], f: Compute) {
        self.emit(match (operands, &f) {
            (&[a], Compute::One(_)) => Op::Compute1 { d, a, f },
            (&[a, b], Compute::Two(_)) => Op::Compute2 { d, a, b, f },
            (&[a, b, c], Compute::Three(_)) => Op::Compute3 { d, a, b, c, f },
            _ => unreachable!("operands and closure are chosen together"),
        });
    }

    /// Decodes `d, a, b, …` where every operand has `bits` bits, and applies `f`.
    pub(super) fn uniform(&mut self, ins: &Instruction, bits: u32, f: Compute) -> Decoded<()> {
        let count = match f {
            Compute::One(_) => 1,
            Compute::Two(_) => 2,
            Compute::Three(_) => 3,
        };
        self.operand_count(ins, count + 1)?;
        let mut operands = Vec::with_capacity(count);
        for i in 1..=count {
            operands.push(self.read(ins, i, bits)?);
        }
        let d = self.write(ins, 0, bits)?;
        self.emit_compute(d, &operands, f);
        Ok(())
    }

    pub(super) fn operand_count(&self, ins: &Instruction, count: usize) -> Decoded<()> {
        if ins.operands.len() == count {
            return Ok(());
        }
        let message =
            format!("{:?} has {} operands instead of {count}", ins.text, ins.operands.len());
        Err(ParseError { pos: ins.pos, message })
    }

    pub(super) fn fail<T>(&self, ins: &Instruction, message: impl Into<String>) -> Decoded<T> {
        Err(ParseError { pos: ins.pos, message: message.into() })
    }
}
