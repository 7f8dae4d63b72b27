//! The `.global` and `.const` variables of a module: where they lie and what they hold at first.

use std::collections::HashMap;

use super::ast::{Init, ParseError, Space, Text};
use super::window;

/// The placed variables of one module.
#[derive(Debug, Default)]
pub(super) struct Statics {
    base: u64,
    addresses: HashMap<String, (Space, u64)>,
    /// Initial bytes from `base` on. Variables without an initializer start as zero, as CUDA does.
    pub(super) bytes: Vec<u8>,
}

impl Statics {
    /// Places the variables of `text`, the `module`-th module of this process.
    pub(super) fn place(text: &Text, module: u64) -> Result<Self, ParseError> {
        let mut out =
            Self { base: window::STATICS + module * window::STATICS_STRIDE, ..Self::default() };
        let placed = |space| matches!(space, Space::Global | Space::Const);
        let mut end = out.base;
        for variable in text.variables.iter().filter(|v| placed(v.space)) {
            let address = end.next_multiple_of(u64::from(variable.align));
            end = address + variable.bytes();
            out.addresses.insert(variable.name.clone(), (variable.space, address));
        }
        out.bytes = vec![0; (end - out.base) as usize];
        for variable in text.variables.iter().filter(|v| placed(v.space)) {
            let (_, address) = out.addresses[&variable.name];
            let size = variable.element.bytes() as usize;
            for (i, init) in variable.init.iter().enumerate() {
                let value = match init {
                    Init::Number(value) => *value,
                    Init::Address { symbol, offset } => match out.addresses.get(symbol) {
                        Some((_, target)) => target.wrapping_add_signed(*offset),
                        None => {
                            let message = format!("{symbol:?} is not a variable of this module");
                            return Err(ParseError { pos: variable.pos, message });
                        }
                    },
                };
                let at = (address - out.base) as usize + i * size;
                let Some(slot) = out.bytes.get_mut(at..at + size) else {
                    let message = format!("more initial values than {:?} holds", variable.name);
                    return Err(ParseError { pos: variable.pos, message });
                };
                slot.copy_from_slice(&value.to_le_bytes()[..size]);
            }
        }
        Ok(out)
    }

    /// The space and generic address of a variable.
    pub(super) fn address(&self, name: &str) -> Option<(Space, u64)> {
        self.addresses.get(name).copied()
    }

    /// The address of the first byte.
    pub(super) fn base(&self) -> u64 {
        self.base
    }
}
