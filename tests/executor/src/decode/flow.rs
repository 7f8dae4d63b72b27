//! Branches, calls (inlined) and exits.

use std::collections::HashMap;

use super::super::ast::{Instruction, Operand};
use super::super::op::{Guard, Op};
use super::decoder::Symbol;
use super::decoder::{Decoded, Decoder};
use super::modifiers::Modifiers;

impl Decoder<'_> {
    pub(super) fn flow(&mut self, ins: &Instruction, m: &mut Modifiers<'_>) -> Decoded<()> {
        m.flag("uni");
        match ins.opcode.as_str() {
            "bra" => {
                self.operand_count(ins, 1)?;
                let operand = self.at(ins, 0)?.clone();
                let target = self.label(ins, &operand)?;
                self.emit(Op::Branch { target });
            }
            "brx" => {
                m.flag("idx");
                self.operand_count(ins, 2)?;
                let index = self.read(ins, 0, 32)?;
                let Operand::Name(list) = self.at(ins, 1)?.clone() else {
                    return m.error("brx.idx needs a list of targets");
                };
                let Some(Symbol::Targets(labels)) = self.lookup(&list) else {
                    return m.error(format!("{list:?} is not a list of targets"));
                };
                let mut targets = Vec::new();
                for label in labels {
                    targets.push(self.label(ins, &Operand::Name(label))?);
                }
                self.emit(Op::BranchIndexed { index, targets });
            }
            "ret" if self.calls.len() > 1 => {
                let (_, target) = self.calls[self.calls.len() - 1];
                self.emit(Op::Branch { target });
            }
            "ret" | "exit" => self.emit(Op::Exit),
            "trap" => self.emit(Op::Trap),
            _ => return self.call(ins, m),
        }
        Ok(())
    }

    fn label(&mut self, ins: &Instruction, operand: &Operand) -> Decoded<u32> {
        if let Operand::Name(name) = operand
            && let Some(Symbol::Label(label)) = self.lookup(name)
        {
            return Ok(label);
        }
        self.fail(ins, format!("{operand:?} is not a label here"))
    }

    /// Inlines a call: the callee's formal parameters name the caller's variables.
    fn call(&mut self, ins: &Instruction, m: &Modifiers<'_>) -> Decoded<()> {
        let (mut returns, mut name, mut params) = (Vec::new(), None, Vec::new());
        for operand in &ins.operands {
            match operand {
                Operand::List(list) if name.is_none() => returns.clone_from(list),
                Operand::List(list) => params.clone_from(list),
                Operand::Name(callee) if name.is_none() => name = Some(callee.clone()),
                _ => return m.error("only direct calls are supported"),
            }
        }
        let Some(name) = name else { return m.error("a call without a function") };
        let text = self.text;
        let same = text.functions.iter().filter(|f| f.name == name && !f.entry);
        let Some(callee) = same.max_by_key(|f| f.body.is_some()) else {
            return m.error(format!("{name:?} is not a function of this module"));
        };
        if self.calls.iter().any(|(active, _)| *active == name) {
            return m.error(format!("{name:?} is recursive"));
        }
        let Some(body) = &callee.body else {
            self.emit(Op::MissingFunction { name });
            return Ok(());
        };
        let mut bindings = HashMap::new();
        for (formals, actuals) in [(&callee.returns, &returns), (&callee.params, &params)] {
            if formals.len() != actuals.len() {
                return m.error(format!("{name:?} takes {} parameters", formals.len()));
            }
            for (formal, actual) in formals.iter().zip(actuals) {
                let symbol = match actual {
                    Operand::Name(variable) => self.lookup(variable),
                    _ => None,
                };
                match symbol {
                    Some(symbol @ Symbol::Variable { .. }) => {
                        bindings.insert(formal.name.clone(), symbol);
                    }
                    _ => return m.error(format!("{actual:?} is not a .param variable")),
                }
            }
        }
        let after = self.new_label();
        let (guard, source) = (self.guard, self.source);
        if let Some(guard) = guard {
            self.guard = Some(Guard { negated: !guard.negated, ..guard });
            self.emit(Op::Branch { target: after });
        } else {
            self.emit(Op::Nothing);
        }
        // The callee sees the module's names and its own, not the caller's.
        let callers = std::mem::take(&mut self.scopes);
        self.scopes.push(HashMap::new());
        for (formal, symbol) in bindings {
            self.bind(&formal, symbol);
        }
        self.calls.push((name, after));
        self.statements(body)?;
        self.calls.pop();
        self.scopes = callers;
        self.labels[after as usize] = Some(self.steps.len() as u32);
        (self.guard, self.source) = (None, source);
        Ok(())
    }
}
