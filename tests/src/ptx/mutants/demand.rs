//! Which bits of a register matter: those that may get to memory, to a condition or to an address.

use std::collections::HashMap;

use super::flow::{Statement, lines_for_no_turn, names, statements};

/// The halves of a pair of 16 bits each, and of a pair of bytes.
const HALVES: [u64; 2] = [0xFFFF, 0xFFFF_0000];
const BYTES: [u64; 2] = [0xFF, 0xFF00];

/// The bits of every register that matter. What is not in it matters nowhere.
#[derive(Debug)]
pub(super) struct Demand(HashMap<String, u64>);

impl Demand {
    /// Of a kernel's text.
    pub(super) fn of(text: &str) -> Self {
        let mut demand = Self(guards(text));
        let statements = that_matter(text);
        let mut grows = true;
        while grows {
            grows = false;
            for statement in statements.iter().rev() {
                for (register, bits) in needs(statement, &demand) {
                    let known = demand.0.entry(register).or_default();
                    grows |= bits & !*known != 0;
                    *known |= bits;
                }
            }
        }
        demand
    }

    pub(super) fn bits(&self, register: &str) -> u64 {
        self.0.get(register).copied().unwrap_or(0)
    }
}

/// The conditions of instructions.
fn guards(text: &str) -> HashMap<String, u64> {
    let guard = |part: &str| {
        let guarded = part.trim().strip_prefix('@')?.trim_start_matches('!');
        guarded.split([' ', '\t']).next().map(|predicate| (predicate.to_owned(), u64::MAX))
    };
    text.split(['\n', ';']).filter_map(guard).collect()
}

/// The halves of what an instruction that packs two numbers gives, the lower one first.
fn packed_halves(opcode: &str) -> Option<[u64; 2]> {
    let packs = |pair: &str| opcode.starts_with("cvt.") && opcode.ends_with(pair);
    if packs(".e4m3x2.f32") { Some(BYTES) } else { packs(".f16x2.f32").then_some(HALVES) }
}

