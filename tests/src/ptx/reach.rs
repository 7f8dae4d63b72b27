//! Which lines of a kernel's text no launch can come to, and why.
//!
//! Compilers leave branches whose condition never varies. Each rule below recognizes one kind by the
//! instructions that compute the condition, whatever the registers are called; the way that is never
//! taken is cut, and what can't be reached without it is unreachable. A line that no case executes
//! and that is not unreachable lacks a case.

use std::collections::{BTreeMap, HashMap};

use fouroversix_core::Kernel;
use fouroversix_core::kernel::{Blocks, Operation};

/// The value that a branch's condition always has: of the kernel, the branch's line and the predicate.
type Rule = fn(&Body<'_>, usize, &str) -> Option<bool>;

/// The rules, and why what they recognize never varies.
const RULES: [(Rule, &str); 3] = [
    (constant, "its condition is a constant that the compiler left in a register"),
    (
        padding,
        "the rows of a scale tile are padded from a row of the tensor on, so that loop has a turn: \
         row < rows <= rows rounded up to 128",
    ),
    (
        present,
        "a thread past the tensor's edge holds zeros, which are encoded without arithmetic where its warp \
         leaves the hot path: it never asks for the exact path",
    ),
];

/// `mov.pred p, -1`
fn constant(body: &Body<'_>, at: usize, predicate: &str) -> Option<bool> {
    truth(body.definition_before(at, predicate)?)
}

fn truth(definition: &str) -> Option<bool> {
    match definition.strip_prefix("mov.pred ")?.split_once(", ")?.1 {
        "-1" => Some(true),
        "0" => Some(false),
        _ => None,
    }
}

/// `setp.lt p, row, padded` with `padded = (rows + 127) & -128`, where `row` does not step.
fn padding(body: &Body<'_>, at: usize, predicate: &str) -> Option<bool> {
    let definition = body.definition_before(at, predicate)?;
    let (_, sources) = definition.strip_prefix("setp.lt.u32 ")?.split_once(", ")?;
    let (row, padded) = sources.split_once(", ")?;
    let sum = body.only_definition(padded)?.strip_suffix(", -128")?;
    let (_, sum) = sum.strip_prefix("and.b32 ")?.split_once(", ")?;
    let sum = body.only_definition(sum)?;
    let steps = format!("add.s32 {row}, {row}, ");
    let first_turn = !body.code.iter().any(|line| line.starts_with(&steps));
    (first_turn && sum.starts_with("add.s32 ") && sum.ends_with(", 127")).then_some(true)
}

/// Whether there is anything at the thread's place: a flag that is only ever set to constants, or that
/// a row and a column are within bounds.
/// Only where every block has a scale of its own and a row may end before a warp does: the lanes of a
/// tile go to its exact path together, and rows in one pass have threads for their blocks alone.
fn present(body: &Body<'_>, at: usize, predicate: &str) -> Option<bool> {
    if body.kernel.operation() != Operation::Quantize || body.kernel.blocks() != Some(Blocks::Row) {
        return None;
    }
    let definition =
        body.only_definition(predicate).and_then(|line| line.strip_prefix("and.pred "));
    if let Some((_, bounds)) = definition.and_then(|operands| operands.split_once(", ")) {
        let within = |bound| Some(body.only_definition(bound)?.starts_with("setp.lt.u32 "));
        // Stores are guarded alike; the way to the exact path is a block of its own.
        let alone = at > 0 && body.code[at - 1].ends_with(':');
        let bounds = bounds.split(", ").all(|bound| within(bound) == Some(true));
        return (alone && bounds).then_some(true);
    }
    let lines = body.code.iter().filter(|line| sets(line, predicate));
    let values = lines.map(|line| truth(line)).collect::<Option<Vec<bool>>>()?;
    (values.contains(&true) && values.contains(&false)).then_some(true)
}

/// The lines of a module's text with one kernel, blanks normalized and semicolons gone.
struct Body<'a> {
    kernel: Kernel,
    code: Vec<String>,
    labels: HashMap<&'a str, usize>,
    first: usize,
}

