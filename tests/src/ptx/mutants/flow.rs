//! Where the result of an instruction goes, and kernels that check a changed instruction against its
//! original as they run.

use std::collections::{BTreeMap, BTreeSet};

/// One statement of a kernel.
#[derive(Clone, Debug)]
struct Statement<'a> {
    line: usize,
    opcode: &'a str,
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

    fn reads(&self, register: &str) -> bool {
        let sources = if self.writes() { 1 } else { 0 };
        self.operands.iter().skip(sources).any(|operand| mentions(operand, register))
    }

    fn destinations(&self) -> Vec<String> {
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
fn split(operands: &str) -> Vec<String> {
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
fn statements(text: &str) -> Vec<Statement<'_>> {
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
fn replaced(operand: &str, from: &str, to: &str) -> String {
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
    let (mut made_by, mut compared) = (BTreeMap::new(), Vec::new());
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
                for destination in reader.destinations() {
                    made_by.insert(destination.clone(), reader.opcode);
                    open.push(destination);
                }
            }
        }
    }
    let is = |operand: &String, opcode| made_by.get(operand).is_some_and(|made| *made == opcode);
    compared.iter().any(|compared| {
        let [_, a, b, ..] = &compared.operands[..] else { return false };
        is(a, "abs.f32") && is(b, "fma.rn.f32") || is(b, "abs.f32") && is(a, "fma.rn.f32")
    })
}

/// The opcodes of the instructions that read what the instruction on a line gives.
pub(super) fn readers(text: &str, line: u32) -> Vec<String> {
    let statements = statements(text);
    let start = statements.iter().filter(|statement| statement.line == line as usize);
    let registers: Vec<String> = start.flat_map(Statement::destinations).collect();
    let reads = |statement: &&Statement<'_>| registers.iter().any(|name| statement.reads(name));
    statements.iter().filter(reads).map(|statement| statement.opcode.to_owned()).collect()
}

/// The kernel with the changed instruction beside the original, and a trap where they differ.
/// `None` where that can't be written: branches, stores, vectors.
pub(super) fn compared(text: &str, line: u32, changed: &str) -> Option<String> {
    let original = text.lines().nth(line as usize - 1)?.trim();
    let register = destination(original)?;
    let (_, shadow) = shadow(changed, &register)?;
    let check = check(&register, &shadow.1)?;
    let both = format!("{}\n{original}\n{check}", shadow.0);
    Some(with_lines(text, &[(line, both)], &[&register]))
}

/// The kernel with the changed instruction's result beside the original's, both given to every
/// instruction that reads it, and a trap where any of those gives something else.
pub(super) fn readers_compared(text: &str, line: u32, changed: &str) -> Option<String> {
    let original = text.lines().nth(line as usize - 1)?.trim();
    let register = destination(original)?;
    let (_, (code, result)) = shadow(changed, &register)?;
    let statements = statements(text);
    if register.starts_with("%p") {
        return None;
    }
    let definitions = statements.iter().filter(|s| s.destinations().contains(&register)).count();
    if definitions != 1 {
        return None;
    }
    let mut changes = vec![(line, format!("{code}\n{original}"))];
    let mut registers = vec![register.clone()];
    for reader in statements.iter().filter(|statement| statement.reads(&register)) {
        let reading = text.lines().nth(reader.line - 1)?.trim();
        let written = destination(reading)?;
        let (_, (again, other)) = shadow(&replaced(reading, &register, &result), &written)?;
        // A register that an instruction reads and writes can't be read again after it.
        changes.push((
            reader.line as u32,
            format!("{again}\n{reading}\n{}", check(&written, &other)?),
        ));
        registers.push(written);
    }
    let registers: Vec<&str> = registers.iter().map(String::as_str).collect();
    (changes.len() > 1).then(|| with_lines(text, &changes, &registers))
}