/// What a statement needs of the registers that it reads, given what is needed of those that it writes.
fn needs(statement: &Statement<'_>, demand: &Demand) -> Vec<(String, u64)> {
    let Statement { opcode, operands, .. } = statement;
    let written = statement.destinations();
    let wanted = written.iter().fold(0, |all, name| all | demand.bits(name));
    let number = |at: usize| operands.get(at).and_then(|text| text.parse::<i64>().ok());
    let shift = number(2).filter(|by| (0..64).contains(by));
    let mut out = Vec::new();
    let mut need = |at: usize, bits: u64| {
        let read = operands.get(at).map_or_else(Vec::new, |operand| names(operand));
        out.extend(read.into_iter().map(|name| (name, bits)));
    };
    let width = if opcode.ends_with("64") { u64::MAX } else { 0xFFFF_FFFF };
    let name = opcode.split('.').next().unwrap_or_default();
    let packed = opcode.ends_with("f16x2") && !opcode.starts_with("cvt");
    match name {
        "st" => {
            need(0, u64::MAX);
            let size = opcode.rsplit('.').next().unwrap_or_default();
            need(
                1,
                match size {
                    "u8" | "b8" => 0xFF,
                    "u16" | "b16" => 0xFFFF,
                    _ => u64::MAX,
                },
            );
        }
        _ if !statement.writes() => (0..operands.len()).for_each(|at| need(at, u64::MAX)),
        // Addresses must be good, and what lanes tell each other is for all.
        "vote" | "redux" | "ld" | "atom" => {
            (1..operands.len()).for_each(|at| need(at, u64::MAX));
        }
        _ if wanted == 0 => {}
        "and" | "or" if number(2).is_some() => {
            let mask = number(2).unwrap_or(0) as u64;
            need(1, wanted & if name == "and" { mask } else { !mask });
        }
        "and" | "or" | "xor" | "not" => (1..3).for_each(|at| need(at, wanted)),
        "shl" if shift.is_some() => need(1, (wanted & width) >> shift.unwrap_or(0)),
        "shr" if shift.is_some() && !opcode.contains(".s") => {
            need(1, wanted << shift.unwrap_or(0) & width);
        }
        "add" | "sub" | "mad" | "mul"
            if [".s32", ".u32", ".s64", ".u64"].iter().any(|t| opcode.ends_with(t))
                && !opcode.contains(".hi")
                && !opcode.contains(".wide") =>
        {
            // A bit of a sum depends on those at and below it.
            let below = u64::MAX >> wanted.leading_zeros();
            (1..4).for_each(|at| need(at, below));
        }
        "selp" => {
            need(1, wanted);
            need(2, wanted);
            need(3, u64::MAX);
        }
        "bfe" => match (number(2), number(3)) {
            (Some(at @ 0..64), Some(bits @ 0..64)) => need(1, (wanted & ((1 << bits) - 1)) << at),
            _ => need(1, u64::MAX),
        },
        "prmt" => match number(3) {
            Some(selector) => {
                let mut bits = [0; 2];
                for byte in (0..4).filter(|byte| wanted >> (8 * byte) & 0xFF != 0) {
                    let from = selector >> (4 * byte) & 7;
                    bits[from as usize / 4] |= 0xFF << (8 * (from % 4));
                }
                need(1, bits[0]);
                need(2, bits[1]);
            }
            None => (1..4).for_each(|at| need(at, u64::MAX)),
        },
        "mov"
            if operands[0].starts_with('{')
                || operands.get(1).is_some_and(|o| o.starts_with('{')) =>
        {
            let piece = if opcode.ends_with("64") { 32 } else { 16 };
            let lanes = |operand: &str| -> Vec<String> {
                operand
                    .trim_matches(['{', '}'])
                    .split(',')
                    .map(|part| part.trim().to_owned())
                    .collect()
            };
            if operands[0].starts_with('{') {
                let parts = lanes(&operands[0]).into_iter().enumerate();
                let bits =
                    parts.map(|(i, part)| (demand.bits(&part) & ((1 << piece) - 1)) << (piece * i));
                need(1, bits.fold(0, |all, bits| all | bits));
            } else {
                for (i, part) in lanes(&operands[1]).into_iter().enumerate() {
                    out.push((part, wanted >> (piece * i) & ((1 << piece) - 1)));
                }
            }
        }
        "mov" => need(1, wanted),
        "shfl" => {
            need(1, wanted);
            (2..operands.len()).for_each(|at| need(at, u64::MAX));
        }
        "cvt" if packed_halves(opcode).is_some() => {
            let [low, high] = packed_halves(opcode).unwrap_or(HALVES);
            need(1, if wanted & high != 0 { u64::MAX } else { 0 });
            need(2, if wanted & low != 0 { u64::MAX } else { 0 });
        }
        "cvt" if ["cvt.u16.u32", "cvt.u32.u16"].contains(opcode) => need(1, wanted & 0xFFFF),
        "cvt" if ["cvt.u64.u32", "cvt.u32.u64"].contains(opcode) => need(1, wanted & 0xFFFF_FFFF),
        _ if packed => {
            let halves =
                HALVES.iter().filter(|half| wanted & **half != 0).fold(0, |all, half| all | half);
            (1..4).for_each(|at| need(at, halves));
        }
        _ => (1..operands.len()).for_each(|at| need(at, u64::MAX)),
    }
    out
}

/// The bits in which the results of two instructions may differ, of which one was made out of the other.
fn may_differ(from: &Statement<'_>, to: &Statement<'_>) -> u64 {
    let same = |at: usize| from.operands.get(at) == to.operands.get(at);
    let number =
        |s: &Statement<'_>, at: usize| s.operands.get(at).and_then(|text| text.parse::<i64>().ok());
    if from.opcode != to.opcode {
        return u64::MAX;
    }
    let last = from.operands.len() - 1;
    let constants = number(from, last).zip(number(to, last)).filter(|_| (1..last).all(same));
    match (from.opcode, constants) {
        ("and.b32" | "or.b32" | "xor.b32" | "and.b64" | "or.b64" | "xor.b64", Some((a, b))) => {
            (a ^ b) as u64
        }
        ("prmt.b32", Some((a, b))) => {
            let differ = |byte: &i64| (a ^ b) >> (4 * byte) & 15 != 0;
            (0..4).filter(differ).fold(0, |all, byte| all | 0xFF << (8 * byte))
        }
        (opcode, _) if let Some([low, high]) = packed_halves(opcode) => {
            (if same(1) { 0 } else { high }) | (if same(2) { 0 } else { low })
        }
        _ => u64::MAX,
    }
}