/// A branch: its target, and for a conditional one the predicate and the value that takes it.
struct Branch<'a> {
    condition: Option<(&'a str, bool)>,
    target: &'a str,
}

fn branch(code: &str) -> Option<Branch<'_>> {
    let (guard, rest) = match code.strip_prefix('@') {
        Some(guarded) => guarded.split_once(' ').map(|(guard, rest)| (Some(guard), rest))?,
        None => (None, code),
    };
    let target = rest.strip_prefix("bra ").or_else(|| rest.strip_prefix("bra.uni "))?;
    let condition = guard.map(|guard| match guard.strip_prefix('!') {
        Some(predicate) => (predicate, false),
        None => (guard, true),
    });
    Some(Branch { condition, target })
}

impl<'a> Body<'a> {
    fn of(kernel: Kernel, text: &'a str) -> Self {
        let normal = |line: &str| {
            let words: Vec<&str> = line.split_whitespace().collect();
            words.join(" ").trim_end_matches(';').to_owned()
        };
        let mut labels = HashMap::new();
        for (number, line) in text.lines().enumerate() {
            if let Some(label) = line.trim().strip_suffix(':') {
                labels.insert(label, number);
            }
        }
        let first = text.lines().position(|line| line.starts_with('{')).unwrap_or(0);
        Self { kernel, code: text.lines().map(normal).collect(), labels, first }
    }

    /// The one line that sets a register.
    fn only_definition(&self, register: &str) -> Option<&str> {
        let mut all = self.code.iter().filter(|line| sets(line, register));
        all.next().filter(|_| all.next().is_none()).map(String::as_str)
    }

    /// The line that set a predicate before line `at`: in the same block, or the only one there is.
    fn definition_before(&self, at: usize, predicate: &str) -> Option<&str> {
        let block = self.code[..at].iter().rev();
        let mut block = block.take_while(|line| !line.ends_with(':') && branch(line).is_none());
        let found = block.find(|line| sets(line, predicate)).map(String::as_str);
        found.or_else(|| self.only_definition(predicate))
    }

    /// The value that the condition of the branch at `at` always has.
    fn decided(&self, at: usize, predicate: &str) -> Option<(bool, &'static str)> {
        RULES.iter().find_map(|(rule, why)| rule(self, at, predicate).map(|value| (value, *why)))
    }

    /// Where execution may go after line `at`, and with its reason where it never does.
    fn next(&self, at: usize) -> Vec<(usize, Option<&'static str>)> {
        let code = &self.code[at];
        if ["ret", "exit", "trap"].contains(&code.as_str()) {
            return Vec::new();
        }
        let Some(branch) = branch(code) else { return vec![(at + 1, None)] };
        let target = self.labels.get(branch.target).copied().unwrap_or(at + 1);
        let Some((predicate, taken)) = branch.condition else { return vec![(target, None)] };
        let decided = self.decided(at, predicate);
        let never = |goes: bool| decided.filter(|(value, _)| (*value == taken) != goes);
        vec![(target, never(true).map(|(_, why)| why)), (at + 1, never(false).map(|(_, why)| why))]
    }
}

/// Whether a line sets a register.
fn sets(code: &str, register: &str) -> bool {
    let operands = code.split_once(' ').map_or("", |(_, operands)| operands);
    let destination = operands.split(", ").next().unwrap_or_default();
    let writes = !["st.", "red.", "bra", "@"].iter().any(|name| code.starts_with(name));
    writes
        && (destination == register || operands.starts_with('{') && in_braces(operands, register))
}

fn in_braces(operands: &str, register: &str) -> bool {
    let vector = operands[1..].split('}').next().unwrap_or_default();
    vector.split(", ").any(|part| part == register)
}

