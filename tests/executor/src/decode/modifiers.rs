//! The modifiers of one instruction, each of which must be understood by someone.

use super::super::ast::{Instruction, ParseError, Type};
use super::super::soft::Rounding;

/// Modifiers not yet consumed. What is left at the end is an error: never a guess.
pub(super) struct Modifiers<'a> {
    instruction: &'a Instruction,
    used: u64,
}

impl<'a> Modifiers<'a> {
    /// Fails for more modifiers than `used` has bits.
    pub(super) fn new(instruction: &'a Instruction) -> Result<Self, ParseError> {
        let it = Self { instruction, used: 0 };
        match instruction.modifiers.len() {
            0..=64 => Ok(it),
            count => it.error(format!("{} has {count} modifiers", instruction.opcode)),
        }
    }

    /// Consumes `name` if it is there.
    pub(super) fn flag(&mut self, name: &str) -> bool {
        let found = (0..self.instruction.modifiers.len())
            .find(|&i| self.used >> i & 1 == 0 && self.instruction.modifiers[i] == name);
        if let Some(i) = found {
            self.used |= 1 << i;
        }
        found.is_some()
    }

    /// Consumes the first of `names` that is there.
    pub(super) fn choice<T: Copy>(&mut self, names: &[(&str, T)]) -> Option<T> {
        names.iter().find(|(name, _)| self.flag(name)).map(|&(_, value)| value)
    }

    /// Consumes one of `names`, of which one must be there.
    pub(super) fn require<T: Copy>(&mut self, names: &[(&str, T)]) -> Result<T, ParseError> {
        match self.choice(names) {
            Some(value) => Ok(value),
            None => {
                let names: Vec<&str> = names.iter().map(|(name, _)| *name).collect();
                self.error(format!("{} needs one of .{}", self.opcode(), names.join(", .")))
            }
        }
    }

    /// Consumes the last modifier left, which is where PTX puts the type.
    pub(super) fn last(&mut self) -> Result<&'a str, ParseError> {
        let last = (0..self.instruction.modifiers.len()).rev().find(|&i| self.used >> i & 1 == 0);
        match last {
            Some(i) => {
                self.used |= 1 << i;
                Ok(&self.instruction.modifiers[i])
            }
            None => self.error(format!("{} needs a type", self.opcode())),
        }
    }

    /// Consumes the last modifier left as a fundamental type.
    pub(super) fn ty(&mut self) -> Result<Type, ParseError> {
        let name = self.last()?;
        match Type::from_name(name) {
            Some(ty) => Ok(ty),
            None => self.error(format!("{} with .{name} is not supported", self.opcode())),
        }
    }

    /// Consumes a rounding direction of a floating-point result.
    pub(super) fn rounding(&mut self) -> Option<Rounding> {
        self.choice(&[
            ("rn", Rounding::Nearest),
            ("rz", Rounding::Zero),
            ("rm", Rounding::Down),
            ("rp", Rounding::Up),
        ])
    }

    fn opcode(&self) -> &str {
        &self.instruction.opcode
    }

    pub(super) fn error<T>(&self, message: impl Into<String>) -> Result<T, ParseError> {
        Err(ParseError { pos: self.instruction.pos, message: message.into() })
    }

    /// Fails if a modifier was not consumed.
    pub(super) fn finish(&self) -> Result<(), ParseError> {
        let left = (0..self.instruction.modifiers.len()).find(|&i| self.used >> i & 1 == 0);
        match left {
            None => Ok(()),
            Some(i) => self.error(format!(
                "modifier .{} of {:?} is not supported",
                self.instruction.modifiers[i], self.instruction.text
            )),
        }
    }
}
