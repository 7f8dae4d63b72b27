//! Where the result of an instruction goes, and where its operands come from.

use std::collections::BTreeSet;

/// One statement of a kernel.
#[derive(Clone, Debug)]
pub(super) struct Statement<'a> {
    pub(super) line: usize,
    pub(super) opcode: &'a str,
    /// Operands as written, the destination first. Names of inner scopes carry their scope.
    pub(super) operands: Vec<String>,
}

impl Statement<'_> {
    /// Whether the first operand is written.
    pub(super) fn writes(&self) -> bool {
        !["st.", "cp.", "red.", "bra", "ret", "bar", "fence"]
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

pub(super) fn names(operand: &str) -> Vec<String> {
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

/// The bits of a register or number that may be set if bit 31 of no parameter is.
fn possible_bits(statements: &[Statement<'_>], operand: &str) -> u64 {
    if let Ok(number) = operand.parse::<u64>() {
        return number;
    }
    let Some(made) = definition(statements, operand) else { return u64::MAX };
    let source = || made.operands.get(1).map_or(u64::MAX, |r| possible_bits(statements, r));
    let number = |at: usize| made.operands.get(at).and_then(|text| text.parse::<u64>().ok());
    match (made.opcode, number(2), number(3)) {
        (opcode, ..) if opcode.starts_with("ld.param") => !(1 << 31),
        ("shr.u32", Some(by @ 0..64), _) => (source() & 0xFFFF_FFFF) >> by,
        ("shr.u64", Some(by @ 0..64), _) => source() >> by,
        ("shl.b32", Some(by @ 0..64), _) => source() << by & 0xFFFF_FFFF,
        ("shl.b64", Some(by @ 0..64), _) => source() << by,
        ("and.b32" | "and.b64", Some(mask), _) => source() & mask,
        ("or.b32" | "or.b64", bits, _) => {
            let other = bits.or_else(|| Some(possible_bits(statements, made.operands.get(2)?)));
            source() | other.unwrap_or(u64::MAX)
        }
        ("bfe.u32" | "bfe.u64", Some(at @ 0..64), Some(1)) => source() >> at & 1,
        ("cvt.u64.u32" | "cvt.u32.u64", ..) => source() & 0xFFFF_FFFF,
        _ => u64::MAX,
    }
}

/// Whether all bits of `wanted` in what a line writes are 0 if bit 31 of no parameter is set.
pub(super) fn is_zero_in(text: &str, line: u32, wanted: u64) -> bool {
    let statements = statements(text);
    let here = statements.iter().filter(|s| s.line == line as usize);
    let written: Vec<String> = here.flat_map(Statement::destinations).collect();
    let zero = |register: &String| possible_bits(&statements, register) & wanted == 0;
    !written.is_empty() && written.iter().all(zero)
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

/// Every statement that writes a register.
fn definitions<'a>(
    statements: &'a [Statement<'a>],
    register: &'a str,
) -> impl Iterator<Item = &'a Statement<'a>> {
    statements.iter().filter(move |s| s.destinations().iter().any(|name| name == register))
}

/// Whether a comparison asks if a block is regular: its largest product with the limit, which is loaded
/// with the global scale or chosen where that is computed.
fn is_limit(statements: &[Statement<'_>], compared: &Statement<'_>) -> bool {
    let [_, product, limit] = &compared.operands[..] else { return false };
    let made = |register, opcodes: &[&str]| {
        let mut all = definitions(statements, register).peekable();
        all.peek().is_some() && all.all(|made| opcodes.contains(&made.opcode))
    };
    ["setp.geu.f32", "setp.lt.f32"].contains(&compared.opcode)
        && made(product, &["mul.rn.f32"])
        && made(limit, &["ld.global.nc.v4.b32", "mov.b32", "selp.f32"])
        && !definitions(statements, limit).all(|made| made.opcode == "mov.b32")
}

/// Whether the instruction on a line is that comparison.
pub(super) fn compares_limit(text: &str, line: u32) -> bool {
    let statements = statements(text);
    let mut here = statements.iter().filter(|statement| statement.line == line as usize);
    here.any(|statement| is_limit(&statements, statement))
}

/// The predicate that last said, before a line, whether the block is regular, and whether it is true for
/// those that are.
pub(super) fn regular_before(text: &str, line: u32) -> Option<(String, bool)> {
    let statements = statements(text);
    let before = statements.iter().rev().filter(|statement| statement.line < line as usize);
    let compared = before.into_iter().find(|statement| is_limit(&statements, statement))?;
    Some((compared.operands[0].clone(), compared.opcode == "setp.lt.f32"))
}

/// Whether a register counts the turns of a loop that has one turn unless bit 31 of the flags is set: it
/// begins at 0 and is compared with that bit.
fn counts_the_only_turn(statements: &[Statement<'_>], register: &str) -> bool {
    let compared = statements.iter().any(|s| {
        s.opcode == "setp.eq.b32"
            && s.operands.get(1).is_some_and(|operand| operand == register)
            && s.operands.get(2).is_some_and(|bit| possible_bits(statements, bit) == 0)
    });
    let mut made: Vec<_> =
        definitions(statements, register).map(|s| (s.opcode, s.operands[1].as_str())).collect();
    made.sort_unstable();
    let [("mov.b32", a), ("mov.b32", b)] = made[..] else { return false };
    let next = if a == "0" { b } else { a };
    let step = definition(statements, next);
    compared
        && (a == "0" || b == "0")
        && step.is_some_and(|step| {
            step.opcode == "add.s32" && step.operands[1] == register && step.operands[2] == "1"
        })
}

/// Whether the instruction reads such a counter.
pub(super) fn is_of_the_only_turn(text: &str, line: u32) -> bool {
    let statements = statements(text);
    sources(&statements, line).iter().any(|register| counts_the_only_turn(&statements, register))
}

/// The lines that prepare another turn of a loop that has only one: those of the block that compares its
/// counter, but for the comparison.
pub(super) fn lines_for_no_turn(text: &str) -> BTreeSet<usize> {
    let statements = statements(text);
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    let mut out = BTreeSet::new();
    let ends = |at: usize| {
        lines[at].ends_with(':')
            || statements.iter().any(|s| s.line == at + 1 && s.opcode.starts_with("bra"))
    };
    for compared in statements.iter().filter(|s| s.opcode == "setp.eq.b32") {
        let counter = compared.operands.get(1);
        if counter.is_some_and(|counter| counts_the_only_turn(&statements, counter)) {
            let at = compared.line - 1;
            let before = (0..at).rev().take_while(|at| !ends(*at));
            out.extend(
                before.chain((at + 1..lines.len()).take_while(|at| !ends(*at))).map(|at| at + 1),
            );
        }
    }
    out
}

/// Whether the instruction compares a number that is even with one whose lowest bit the kernel looks at.
pub(super) fn compares_even(text: &str, line: u32) -> bool {
    let statements = statements(text);
    let [even, other] = &sources(&statements, line)[..] else { return false };
    let looks = |s: &Statement<'_>| {
        s.opcode == "and.b32" && s.operands[1..] == [other.clone(), "1".to_owned()]
    };
    possible_bits(&statements, even) & 1 == 0 && statements.iter().any(looks)
}

/// Whether the instruction only has a say in whether a warp of blocks none of which is regular looks for
/// zeros before it encodes them: it stands between the vote on that, itself counted, and the branch.
pub(super) fn is_of_the_zero_shortcut(text: &str, line: u32) -> bool {
    let statements = statements(text);
    let votes: Vec<usize> =
        (0..statements.len()).filter(|i| statements[*i].opcode.starts_with("vote.sync")).collect();
    let any = |i: usize| statements[votes[i]].opcode == "vote.sync.any.pred";
    let Some(first) = (0..votes.len().saturating_sub(3)).find(|i| {
        // Regular, not zeros, not certain; then the ballot of those that ask.
        let four = any(*i) && any(i + 1) && any(i + 2) && !any(i + 3);
        let branch = statements[votes[*i]..].iter().find(|s| s.opcode.starts_with("bra"));
        let end = branch.map_or(0, |branch| branch.line);
        four && (statements[votes[*i]].line..=end).contains(&(line as usize))
    }) else {
        return false;
    };
    let region = statements[votes[first]].line..=statements[votes[first + 1]].line;
    let here = statements.iter().filter(|s| s.line == line as usize);
    let written: Vec<String> = here.flat_map(Statement::destinations).collect();
    let outside =
        |s: &&Statement<'_>| written.iter().any(|name| s.reads(name)) && !region.contains(&s.line);
    !statements.iter().any(|s| outside(&s))
}

/// Whether the result gets, by way of choices and copies, only to where a scale is rounded to E4M3.
pub(super) fn is_of_scales(text: &str, line: u32) -> bool {
    let statements = statements(text);
    let start = statements.iter().filter(|s| s.line == line as usize);
    let mut open: Vec<String> = start.flat_map(Statement::destinations).collect();
    let (mut seen, mut rounded) = (BTreeSet::new(), false);
    while let Some(register) = open.pop() {
        if !seen.insert(register.clone()) {
            continue;
        }
        for reader in statements.iter().filter(|statement| statement.reads(&register)) {
            let clamps = || {
                let mut clamp = reader.operands.iter().filter_map(|r| definition(&statements, r));
                clamp.any(|made| {
                    made.operands.last().is_some_and(|v| *v == 448f32.to_bits().to_string())
                })
            };
            match reader.opcode {
                "selp.f32" | "selp.b32" | "mov.b32" => open.extend(reader.destinations()),
                "cvt.rn.satfinite.e4m3x2.f32" => rounded = true,
                "min.f32" if clamps() => rounded = true,
                _ => return false,
            }
        }
    }
    rounded
}

/// Whether the instruction clamps the constant 0 to E4M3's largest value: the scale of a candidate that a
/// kernel does not have.
pub(super) fn clamps_zero(text: &str, line: u32) -> bool {
    let statements = statements(text);
    let is = |register: &String, constant: u32| {
        definition(&statements, register).is_some_and(|made| {
            made.opcode == "mov.b32" && made.operands[1] == constant.to_string()
        })
    };
    let mut here = statements.iter().filter(|s| s.line == line as usize && s.opcode == "min.f32");
    here.any(|s| is(&s.operands[1], 0) && is(&s.operands[2], 448f32.to_bits()))
}
