//! Kernels that check a changed instruction against its original as they run: both are executed, side by
//! side, and a trap stands where they differ.

use std::collections::{BTreeMap, BTreeSet};

use super::demand::Demand;
use super::flow::{self, Statement, replaced, split, statements};

/// The lanes in which a difference counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lanes {
    All,
    /// Those whose block is regular: what comes of others on the hot path is dropped.
    Regular,
    /// The lower half of the warp.
    LowerHalf,
}

impl Lanes {
    /// Code that sets `%counts` in them; `None` where nothing before the line says which they are.
    fn code(self, text: &str, line: u32) -> Option<String> {
        match self {
            Self::All => Some("mov.pred %counts, -1;".to_owned()),
            Self::LowerHalf => {
                Some("mov.u32 %lane, %laneid;\nsetp.lt.u32 %counts, %lane, 16;".to_owned())
            }
            Self::Regular => {
                let (predicate, is_regular) = flow::regular_before(text, line)?;
                let negate = if is_regular { "" } else { "\nnot.pred %counts, %counts;" };
                Some(format!("mov.pred %counts, {predicate};{negate}"))
            }
        }
    }
}

/// The kernel with the changed instruction beside the original, and a trap where they differ.
/// `None` where that can't be written: branches, stores, vectors.
pub(super) fn compared(text: &str, line: u32, changed: &str, lanes: Lanes) -> Option<String> {
    let original = text.lines().nth(line as usize - 1)?.trim();
    let register = destination(original)?;
    let (_, shadow) = shadow(changed, &register)?;
    let check = check(&register, &shadow.1, &lanes.code(text, line)?, &Demand::of(text));
    let both = format!("{}\n{original}\n{check}", shadow.0);
    Some(with_lines(text, &[(line, both)], &[&register]))
}

/// The kernel with the changed instruction's result beside the original's, both given to every
/// instruction that reads it, and so on for `depth` instructions; a trap where what those give at the end
/// differs, or what gets to memory before. `None` where the result gets to a guard.
pub(super) fn readers_compared(
    text: &str,
    line: u32,
    changed: &str,
    depth: usize,
    lanes: Lanes,
) -> Option<String> {
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    let original = lines[line as usize - 1];
    let start = destination(original)?;
    let statements = statements(text);
    let readers = |register: &str| -> Vec<usize> {
        statements.iter().filter(|s| s.reads(register)).map(|s| s.line).collect()
    };
    let (mut followed, mut reached) = (vec![start.clone()], vec![start.clone()]);
    for _ in 1..depth {
        let mut next = Vec::new();
        for line in reached.iter().flat_map(|register| readers(register)) {
            if lines[line - 1].starts_with("st.") {
                continue;
            }
            let written = destination(lines[line - 1])?;
            // What a choice makes of a predicate can be compared, other uses are conditions.
            let condition = written.starts_with("%p")
                && !readers(&written).iter().all(|at| lines[at - 1].starts_with("selp"));
            if !condition && !followed.contains(&written) {
                followed.push(written.clone());
                next.push(written);
            }
        }
        reached = next;
    }
    let guards = |register: &String| {
        let guard = |line: &&str| {
            let predicate = line.strip_prefix('@').map(|line| line.trim_start_matches('!'));
            predicate.is_some_and(|line| line.split([' ', '\t']).next() == Some(register))
        };
        lines.iter().any(guard)
    };
    if followed.iter().any(guards) {
        return None;
    }
    let (counts, demand) = (lanes.code(text, line)?, Demand::of(text));
    let mut registers = followed.clone();
    let (_, (code, _)) = shadow(changed, &start)?;
    let mut changes = BTreeMap::from([(line, format!("{code}\n{original}"))]);
    let reading = followed
        .iter()
        .flat_map(|register| readers(register).into_iter().map(|line| (register.clone(), line)));
    for (register, at) in reading.collect::<Vec<_>>() {
        let reading = lines[at - 1];
        if reading.starts_with("st.") {
            // Bits that get to memory are compared before they do.
            let check = check(&register, &shadow_of(&register), &counts, &demand);
            changes.insert(at as u32, format!("{check}\n{reading}"));
            continue;
        }
        let written = destination(reading)?;
        let again = followed.iter().fold(reading.to_owned(), |code, register| {
            replaced(&code, register, &shadow_of(register))
        });
        let (_, (again, other)) = shadow(&again, &written)?;
        let end = if followed.contains(&written) {
            String::new()
        } else {
            registers.push(written.clone());
            format!("\n{}", check(&written, &other, &counts, &demand))
        };
        changes.insert(at as u32, format!("{again}\n{reading}{end}"));
    }
    // What else writes to them gives both the same.
    for register in &followed {
        for other in statements.iter().filter(|s| s.destinations().contains(register)) {
            let copy = format!(
                "{}\nmov.{} {}, {register};",
                lines[other.line - 1],
                type_of(register),
                shadow_of(register)
            );
            changes.entry(other.line as u32).or_insert(copy);
        }
    }
    let registers: Vec<&str> = registers.iter().map(String::as_str).collect();
    let changes: Vec<(u32, String)> = changes.into_iter().collect();
    (changes.len() > 1).then(|| with_lines(text, &changes, &registers))
}

