//! Where the result of an instruction goes, and where its operands come from.

use std::collections::BTreeSet;

/// One statement of a kernel.
#[derive(Clone, Debug)]
pub(super) struct Statement<'a> {
    pub(super) line: usize,
    pub(super) opcode: &'a str,
    /// Operands as written, the destination first. Names of inner scopes carry their scope.
    operands: Vec<String>,
}

impl Statement<'_> {
    /// Whether the first operand is written.
    fn writes(&self) -> bool {
        !["st.", "red.", "bra", "ret", "bar", "fence"]
            .iter()
            .any(|name| self.opcode.starts_with(name))
    }

    pub(super) fn reads(&self, register: &str) -> bool {
        let sources = if self.writes() { 1 } else { 0 };
        self.operands.iter().skip(sources).any(|operand| mentions(operand, register))
    }

    pub(super) fn destinations(&self) -> Vec<String> {
        let first = self.operands.first().filter(|_| self.writes());
        first.map_or_else(Vec::new, |first| names(first))
    }
}

fn names(operand: &str) -> Vec<String> {
    let name = |c: char| c.is_alphanumeric() || "%_$@".contains(c);
    let names = operand.split(|c| !name(c)).filter(|name| !name.is_empty() && *name != "_");
    names.map(str::to_owned).collect()
}

fn mentions(operand: &str, register: &str) -> bool {
    names(operand).iter().any(|name| name == register)
}

/// Splits operands at commas outside of brackets.
pub(super) fn split(operands: &str) -> Vec<String> {
    let (mut depth, mut parts) = (0, vec![String::new()]);
    for c in operands.chars() {
        depth += i32::from("{[(".contains(c)) - i32::from("}])".contains(c));
        match c {
            ',' | '|' if depth == 0 => parts.push(String::new()),
            _ => parts.last_mut().expect("there is one").push(c),
        }
    }
    parts.into_iter().map(|part| part.trim().to_owned()).filter(|part| !part.is_empty()).collect()
}

/// The statements of a text's kernel. Guards are left out: they are no flow of values.
pub(super) fn statements(text: &str) -> Vec<Statement<'_>> {
    let first = text.lines().position(|line| line.starts_with('{')).unwrap_or(0);
    let (mut out, mut scope) = (Vec::new(), 0);
    for (line, code) in text.lines().enumerate().skip(first + 1) {
        scope += usize::from(code.contains("{ .reg"));
        for part in code.split(';') {
            let part = part.trim().trim_start_matches("{ ").trim_start_matches("} ").trim();
            let part = match part.strip_prefix('@') {
                Some(guarded) => guarded.split_once(' ').map_or("", |(_, rest)| rest),
                None => part,
            };
            let Some((opcode, operands)) = part.split_once([' ', '\t']) else { continue };
            if opcode.starts_with('.') || opcode.ends_with(':') {
                continue;
            }
            let local = |name: &str| name.starts_with(|c: char| c.is_ascii_lowercase());
            let scoped = |operand: String| {
                let locals = names(&operand).into_iter().filter(|name| local(name));
                locals.fold(operand, |operand, name| {
                    replaced(&operand, &name, &format!("{name}@{scope}"))
                })
            };
            let operands = split(operands).into_iter().map(scoped).collect();
            out.push(Statement { line: line + 1, opcode, operands });
        }
    }
    out
}

/// `operand` with one whole name replaced.
pub(super) fn replaced(operand: &str, from: &str, to: &str) -> String {
    let name = |c: char| c.is_alphanumeric() || "%_$@".contains(c);
    let (mut out, mut word) = (String::new(), String::new());
    for c in operand.chars().chain([' ']) {
        if name(c) {
            word.push(c);
        } else {
            out.push_str(if word == from { to } else { &word });
            word.clear();
            out.push(c);
        }
    }
    out.trim_end().to_owned()
}

/// Whether the result of the instruction on a line gets to comparisons only, and one of them is
/// `|difference| > uncertainty`, both sides of which depend on it.
pub(super) fn certified(text: &str, line: u32) -> bool {
    let statements = statements(text);
    let start = statements.iter().filter(|statement| statement.line == line as usize);
    let mut open: Vec<String> = start.flat_map(Statement::destinations).collect();
    if open.is_empty() || open[0].starts_with("%p") {
        return false;
    }
    let mut compared = Vec::new();
    let mut seen = BTreeSet::new();
    while let Some(register) = open.pop() {
        if !seen.insert(register.clone()) {
            continue;
        }
        for reader in statements.iter().filter(|statement| statement.reads(&register)) {
            if reader.opcode.starts_with("setp") {
                compared.push(reader);
            } else if !reader.writes() || reader.opcode.starts_with("ld.") {
                return false;
            } else {
                open.extend(reader.destinations());
            }
        }
    }
    compared.iter().any(|compared| is_certainty(&statements, compared))
}