/// The lines of a kernel, counted from one, that no launch can come to, each with the reason.
#[must_use]
pub fn unreachable(kernel: Kernel, text: &str) -> BTreeMap<u32, &'static str> {
    let body = Body::of(kernel, text);
    let mut reached = vec![false; body.code.len()];
    let mut open = vec![body.first];
    let mut cut = Vec::new();
    while let Some(at) = open.pop() {
        if at >= reached.len() || std::mem::replace(&mut reached[at], true) {
            continue;
        }
        for (next, never) in body.next(at) {
            match never {
                Some(why) => cut.push((next, why)),
                None => open.push(next),
            }
        }
    }
    let mut out = BTreeMap::new();
    while let Some((at, why)) = cut.pop() {
        if at < reached.len() && !std::mem::replace(&mut reached[at], true) {
            out.insert(at as u32 + 1, why);
            cut.extend(body.next(at).into_iter().map(|(next, _)| (next, why)));
        }
    }
    out
}

/// Why the comparison on a line, counted from one, always has the same result, if a branch by it never
/// varies.
#[must_use]
pub fn decided(kernel: Kernel, text: &str, line: u32) -> Option<&'static str> {
    let body = Body::of(kernel, text);
    let comparison = body.code[line as usize - 1].as_str();
    (0..body.code.len()).find_map(|at| {
        let (predicate, _) = branch(&body.code[at])?.condition?;
        let (_, why) = body.decided(at, predicate)?;
        (sets(comparison, predicate) && body.definition_before(at, predicate) == Some(comparison))
            .then_some(why)
    })
}

/// Whether a line, counted from one, stands where a thread past the tensor's edge gets its values: with
/// an instruction that sets a flag to false which others set to true.
#[must_use]
pub fn is_for_absent(kernel: Kernel, text: &str, line: u32) -> bool {
    let body = Body::of(kernel, text);
    let at = line as usize - 1;
    let apart = |line: &&String| line.ends_with(':') || branch(line).is_some();
    let before = body.code[..at].iter().rev().take_while(|line| !apart(line));
    let after = body.code[at..].iter().take_while(|line| !apart(line));
    before.chain(after).any(|line| {
        let flag = line.strip_prefix("mov.pred ").and_then(|rest| rest.strip_suffix(", 0"));
        flag.is_some_and(|flag| body.code.contains(&format!("mov.pred {flag}, -1")))
    })
}

#[cfg(test)]
mod tests {
    use fouroversix_core::Kernel;

    fn unreachable(text: &str) -> Vec<u32> {
        super::unreachable(Kernel::global_scales(), text).into_keys().collect()
    }

    const LOOP: &str = "\
{
and.b32 %r1, %r2, -128;
add.s32 %r2, %r3, 127;
setp.lt.u32 %p1, %r4, %r1;
@%p1 bra $in;
bra.uni $out;
$in:
mov.b32 %r5, %r4;
$again:
add.s32 %r5, %r5, %r3;
setp.lt.u32 %p2, %r5, %r1;
@%p2 bra $again;
$out:
ret;
}";

    #[test]
    fn the_padding_loop_is_entered() {
        // The way around it, and the bracket after `ret`.
        assert_eq!(unreachable(LOOP), [6]);
    }

    #[test]
    fn other_bounds_prove_nothing() {
        for (from, to) in [("-128", "-127"), ("%r3, 127", "%r3, 126"), ("lt.u32", "le.u32")] {
            assert!(unreachable(&LOOP.replace(from, to)).is_empty(), "{from} -> {to}");
        }
    }

    #[test]
    fn constants_decide() {
        let text = "{\nmov.pred %p1, -1;\n@!%p1 bra $a;\nret;\n$a:\nmov.b32 %r1, 0;\nret;\n}";
        assert_eq!(unreachable(text), [5, 6, 7]);
        assert!(unreachable(&text.replace("mov.pred %p1, -1", "nop")).is_empty());
    }
}