/// The kernel with the changed instruction's result beside the original's, both followed through bit
/// operations to comparisons for equality, and a trap where only the changed one is equal.
/// `None` where the result gets anywhere else.
pub(super) fn fewer_equalities(text: &str, line: u32, changed: &str) -> Option<String> {
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    let register = destination(lines[line as usize - 1])?;
    let statements = statements(text);
    let counts = Lanes::Regular.code(text, line).or_else(|| Lanes::All.code(text, line))?;
    // Where candidates are found to be unequal, it must be found as often or more.
    let fewer = |code: &str, here: &str, there: &str| {
        if code.starts_with("setp.ne.b") {
            fewer_true(there, here, &counts)
        } else {
            fewer_true(here, there, &counts)
        }
    };
    let original = lines[line as usize - 1];
    if original.starts_with("setp.") && flow::is_of_products(text, line) {
        let (_, (code, other)) = shadow(changed, &register)?;
        let both = format!("{code}\n{original}\n{}", fewer(original, &register, &other));
        let same_kind = original.split(['.', ' ']).nth(1) == changed.split(['.', ' ']).nth(1);
        return same_kind.then(|| with_lines(text, &[(line, both)], &[&register]));
    }
    let mut followed = vec![register.clone()];
    let (mut passed, mut compared) = (BTreeSet::new(), BTreeSet::new());
    let mut next = 0;
    while let Some(register) = followed.get(next).cloned() {
        next += 1;
        for reader in statements.iter().filter(|statement| statement.reads(&register)) {
            let written = destination(lines[reader.line - 1])?;
            if ["setp.eq.b", "setp.ne.b"].iter().any(|opcode| reader.opcode.starts_with(opcode)) {
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
    let followed_lines: Vec<usize> = passed.iter().copied().chain([line as usize]).collect();
    let read = |made: &Statement<'_>| {
        let reads = |s: &&Statement<'_>| made.destinations().iter().any(|name| s.reads(name));
        statements.iter().filter(|s| followed_lines.contains(&s.line)).any(|s| reads(&s))
    };
    let of_products = statements
        .iter()
        .filter(|made| made.opcode == "mul.rn.f16x2")
        .any(|made| followed_lines.contains(&made.line) || read(made));
    if compared.is_empty() || !of_products {
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
        let check = fewer(lines[at - 1], &written, &other);
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

/// A trap where `other` holds and the predicate does not, in lanes that `counts` finds.
fn fewer_true(predicate: &str, other: &str, counts: &str) -> String {
    format!(
        "not.pred %differs, {predicate};\nand.pred %differs, %differs, {other};\n{counts}\n\
         and.pred %differs, %differs, %counts;\n@%differs trap;"
    )
}

/// The type of a register, by the letters of its name.
fn type_of(register: &str) -> &'static str {
    match register[1..].trim_end_matches(|c: char| c.is_ascii_digit()) {
        "p" => "pred",
        "rd" => "b64",
        "rs" => "b16",
        _ => "b32",
    }
}

/// A trap where two registers differ in bits that matter, in lanes that `counts` finds.
fn check(register: &str, other: &str, counts: &str, demand: &Demand) -> String {
    let differs = match type_of(register) {
        "pred" => format!("xor.pred %differs, {register}, {other};"),
        "b32" => {
            let mask = demand.bits(register) as u32 as i32;
            format!(
                "xor.b32 %bits, {register}, {other};\nand.b32 %bits, %bits, {mask};\n\
                 setp.ne.b32 %differs, %bits, 0;"
            )
        }
        bits => format!("setp.ne.{bits} %differs, {register}, {other};"),
    };
    format!("{differs}\n{counts}\nand.pred %differs, %differs, %counts;\n@%differs trap;")
}

/// The text with lines replaced, and shadows of registers declared.
fn with_lines(text: &str, changes: &[(u32, String)], registers: &[&str]) -> String {
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    for (line, code) in changes {
        lines[*line as usize - 1].clone_from(code);
    }
    let mut declared =
        ".reg .pred %differs;\n.reg .pred %counts;\n.reg .b32 %lane;\n.reg .b32 %bits;".to_owned();
    for register in registers.iter().collect::<BTreeSet<_>>() {
        declared.push_str(&format!("\n.reg .{} {};", type_of(register), shadow_of(register)));
    }
    if let Some(first) = lines.iter().position(|line| line.starts_with('{')) {
        lines[first].push_str(&format!("\n{declared}"));
    }
    lines.join("\n")
}
