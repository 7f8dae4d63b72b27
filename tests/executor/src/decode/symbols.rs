//! Names and operands.

use std::collections::HashMap;

use super::super::ast::{
    Function, Instruction, Operand, ParseError, Space, Statement, Text, Type, Variable, width_mask,
};
use super::super::op::{Op, Slot, Special};
use super::super::statics::Statics;
use super::super::window;
use super::decoder::{Decoded, Decoder, Symbol};

impl<'a> Decoder<'a> {
    pub(super) fn new(text: &'a Text, statics: &'a Statics, entry: &Function) -> Self {
        Self {
            text,
            statics,
            scopes: Vec::new(),
            labels: Vec::new(),
            steps: Vec::new(),
            sources: Vec::new(),
            source_index: HashMap::new(),
            constants: HashMap::new(),
            specials: Vec::new(),
            registers: 0,
            local_bytes: window::LOCAL_START,
            shared_bytes: 0,
            dynamic_shared: Vec::new(),
            shared_variables: HashMap::new(),
            calls: Vec::new(),
            guard: None,
            source: 0,
            fresh: false,
            name: entry.name.clone(),
            param_bytes: 0,
        }
    }

    pub(super) fn new_slot(&mut self) -> Slot {
        self.registers += 1;
        self.registers - 1
    }

    pub(super) fn new_label(&mut self) -> u32 {
        self.labels.push(None);
        self.labels.len() as u32 - 1
    }

    /// A register that holds `value` in every lane.
    pub(super) fn constant(&mut self, value: u64) -> Slot {
        if let Some(&slot) = self.constants.get(&value) {
            return slot;
        }
        let slot = self.new_slot();
        self.constants.insert(value, slot);
        slot
    }

    fn define(&mut self, name: &str, symbol: Symbol) {
        let scope = self.scopes.last_mut().expect("declarations stand in a scope");
        scope.insert(name.to_string(), symbol);
    }

    /// Enters the declarations and labels of a scope before its instructions.
    pub(super) fn declare(&mut self, statements: &[Statement]) -> Decoded<()> {
        for statement in statements {
            match statement {
                Statement::Registers { ty, names } => {
                    for (_, name, count) in names {
                        let symbol = Symbol::Register { ty: *ty, slot: None };
                        match count {
                            None => self.define(name, symbol),
                            Some(count) => {
                                for i in 0..*count {
                                    self.define(&format!("{name}{i}"), symbol.clone());
                                }
                            }
                        }
                    }
                }
                Statement::Variable(variable) => self.declare_variable(variable)?,
                Statement::Label(name) => {
                    let label = self.new_label();
                    self.define(name, Symbol::Label(label));
                }
                Statement::Targets { name, labels } => {
                    self.define(name, Symbol::Targets(labels.clone()));
                }
                Statement::Instruction(_) | Statement::Scope(_) => {}
            }
        }
        Ok(())
    }

    /// Places a variable declared in a function. Parameters of calls live in the thread's own memory.
    pub(super) fn declare_variable(&mut self, variable: &Variable) -> Decoded<()> {
        let symbol = match variable.space {
            Space::Local | Space::Param => {
                let address = self.local_bytes.next_multiple_of(u64::from(variable.align));
                self.local_bytes = address + variable.bytes();
                Symbol::Variable { space: Space::Local, address }
            }
            Space::Shared if variable.length.is_none() => Symbol::DynamicShared,
            Space::Shared => self.place_shared(variable),
            Space::Global | Space::Const => {
                let message = "a global variable inside a function is not supported".to_string();
                return Err(ParseError { pos: variable.pos, message });
            }
        };
        self.define(&variable.name, symbol);
        Ok(())
    }

    fn place_shared(&mut self, variable: &Variable) -> Symbol {
        let offset = self.shared_bytes.next_multiple_of(u64::from(variable.align));
        self.shared_bytes = offset + variable.bytes();
        Symbol::Variable { space: Space::Shared, address: window::SHARED_START + offset }
    }

