//! Single-instruction mutations of PTX text.

use fouroversix_ptx_executor::Pos;

use crate::rng::Rng;

/// A module with one instruction changed.
#[derive(Clone, Debug)]
pub struct Mutant {
    /// Where.
    pub pos: Pos,
    /// The line as it was.
    pub from: String,
    /// The line as it is.
    pub to: String,
    /// The whole text.
    pub text: String,
}

/// Draws mutations from a seed.
#[derive(Debug)]
pub struct Mutator(Rng);

/// What can be put in place of an opcode or a modifier, in the same position.
const SWAPS: [(&str, &str); 44] = [
    ("add.rn.f32 ", "sub.rn.f32 "),
    ("sub.rn.f32 ", "add.rn.f32 "),
    ("mul.rn.f32 ", "add.rn.f32 "),
    ("add.rn.f32 ", "add.rz.f32 "),
    ("mul.rn.f32 ", "mul.rz.f32 "),
    ("sub.rn.f32 ", "sub.rp.f32 "),
    ("fma.rn.f32 ", "fma.rz.f32 "),
    ("fma.rn.f32 ", "fma.rp.f32 "),
    ("fma.rn.f32 ", "fma.rm.f32 "),
    ("div.rn.f32 ", "div.rz.f32 "),
    ("rcp.rn.f32 ", "rcp.rz.f32 "),
    ("min.f32 ", "max.f32 "),
    ("max.f32 ", "min.f32 "),
    ("abs.f32 ", "neg.f32 "),
    ("neg.f32 ", "abs.f32 "),
    ("and.b32 ", "or.b32 "),
    ("or.b32 ", "xor.b32 "),
    ("xor.b32 ", "or.b32 "),
    ("shl.b32 ", "shr.b32 "),
    ("shr.u32 ", "shl.b32 "),
    ("add.s32 ", "sub.s32 "),
    ("sub.s32 ", "add.s32 "),
    ("add.s64 ", "sub.s64 "),
    ("setp.lt", "setp.le"),
    ("setp.le", "setp.lt"),
    ("setp.gt", "setp.ge"),
    ("setp.ge", "setp.gt"),
    ("setp.eq", "setp.ne"),
    ("setp.ne", "setp.eq"),
    ("setp.ltu", "setp.lt"),
    ("setp.gtu", "setp.gt"),
    ("setp.leu", "setp.le"),
    ("setp.geu", "setp.ge"),
    ("setp.neu", "setp.ne"),
    ("cvt.rn.f16x2.f32", "cvt.rz.f16x2.f32"),
    ("mul.rn.f32x2", "mul.rz.f32x2"),
    ("fma.rn.f32x2", "fma.rz.f32x2"),
    ("fma.rn.f32x2", "fma.rp.f32x2"),
    ("max.xorsign.abs.f16x2", "min.xorsign.abs.f16x2"),
    ("max.xorsign.abs.bf16x2", "min.xorsign.abs.bf16x2"),
    ("sub.rn.f32.f16", "add.rn.f32.f16"),
    ("redux.sync.max", "redux.sync.min"),
    ("@%p", "@!%p"),
    ("@!%p", "@%p"),
];

impl Mutator {
    /// A source of mutations that is the same for the same seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(Rng::new(seed))
    }

    /// A number below `count`.
    pub fn below(&mut self, count: usize) -> usize {
        (self.0.bits() % count.max(1) as u64) as usize
    }

    /// Changes one instruction of `text`; `None` if the line drawn offers nothing to change.
    pub fn mutate(&mut self, text: &str) -> Option<Mutant> {
        let lines: Vec<&str> = text.lines().collect();
        let first = lines.iter().position(|line| line.starts_with('{'))?;
        let number = first + self.below(lines.len() - first);
        let line = lines[number];
        let code = line.trim();
        // Declarations, labels and hints are no instructions; a copy to nowhere is no change.
        if code.starts_with(['.', '/', '$', '{', '}']) || !code.ends_with(';') {
            return None;
        }
        let to = match self.below(3) {
            0 => self.swap_opcode(line),
            1 => self.swap_operands(line),
            _ => self.change_constant(line),
        }?;
        let mut changed: Vec<&str> = lines.clone();
        changed[number] = &to;
        let text = changed.join("\n");
        let pos = Pos { line: number as u32 + 1, column: 1 };
        Some(Mutant { pos, from: code.to_owned(), to: to.trim().to_owned(), text })
    }

    fn swap_opcode(&mut self, line: &str) -> Option<String> {
        let spaced = line.replace('\t', " ");
        let usable: Vec<&(&str, &str)> =
            SWAPS.iter().filter(|(from, _)| spaced.contains(from)).collect();
        let (from, to) = usable.get(self.below(usable.len()))?;
        Some(spaced.replacen(from, to, 1))
    }

    /// Exchanges two sources, or takes one of them twice.
    fn swap_operands(&mut self, line: &str) -> Option<String> {
        let (head, tail) = line.trim_end().trim_end_matches(';').split_once(", ")?;
        if head.contains(['{', '[']) || tail.contains(['{', '[', '(']) {
            return None;
        }
        let mut operands: Vec<&str> = tail.split(", ").collect();
        if operands.len() < 2 || operands[0] == operands[1] {
            return None;
        }
        let commutes = ["add", "mul", "max", "min", "and", "or", "xor", "fma"];
        let opcode = head.trim().trim_start_matches(|c: char| c != ' ' && line.contains('@'));
        if commutes.iter().any(|name| opcode.trim().starts_with(name)) || self.below(2) == 0 {
            operands[0] = operands[1];
        } else {
            operands.swap(0, 1);
        }
        Some(format!("{head}, {};", operands.join(", ")))
    }

    /// Moves a literal by one, or flips one of its bits.
    fn change_constant(&mut self, line: &str) -> Option<String> {
        let code = line.trim_end().strip_suffix(';')?;
        let (head, literal) = code.rsplit_once(", ")?;
        if let Some(hex) = literal.strip_prefix("0f") {
            let bits = u32::from_str_radix(hex, 16).ok()?;
            let changed = if self.below(2) == 0 { bits ^ 1 } else { bits ^ 1 << self.below(32) };
            return Some(format!("{head}, 0f{changed:08X};"));
        }
        let value: i64 = literal.parse().ok()?;
        let changed = match self.below(3) {
            0 => value.wrapping_add(1),
            1 => value.wrapping_sub(1),
            _ => value ^ 1 << self.below(8),
        };
        Some(format!("{head}, {changed};"))
    }
}