/// The kernel with the changed instruction's result beside the original's, both followed through bit
/// operations to comparisons for equality, and a trap where only the changed one is equal.
/// `None` where the result gets anywhere else.
pub(super) fn fewer_equalities(text: &str, line: u32, changed: &str) -> Option<String> {
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    let register = destination(lines[line as usize - 1])?;
    let statements = statements(text);
    let mut followed = vec![register.clone()];
    let (mut passed, mut compared) = (BTreeSet::new(), BTreeSet::new());
    let mut next = 0;
    while let Some(register) = followed.get(next).cloned() {
        next += 1;
        for reader in statements.iter().filter(|statement| statement.reads(&register)) {
            let written = destination(lines[reader.line - 1])?;
            if reader.opcode.starts_with("setp.eq.b") {
                compared.insert(reader.line);
            } else if ["and.b32", "or.b32", "xor.b32", "mul.rn.f16x2"].contains(&reader.opcode) {
                passed.insert(reader.line);
            } else {
                return None;
            }
            if reader.opcode.starts_with("setp") || followed.contains(&written) {
                continue;
            }
            followed.push(written);
        }
    }
    // The values of tied candidates are products of packed FP16.
    let packed = |at: &usize| lines[at - 1].starts_with("mul.rn.f16x2");
    let start = line as usize;
    if compared.is_empty() || !passed.iter().chain([&start]).any(packed) {
        return None;
    }
    let beside = |code: &str| {
        let written = destination(code)?;
        let again = followed.iter().fold(code.to_owned(), |code, register| {
            replaced(&code, register, &shadow_of(register))
        });
        let (_, (again, other)) = shadow(&again, &written)?;
        Some((again, written, other))
    };
    let (_, (code, _)) = shadow(changed, &register)?;
    let mut changes = vec![(line, format!("{code}\n{}", lines[line as usize - 1]))];
    for at in passed {
        let (again, ..) = beside(lines[at - 1])?;
        changes.push((at as u32, format!("{again}\n{}", lines[at - 1])));
    }
    let mut predicates = Vec::new();
    for at in compared {
        let (again, written, other) = beside(lines[at - 1])?;
        let check = fewer_true(&written, &other)?;
        changes.push((at as u32, format!("{again}\n{}\n{check}", lines[at - 1])));
        predicates.push(written);
    }
    let registers: Vec<&str> = followed.iter().chain(&predicates).map(String::as_str).collect();
    Some(with_lines(text, &changes, &registers))
}

/// The one register that an unguarded, simple instruction writes.
fn destination(code: &str) -> Option<String> {
    let (opcode, operands) = code.split_once([' ', '\t'])?;
    let stores =
        ["st.", "red.", "bra", "@", "{", "bar"].iter().any(|name| opcode.starts_with(name));
    let operands = split(operands.trim_end_matches(';'));
    let first = operands.first().filter(|first| first.starts_with('%') && !stores)?;
    Some(first.clone())
}

/// An instruction with another destination: its name, the code and the new register.
fn shadow(code: &str, register: &str) -> Option<(String, (String, String))> {
    let (opcode, operands) = code.split_once([' ', '\t'])?;
    let operands = split(operands.trim_end_matches(';'));
    let result = shadow_of(register);
    let rest = operands.get(1..)?.join(", ");
    Some((opcode.to_owned(), (format!("{opcode} {result}, {rest};"), result)))
}

fn shadow_of(register: &str) -> String {
    format!("%shadow_{}", &register[1..])
}

/// A trap where `other` holds and the predicate does not.
fn fewer_true(predicate: &str, other: &str) -> Option<String> {
    let more = format!("not.pred %differs, {predicate};\nand.pred %differs, %differs, {other};");
    predicate.starts_with("%p").then(|| format!("{more}\n@%differs trap;"))
}

/// A trap where two registers differ.
fn check(register: &str, other: &str) -> Option<String> {
    let kind = register[1..].trim_end_matches(|c: char| c.is_ascii_digit());
    let bits = match kind {
        "p" => return Some(format!("xor.pred %differs, {register}, {other};\n@%differs trap;")),
        "r" => 32,
        "rd" => 64,
        "rs" => 16,
        _ => return None,
    };
    Some(format!("setp.ne.b{bits} %differs, {register}, {other};\n@%differs trap;"))
}

/// The text with lines replaced, and shadows of registers declared.
fn with_lines(text: &str, changes: &[(u32, String)], registers: &[&str]) -> String {
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    for (line, code) in changes {
        lines[*line as usize - 1].clone_from(code);
    }
    let mut declared = ".reg .pred %differs;".to_owned();
    for register in registers.iter().collect::<BTreeSet<_>>() {
        let ty = match register[1..].trim_end_matches(|c: char| c.is_ascii_digit()) {
            "p" => ".pred",
            "rd" => ".b64",
            "rs" => ".b16",
            _ => ".b32",
        };
        declared.push_str(&format!("\n.reg {ty} {};", shadow_of(register)));
    }
    if let Some(first) = lines.iter().position(|line| line.starts_with('{')) {
        lines[first].push_str(&format!("\n{declared}"));
    }
    lines.join("\n")
}