    /// Opens a kernel's outermost scope with its parameters and decodes its body.
    pub(super) fn entry(&mut self, entry: &Function) -> Decoded<()> {
        self.scopes.push(HashMap::new());
        for param in &entry.params {
            let address = self.param_bytes.next_multiple_of(u64::from(param.align));
            self.param_bytes = address + param.bytes();
            self.define(&param.name, Symbol::Variable { space: Space::Param, address });
        }
        let end = self.new_label();
        self.calls.push((entry.name.clone(), end));
        let body = entry.body.as_deref().unwrap_or_default();
        self.statements(body)?;
        self.labels[end as usize] = Some(self.steps.len() as u32);
        self.guard = None;
        self.emit(Op::Exit);
        Ok(())
    }

    pub(super) fn bind(&mut self, name: &str, symbol: Symbol) {
        self.define(name, symbol);
    }

    pub(super) fn current_function(&self) -> &str {
        self.calls.last().map_or(&self.name, |(name, _)| name)
    }

    /// What `name` stands for here. Variables of the module are placed when first named.
    pub(super) fn lookup(&mut self, name: &str) -> Option<Symbol> {
        if let Some(symbol) = self.scopes.iter().rev().find_map(|scope| scope.get(name)) {
            return Some(symbol.clone());
        }
        if let Some(symbol) = self.shared_variables.get(name) {
            return Some(symbol.clone());
        }
        if let Some((space, address)) = self.statics.address(name) {
            return Some(Symbol::Variable { space, address });
        }
        let text = self.text;
        let variable =
            text.variables.iter().find(|v| v.space == Space::Shared && v.name == name)?;
        let symbol = match variable.length {
            None => Symbol::DynamicShared,
            Some(_) => self.place_shared(variable),
        };
        self.shared_variables.insert(name.to_string(), symbol.clone());
        Some(symbol)
    }

    /// The slot of a register by name, with its type.
    fn register(&mut self, name: &str) -> Option<(Slot, Type)> {
        let scope = self.scopes.iter().rposition(|scope| scope.contains_key(name))?;
        let Some(Symbol::Register { ty, slot }) = self.scopes[scope].get(name).cloned() else {
            return None;
        };
        let slot = slot.unwrap_or_else(|| {
            let slot = self.new_slot();
            self.scopes[scope].insert(name.to_string(), Symbol::Register { ty, slot: Some(slot) });
            slot
        });
        Some((slot, ty))
    }

    /// The declared width of the register `name`.
    pub(super) fn register_width(&self, name: &str) -> Option<u32> {
        match self.scopes.iter().rev().find_map(|scope| scope.get(name))? {
            Symbol::Register { ty, .. } => Some(ty.bits),
            _ => None,
        }
    }

    /// The declared width of the register that operand `index` names.
    pub(super) fn register_bits(&self, ins: &Instruction, index: usize) -> Option<u32> {
        match ins.operands.get(index)? {
            Operand::Name(name) => self.register_width(name),
            _ => None,
        }
    }

    fn special(&mut self, name: &str) -> Option<(Slot, u32)> {
        let axis = |name: &str| match name.as_bytes().last() {
            Some(b'x') => Some(0),
            Some(b'y') => Some(1),
            Some(b'z') => Some(2),
            _ => None,
        };
        let special = match name.split('.').next()? {
            "%tid" => Special::Tid(axis(name)?),
            "%ntid" => Special::Ntid(axis(name)?),
            "%ctaid" => Special::Ctaid(axis(name)?),
            "%nctaid" => Special::Nctaid(axis(name)?),
            "%laneid" => Special::LaneId,
            "%warpid" => Special::WarpId,
            "%nwarpid" => Special::NWarpId,
            "%lanemask_eq" => Special::LaneMaskEq,
            "%lanemask_le" => Special::LaneMaskLe,
            "%lanemask_lt" => Special::LaneMaskLt,
            "%lanemask_ge" => Special::LaneMaskGe,
            "%lanemask_gt" => Special::LaneMaskGt,
            "%dynamic_smem_size" => Special::DynamicSharedSize,
            "%total_smem_size" => Special::TotalSharedSize,
            _ => return None,
        };
        if let Some(&(slot, _)) = self.specials.iter().find(|(_, s)| *s == special) {
            return Some((slot, 32));
        }
        let slot = self.new_slot();
        self.specials.push((slot, special));
        Some((slot, 32))
    }

