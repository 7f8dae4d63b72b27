//! From statements to a [`Program`]: names become register numbers, modifiers become closures, device
//! functions are inlined at their calls (PTX recursion is refused), and the blocks are laid out.

mod bits;
mod compare;
mod convert;
mod decoder;
mod float;
mod flow;
mod integer;
mod memory;
mod modifiers;
mod symbols;
mod warp;

use std::collections::HashMap;

use super::ast::{Function, Instruction, Operand, Statement, Text, Type};
use super::layout;
use super::op::{Guard, Program, Slot, Source};
use super::registers;
use super::statics::Statics;
use decoder::{Decoded, Decoder, Symbol};
use modifiers::Modifiers;

/// Decodes one kernel of a module.
pub(super) fn kernel(text: &Text, statics: &Statics, entry: &Function) -> Decoded<Program> {
    let mut decoder = Decoder::new(text, statics, entry);
    decoder.entry(entry)?;
    decoder.finish()
}

impl Decoder<'_> {
    fn statements(&mut self, statements: &[Statement]) -> Decoded<()> {
        self.scopes.push(HashMap::new());
        self.declare(statements)?;
        for statement in statements {
            match statement {
                Statement::Instruction(ins) => self.instruction(ins)?,
                Statement::Label(name) => {
                    if let Some(Symbol::Label(label)) = self.lookup(name) {
                        self.labels[label as usize] = Some(self.steps.len() as u32);
                    }
                }
                Statement::Scope(inner) => self.statements(inner)?,
                Statement::Registers { .. }
                | Statement::Variable(_)
                | Statement::Targets { .. } => {}
            }
        }
        self.scopes.pop();
        Ok(())
    }

    fn instruction(&mut self, ins: &Instruction) -> Decoded<()> {
        let key = (ins.pos, self.current_function().to_string());
        let next = self.sources.len() as u32;
        self.source = *self.source_index.entry(key.clone()).or_insert(next);
        if self.source == next {
            self.sources.push(Source { pos: ins.pos, text: ins.text.clone(), function: key.1 });
        }
        self.fresh = true;
        self.guard = None;
        if let Some((name, negated)) = &ins.guard {
            let predicate =
                self.operand(ins, &Operand::Name(name.clone()), Type::from_name("pred"))?;
            self.guard = Some(Guard { predicate, negated: *negated });
        }
        let mut m = Modifiers::new(ins)?;
        self.dispatch(ins, &mut m)?;
        m.finish()
    }

    fn dispatch(&mut self, ins: &Instruction, m: &mut Modifiers<'_>) -> Decoded<()> {
        let last = ins.modifiers.last().map_or("", String::as_str);
        let float = Type::from_name(last).map_or(last.contains('f'), Type::float);
        match ins.opcode.as_str() {
            "add" | "sub" | "mul" | "min" | "max" | "abs" | "neg" | "div" if !float => {
                self.integer(ins, m)
            }
            "add" | "sub" | "mul" | "fma" | "min" | "max" | "abs" | "neg" | "div" | "rcp"
            | "copysign" | "testp" => self.float(ins, m),
            "mad" | "rem" => self.integer(ins, m),
            "and" | "or" | "xor" | "not" | "cnot" | "shl" | "shr" | "shf" | "lop3" | "prmt"
            | "bfe" | "bfi" | "brev" | "popc" | "clz" | "bfind" => self.bits(ins, m),
            "setp" | "set" | "selp" | "slct" => self.compare(ins, m),
            "cvt" => self.convert(ins, m),
            "mov" | "ld" | "ldu" | "st" | "atom" | "red" | "cvta" | "isspacep" | "prefetch"
            | "createpolicy" | "cp" => self.memory(ins, m),
            "ldmatrix" => self.load_matrix(ins, m),
            "shfl" | "vote" | "match" | "redux" | "activemask" | "bar" | "barrier" | "membar"
            | "fence" | "nanosleep" | "griddepcontrol" => self.warp(ins, m),
            "bra" | "brx" | "call" | "ret" | "exit" | "trap" => self.flow(ins, m),
            other => self.fail(ins, format!("opcode {other:?} is not supported")),
        }
    }

    fn finish(mut self) -> Decoded<Program> {
        let mut positions = Vec::with_capacity(self.labels.len());
        for label in &self.labels {
            // A label that was never placed belongs to a scope that nothing jumps into.
            positions.push(label.unwrap_or(u32::MAX));
        }
        let mut steps = layout::arrange(std::mem::take(&mut self.steps), &positions);
        let shared_bytes = self.shared_bytes.next_multiple_of(16);
        let start = super::window::SHARED_START + shared_bytes;
        let mut constants: Vec<(Slot, u64)> =
            self.constants.iter().map(|(&value, &slot)| (slot, value)).collect();
        constants.extend(self.dynamic_shared.iter().map(|&slot| (slot, start)));
        let filled = constants.iter_mut().map(|(slot, _)| slot);
        let filled = filled.chain(self.specials.iter_mut().map(|(slot, _)| slot));
        let registers = registers::share(&mut steps, self.registers, filled);
        let entry = self.text.functions.iter().find(|f| f.name == self.name);
        Ok(Program {
            name: self.name,
            steps,
            sources: self.sources,
            registers,
            constants,
            specials: self.specials,
            param_bytes: self.param_bytes as u32,
            local_bytes: self.local_bytes as u32,
            shared_bytes: shared_bytes as u32,
            required_block: entry.and_then(|f| f.required_block),
            max_block: entry.and_then(|f| f.max_block),
        })
    }
}
