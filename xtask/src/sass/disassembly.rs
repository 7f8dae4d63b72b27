//! The text of `nvdisasm -c` as basic blocks.

use std::collections::BTreeMap;

/// A machine instruction.
#[derive(Debug, Clone)]
pub(crate) struct Instruction {
    /// `@P0`, or nothing.
    pub(crate) guard: String,
    /// The mnemonic with its suffixes.
    pub(crate) opcode: String,
    /// What follows.
    pub(crate) operands: String,
}

impl Instruction {
    /// The mnemonic without suffixes.
    pub(crate) fn mnemonic(&self) -> &str {
        self.opcode.split('.').next().unwrap_or_default()
    }

    pub(crate) fn has(&self, suffix: &str) -> bool {
        self.opcode.split('.').any(|part| part == suffix)
    }

    /// The label in `` `(label) ``.
    fn target(&self) -> Option<&str> {
        self.operands.split_once("`(")?.1.split(')').next()
    }

    /// Whether a branch depends on anything: a guard, or an operand before its target.
    pub(crate) fn conditional(&self) -> bool {
        let before = self.operands.split("`(").next().unwrap_or_default().trim();
        !self.guard.is_empty() || !before.is_empty()
    }
}

/// Instructions that are entered at the first and left after the last.
#[derive(Debug, Clone, Default)]
pub(crate) struct Block {
    pub(crate) instructions: Vec<Instruction>,
    /// Indices of the blocks that may follow.
    pub(crate) successors: Vec<usize>,
    /// The subroutine that the last instruction calls.
    pub(crate) calls: Option<usize>,
    /// Whether the thread may end here.
    pub(crate) exits: bool,
    /// Whether a subroutine may return here.
    pub(crate) returns: bool,
}

/// Reads the code of a kernel. The first block is the entry.
pub(crate) fn parse(text: &str) -> Result<Vec<Block>, String> {
    let mut blocks = vec![Block::default()];
    let mut labels = BTreeMap::new();
    for line in text.lines() {
        if let Some(label) = line.strip_suffix(':') {
            if !label.starts_with(char::is_whitespace) {
                if !blocks[blocks.len() - 1].instructions.is_empty() {
                    blocks.push(Block::default());
                }
                labels.insert(label.to_owned(), blocks.len() - 1);
            }
        } else if let Some(instruction) = instruction(line) {
            let ends =
                ["BRA", "EXIT", "CALL", "RET", "BRX", "JMX"].contains(&instruction.mnemonic());
            let last = blocks.len() - 1;
            blocks[last].instructions.push(instruction);
            if ends {
                blocks.push(Block::default());
            }
        }
    }
    connect(&mut blocks, &labels)?;
    Ok(blocks)
}

fn instruction(line: &str) -> Option<Instruction> {
    let (_, rest) = line.trim_start().strip_prefix("/*")?.split_once("*/")?;
    let rest = rest.trim().trim_end_matches(';').trim();
    let (guard, rest) = match rest.strip_prefix('@') {
        Some(guarded) => guarded.split_once(char::is_whitespace)?,
        None => ("", rest),
    };
    let rest = rest.trim();
    let (opcode, operands) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
    Some(Instruction {
        guard: guard.to_owned(),
        opcode: opcode.to_owned(),
        operands: operands.trim().to_owned(),
    })
}

fn connect(blocks: &mut [Block], labels: &BTreeMap<String, usize>) -> Result<(), String> {
    let count = blocks.len();
    for (i, block) in blocks.iter_mut().enumerate() {
        let Some(last) = block.instructions.last() else { continue };
        let target = || {
            let label =
                last.target().ok_or(format!("no target: {} {}", last.opcode, last.operands))?;
            labels.get(label).copied().ok_or(format!("unknown label {label}"))
        };
        let next = (i + 1 < count).then_some(i + 1);
        match last.mnemonic() {
            "BRA" => {
                block.successors.push(target()?);
                if last.conditional() {
                    block.successors.extend(next);
                }
            }
            "EXIT" => {
                block.exits = true;
                if last.conditional() {
                    block.successors.extend(next);
                }
            }
            "CALL" => {
                block.calls = Some(target()?);
                block.successors.extend(next);
            }
            "RET" => {
                block.returns = true;
                if !last.guard.is_empty() {
                    block.successors.extend(next);
                }
            }
            "BRX" | "JMX" => return Err("an indirect branch".to_owned()),
            _ => block.successors.extend(next),
        }
    }
    Ok(())
}