/// A text's statements but for those that prepare a turn of a loop which never comes.
fn that_matter(text: &str) -> Vec<Statement<'_>> {
    let for_no_turn = lines_for_no_turn(text);
    let mut all = statements(text);
    all.retain(|statement| !for_no_turn.contains(&statement.line));
    all
}

/// Whether the bits in which a changed instruction's result may differ matter nowhere: masked or shifted
/// out, above the byte that is stored, for a turn of a loop that never comes, or of a result that nothing
/// reads. `changed` is the changed text.
pub(super) fn differs_where_nothing_matters(text: &str, changed: &str, line: u32) -> bool {
    if lines_for_no_turn(text).contains(&(line as usize)) {
        return true;
    }
    let (before, after) = (that_matter(text), that_matter(changed));
    let here = |all: &[Statement<'_>]| -> Vec<usize> {
        (0..all.len()).filter(|i| all[*i].line == line as usize).collect()
    };
    let (Ok([from]), Ok([to])) =
        (<[usize; 1]>::try_from(here(&before)), <[usize; 1]>::try_from(here(&after)))
    else {
        return false;
    };
    let (from, to) = (&before[from], &after[to]);
    let pure = !["ld", "atom", "redux", "vote"].iter().any(|name| from.opcode.starts_with(name));
    let (written, again) = (from.destinations(), to.destinations());
    let [register] = &written[..] else { return false };
    let of = |text: &str| Demand::of(text).bits(register);
    pure && written == again
        && !from.opcode.starts_with("setp")
        && (of(text) | of(changed)) & may_differ(from, to) == 0
}

/// The bits of what a line writes that matter.
pub(super) fn of_result(text: &str, line: u32) -> u64 {
    let statements = statements(text);
    let here = statements.iter().filter(|statement| statement.line == line as usize);
    let written: Vec<String> = here.flat_map(Statement::destinations).collect();
    let demand = Demand::of(text);
    written.iter().map(|name| demand.bits(name)).fold(0, |all, bits| all | bits)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A byte of a word is stored: nothing above it matters, nor what is only put there.
    const BYTE: &str = "\
{
ld.param.b64 %rd1, [p];
mov.b32 %r1, 5;
prmt.b32 %r2, %r1, %r1, 12816;
add.s32 %r3, %r1, 7;
shl.b32 %r4, %r3, 8;
or.b32 %r5, %r4, %r2;
st.global.u8 [%rd1], %r5;
ret;
}";

    fn harmless(from: &str, to: &str) -> bool {
        let line = BYTE.lines().position(|line| line == from).expect("a line") as u32 + 1;
        differs_where_nothing_matters(BYTE, &BYTE.replace(from, to), line)
    }

    #[test]
    fn what_is_above_the_stored_byte_does_not_matter() {
        assert!(harmless("add.s32 %r3, %r1, 7;", "add.s32 %r3, %r1, 9;"));
        assert!(!harmless("prmt.b32 %r2, %r1, %r1, 12816;", "prmt.b32 %r2, %r1, %r1, 12817;"));
        assert!(harmless("prmt.b32 %r2, %r1, %r1, 12816;", "prmt.b32 %r2, %r1, %r1, 8720;"));
    }

    /// An asynchronous copy writes to memory, not to a register.
    #[test]
    fn addresses_of_copies_matter() {
        let copy = "add.s32 %r6, %r1, 16;\ncp.async.cg.shared.global [%r6], [%rd1], 16, %r1;\nret;";
        let text = BYTE.replace("ret;", copy);
        let line =
            text.lines().position(|line| line.starts_with("add.s32 %r6")).expect("it is there");
        let changed = text.replace("%r1, 16;\n", "%r1, 17;\n");
        assert!(!differs_where_nothing_matters(&text, &changed, line as u32 + 1));
    }

    #[test]
    fn the_stored_byte_matters() {
        assert!(!harmless("mov.b32 %r1, 5;", "mov.b32 %r1, 6;"));
        assert!(!harmless("shl.b32 %r4, %r3, 8;", "shl.b32 %r4, %r3, 7;"));
        assert!(!harmless("or.b32 %r5, %r4, %r2;", "xor.b32 %r5, %r4, %r2;"));
    }
}