    /// The register that operand `index` names or needs, `bits` wide exactly.
    pub(super) fn read(&mut self, ins: &Instruction, index: usize, bits: u32) -> Decoded<Slot> {
        let operand = self.at(ins, index)?.clone();
        self.sized(ins, &operand, bits, false)
    }

    /// Like [`read`](Self::read), but the register may be wider than `bits`.
    pub(super) fn read_wide(
        &mut self,
        ins: &Instruction,
        index: usize,
        bits: u32,
    ) -> Decoded<Slot> {
        let operand = self.at(ins, index)?.clone();
        self.sized(ins, &operand, bits, true)
    }

    /// The predicate that operand `index` names, and whether it is written with `!`.
    pub(super) fn predicate(&mut self, ins: &Instruction, index: usize) -> Decoded<(Slot, bool)> {
        match self.at(ins, index)?.clone() {
            Operand::Not(inner) => Ok((self.sized(ins, &inner, 1, false)?, true)),
            operand => Ok((self.sized(ins, &operand, 1, false)?, false)),
        }
    }

    /// The register that operand `index` writes, `bits` wide exactly.
    pub(super) fn write(&mut self, ins: &Instruction, index: usize, bits: u32) -> Decoded<Slot> {
        let operand = self.at(ins, index)?.clone();
        self.target(ins, &operand, bits, false)
    }

    pub(super) fn write_wide(
        &mut self,
        ins: &Instruction,
        index: usize,
        bits: u32,
    ) -> Decoded<Slot> {
        let operand = self.at(ins, index)?.clone();
        self.target(ins, &operand, bits, true)
    }

    pub(super) fn at<'i>(&self, ins: &'i Instruction, index: usize) -> Decoded<&'i Operand> {
        match ins.operands.get(index) {
            Some(operand) => Ok(operand),
            None => self.fail(ins, format!("{:?} lacks operand {}", ins.text, index + 1)),
        }
    }

    /// A written operand: a register, or `_` for a register that nobody reads.
    pub(super) fn target(
        &mut self,
        ins: &Instruction,
        operand: &Operand,
        bits: u32,
        wider: bool,
    ) -> Decoded<Slot> {
        match operand {
            Operand::Sink => Ok(self.new_slot()),
            Operand::Name(name) => match self.register(name) {
                Some((slot, ty)) => self.check_width(ins, name, ty, bits, wider).map(|()| slot),
                None => self.fail(ins, format!("{name:?} is not a register")),
            },
            _ => self.fail(ins, format!("{operand:?} can't be written")),
        }
    }

    fn check_width(
        &self,
        ins: &Instruction,
        name: &str,
        ty: Type,
        bits: u32,
        wider: bool,
    ) -> Decoded<()> {
        if ty.bits == bits || wider && ty.bits > bits {
            return Ok(());
        }
        self.fail(ins, format!("{name} has {} bits where {:?} has {bits}", ty.bits, ins.text))
    }

    pub(super) fn operand(
        &mut self,
        ins: &Instruction,
        operand: &Operand,
        ty: Option<Type>,
    ) -> Decoded<Slot> {
        self.sized(ins, operand, ty.map_or(32, |ty| ty.bits), false)
    }

    /// A read operand: a register, an immediate, or a special register.
    pub(super) fn sized(
        &mut self,
        ins: &Instruction,
        operand: &Operand,
        bits: u32,
        wider: bool,
    ) -> Decoded<Slot> {
        match operand {
            Operand::Name(name) => {
                if let Some((slot, ty)) = self.register(name) {
                    self.check_width(ins, name, ty, bits, wider)?;
                    return Ok(slot);
                }
                match self.special(name) {
                    Some((slot, width)) if width == bits => Ok(slot),
                    Some((_, width)) => {
                        self.fail(ins, format!("{name} has {width} bits, not {bits}"))
                    }
                    None => self.fail(ins, format!("{name:?} is not declared")),
                }
            }
            Operand::Integer(value) => Ok(self.constant(value & width_mask(bits))),
            Operand::Single(value) if bits == 32 => Ok(self.constant(u64::from(*value))),
            Operand::Double(value) if bits == 64 => Ok(self.constant(*value)),
            _ => self.fail(ins, format!("{operand:?} is not an operand of {bits} bits")),
        }
    }
}
