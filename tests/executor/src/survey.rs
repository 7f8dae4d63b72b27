//! Which instructions a module uses, and with what kinds of operands.

use std::collections::{BTreeSet, HashMap};

use super::ast::{Function, Operand, ParseError, Space, Statement, Text, Type};
use super::parse;

/// An operand's kind: what a one-instruction kernel needs to know to feed or store it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Shape {
    /// A register of so many bits.
    Register(u32),
    Predicate,
    NotPredicate,
    /// A literal, as written.
    Literal(String),
    Sink,
    /// `[register+offset]`
    Memory,
    Vector(Vec<Shape>),
    Pair(Box<Shape>, Box<Shape>),
    /// Something that only means anything where it stands: a variable, a label, a special register.
    Place,
}

/// An instruction and the kinds of its operands.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Use {
    pub(super) opcode: String,
    pub(super) modifiers: Vec<String>,
    pub(super) operands: Vec<Shape>,
}

impl Use {
    /// Opcode and modifiers, as written.
    pub(super) fn mnemonic(&self) -> String {
        let mut out = self.opcode.clone();
        for modifier in &self.modifiers {
            out.push('.');
            out.push_str(modifier);
        }
        out
    }
}

/// Adds the uses in a module's text.
pub(super) fn add(text: &str, uses: &mut BTreeSet<Use>) -> Result<(), ParseError> {
    let text: Text = parse::parse(text)?;
    for function in &text.functions {
        add_function(function, uses);
    }
    Ok(())
}

fn add_function(function: &Function, uses: &mut BTreeSet<Use>) {
    let mut scopes = vec![HashMap::new()];
    for statement in function.body.iter().flatten() {
        add_statement(statement, &mut scopes, uses);
    }
}

type Scopes = Vec<HashMap<String, Type>>;

fn add_statement(statement: &Statement, scopes: &mut Scopes, uses: &mut BTreeSet<Use>) {
    match statement {
        Statement::Registers { ty, names } => {
            let scope = scopes.last_mut().expect("the function's own scope");
            for (_, name, count) in names {
                match count {
                    None => _ = scope.insert(name.clone(), *ty),
                    Some(count) => {
                        scope.extend((0..*count).map(|i| (format!("{name}{i}"), *ty)));
                    }
                }
            }
        }
        Statement::Scope(inner) => {
            scopes.push(HashMap::new());
            inner.iter().for_each(|statement| add_statement(statement, scopes, uses));
            scopes.pop();
        }
        Statement::Instruction(ins) => {
            uses.insert(Use {
                opcode: ins.opcode.clone(),
                modifiers: ins.modifiers.clone(),
                operands: ins.operands.iter().map(|operand| shape(operand, scopes)).collect(),
            });
        }
        Statement::Variable(variable) => {
            debug_assert!(variable.space != Space::Const, "no constants inside functions");
        }
        Statement::Label(_) | Statement::Targets { .. } => {}
    }
}

fn shape(operand: &Operand, scopes: &Scopes) -> Shape {
    match operand {
        Operand::Name(name) => match scopes.iter().rev().find_map(|scope| scope.get(name)) {
            Some(ty) if ty.bits == 1 => Shape::Predicate,
            Some(ty) => Shape::Register(ty.bits),
            None => Shape::Place,
        },
        Operand::Integer(value) if (*value as i64) < 0 => {
            Shape::Literal((*value as i64).to_string())
        }
        Operand::Integer(value) => Shape::Literal(value.to_string()),
        Operand::Single(bits) => Shape::Literal(format!("0f{bits:08X}")),
        Operand::Double(bits) => Shape::Literal(format!("0d{bits:016X}")),
        Operand::Not(_) => Shape::NotPredicate,
        Operand::Vector(parts) => {
            Shape::Vector(parts.iter().map(|part| shape(part, scopes)).collect())
        }
        Operand::Address { base, .. } => match shape(base, scopes) {
            Shape::Register(_) => Shape::Memory,
            _ => Shape::Place,
        },
        Operand::Pair(a, b) => Shape::Pair(Box::new(shape(a, scopes)), Box::new(shape(b, scopes))),
        Operand::Sink => Shape::Sink,
        Operand::List(_) => Shape::Place,
    }
}