/// Whether a comparison is `|difference| > uncertainty`.
fn is_certainty(statements: &[Statement<'_>], compared: &Statement<'_>) -> bool {
    let is = |operand: &String, opcode| {
        definition(statements, operand).is_some_and(|made| made.opcode == opcode)
    };
    let [_, a, b, ..] = &compared.operands[..] else { return false };
    compared.opcode.starts_with("setp")
        && (is(a, "abs.f32") && is(b, "fma.rn.f32") || is(b, "abs.f32") && is(a, "fma.rn.f32"))
}

/// Whether the instruction on a line is that comparison.
pub(super) fn compares_certainty(text: &str, line: u32) -> bool {
    let statements = statements(text);
    let mut here = statements.iter().filter(|statement| statement.line == line as usize);
    here.any(|statement| is_certainty(&statements, statement))
}

/// The lines that read what an instruction gives, each with `operand` in the place of that.
pub(super) fn readers_with(text: &str, line: u32, operand: &str) -> Vec<(u32, String)> {
    let statements = statements(text);
    let start = statements.iter().filter(|statement| statement.line == line as usize);
    let registers: Vec<String> = start.flat_map(Statement::destinations).collect();
    let [register] = &registers[..] else { return Vec::new() };
    let readers = statements.iter().filter(|statement| statement.reads(register));
    let code = |at: usize| text.lines().nth(at - 1).unwrap_or_default().trim();
    readers.map(|s| (s.line as u32, replaced(code(s.line), register, operand))).collect()
}

/// The opcodes of the instructions that read what the instruction on a line gives.
pub(super) fn readers(text: &str, line: u32) -> Vec<String> {
    let statements = statements(text);
    let start = statements.iter().filter(|statement| statement.line == line as usize);
    let registers: Vec<String> = start.flat_map(Statement::destinations).collect();
    let reads = |statement: &&Statement<'_>| registers.iter().any(|name| statement.reads(name));
    statements.iter().filter(reads).map(|statement| statement.opcode.to_owned()).collect()
}

/// The one statement that writes a register.
fn definition<'a>(statements: &'a [Statement<'a>], register: &str) -> Option<&'a Statement<'a>> {
    let writes = |s: &&Statement<'_>| s.destinations().iter().any(|name| name == register);
    let mut all = statements.iter().filter(writes);
    all.next().filter(|_| all.next().is_none())
}

/// Registers that an instruction on a line reads, in the order of its text.
fn sources(statements: &[Statement<'_>], line: u32) -> Vec<String> {
    let here = statements.iter().filter(|s| s.line == line as usize);
    let sources = here.flat_map(|s| s.operands.iter().skip(usize::from(s.writes())));
    sources.flat_map(|operand| names(operand)).filter(|name| name.starts_with('%')).collect()
}

/// The bits of a register that may be set if bit 31 of no parameter is.
fn possible_bits(statements: &[Statement<'_>], register: &str) -> u64 {
    let Some(made) = definition(statements, register) else { return u64::MAX };
    let source = || made.operands.get(1).map_or(u64::MAX, |r| possible_bits(statements, r));
    let number = |at: usize| made.operands.get(at).and_then(|text| text.parse::<u64>().ok());
    match (made.opcode, number(2), number(3)) {
        (opcode, ..) if opcode.starts_with("ld.param") => !(1 << 31),
        ("shr.u32", Some(by @ 0..64), _) => (source() & 0xFFFF_FFFF) >> by,
        ("shr.u64", Some(by @ 0..64), _) => source() >> by,
        ("shl.b32" | "shl.b64", Some(by @ 0..64), _) => source() << by,
        ("and.b32" | "and.b64", Some(mask), _) => source() & mask,
        ("bfe.u32" | "bfe.u64", Some(at @ 0..64), Some(1)) => source() >> at & 1,
        ("cvt.u64.u32" | "cvt.u32.u64", ..) => source() & 0xFFFF_FFFF,
        _ => u64::MAX,
    }
}

/// Whether all registers that an instruction reads, or the one that it writes, are 0 if bit 31 of no
/// parameter is set.
pub(super) fn is_of_bit_31(text: &str, line: u32) -> bool {
    let statements = statements(text);
    let zero = |registers: Vec<String>| {
        let is_zero = |register| possible_bits(&statements, register) == 0;
        !registers.is_empty() && registers.iter().all(|register| is_zero(register))
    };
    let here = statements.iter().filter(|s| s.line == line as usize);
    zero(sources(&statements, line)) || zero(here.flat_map(Statement::destinations).collect())
}

/// Whether the result gets nowhere but, by way of registers, above the low byte of a word.
pub(super) fn goes_above_a_byte(text: &str, line: u32) -> bool {
    let statements = statements(text);
    let start = statements.iter().filter(|s| s.line == line as usize);
    let mut open: Vec<String> = start.flat_map(Statement::destinations).collect();
    let (mut seen, mut shifted) = (BTreeSet::new(), false);
    while let Some(register) = open.pop() {
        if !seen.insert(register.clone()) {
            continue;
        }
        for reader in statements.iter().filter(|statement| statement.reads(&register)) {
            if reader.opcode == "shl.b32" && reader.operands.get(2).is_some_and(|by| by == "8") {
                shifted = true;
            } else if !reader.writes()
                || ["setp", "ld."].iter().any(|o| reader.opcode.starts_with(o))
            {
                return false;
            } else {
                open.extend(reader.destinations());
            }
        }
    }
    shifted
}

/// Whether the instruction reads nothing but products of packed FP16, by way of bit operations.
pub(super) fn is_of_products(text: &str, line: u32) -> bool {
    let statements = statements(text);
    let (mut open, mut seen) = (sources(&statements, line), BTreeSet::new());
    while let Some(register) = open.pop() {
        let Some(made) = definition(&statements, &register) else { return false };
        match made.opcode {
            "mul.rn.f16x2" => {}
            "and.b32" | "or.b32" | "xor.b32" if seen.insert(register.clone()) => {
                let read = made.operands[1..].iter().flat_map(|operand| names(operand));
                open.extend(read.filter(|name| name.starts_with('%')));
            }
            "and.b32" | "or.b32" | "xor.b32" => {}
            _ => return false,
        }
    }
    !seen.is_empty()
}

/// Whether the instruction compares where a block of threads begins with something.
pub(super) fn is_block_bound(text: &str, line: u32) -> bool {
    let statements = statements(text);
    let read = sources(&statements, line);
    let begin = read.first().and_then(|register| definition(&statements, register));
    let block = begin
        .filter(|made| made.opcode == "shl.b32")
        .and_then(|made| definition(&statements, &made.operands[1]));
    block.is_some_and(|made| made.operands.get(1).is_some_and(|from| from.starts_with("%ctaid.")))
}

/// Whether the instruction compares a copy of a flag, 0 or 1, with 0.
pub(super) fn tests_a_flag(text: &str, line: u32) -> bool {
    let statements = statements(text);
    let mut from = sources(&statements, line);
    let Some(mut register) = from.pop().filter(|_| from.is_empty()) else { return false };
    while let Some(made) = definition(&statements, &register) {
        match (made.opcode, &made.operands[1..]) {
            ("mov.b32", [source]) => register.clone_from(source),
            ("selp.b32", [one, zero, _]) => return one == "1" && zero == "0",
            _ => return false,
        }
    }
    false
}

/// Whether the instruction compares a difference with 0 that counts only if its magnitude is above
/// another value.
pub(super) fn is_sign_of_certain(text: &str, line: u32) -> bool {
    let statements = statements(text);
    let [difference] = &sources(&statements, line)[..] else { return false };
    let magnitudes = statements.iter().filter(|s| s.opcode == "abs.f32" && s.reads(difference));
    let mut compared = magnitudes
        .flat_map(|made| statements.iter().filter(|reader| reader.reads(&made.operands[0])));
    compared.any(|reader| is_certainty(&statements, reader))
}

/// Whether the instruction is `p · 1/d` of a division by 6·A, both factors of which a flag chooses.
pub(super) fn is_quotient(text: &str, line: u32) -> bool {
    let statements = statements(text);
    sources(&statements, line).iter().any(|register| {
        definition(&statements, register).is_some_and(|made| {
            made.opcode == "selp.f32" && made.operands[1..3] == ["0f39C30C31", "0f3A2AAAAB"]
        })
    })
}
