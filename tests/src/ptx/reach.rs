//! Which lines of a kernel's text no launch can come to, and why.
//!
//! Compilers leave branches whose condition never varies. Each rule below recognizes one kind by the
//! instructions that compute the condition, whatever the registers are called; the way that is never
//! taken is cut, and what can't be reached without it is unreachable. A line that no case executes
//! and that is not unreachable lacks a case.

use std::collections::{BTreeMap, HashMap};
use std::mem::offset_of;

use fouroversix_core::Kernel;
use fouroversix_core::abi::{AmaxParams, QuantizeParams, ROW_SCALED};
use fouroversix_core::kernel::{Blocks, Operation};

/// The value that a branch's condition always has: of the kernel, the branch's line and the predicate.
type Rule = fn(&Body<'_>, usize, &str) -> Option<bool>;

/// The rules, and why what they recognize never varies.
const RULES: [(Rule, &str); 6] = [
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
    (
        one_scale,
        "a transform goes with one amax for the tensor: no configuration with one sets the flag of row scaling",
    ),
    (
        one_turn,
        "no flag has bit 31, so that a loop of one turn and one for each such bit has one turn",
    ),
    (some_turns, "the number of turns is a constant that the sources keep from the compiler"),
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

/// `setp.eq p, bit, 0` with `bit = flags & ROW_SCALED`, or any condition that this one is enough for.
fn one_scale(body: &Body<'_>, at: usize, predicate: &str) -> Option<bool> {
    if !body.kernel.transforms() {
        return None;
    }
    let definition = body.definition_before(at, predicate)?;
    if let Some((_, conditions)) = operands(definition, "or.pred") {
        let is_true = |one: &&str| one_scale(body, at, one) == Some(true);
        return conditions.split(", ").find(is_true).map(|_| true);
    }
    let (_, compared) = operands(definition, "setp.eq.b32")?;
    let bit = body.only_definition(compared.strip_suffix(", 0")?)?;
    let (_, masked) = operands(bit, "and.b32")?;
    let (flags, mask) = masked.split_once(", ")?;
    (mask == ROW_SCALED.to_string() && body.is_flags(flags)).then_some(true)
}

/// `add turns, turns, -1; setp.eq p, turns, 0` with `turns = (flags >> 31) + 1` before.
fn one_turn(body: &Body<'_>, at: usize, predicate: &str) -> Option<bool> {
    let definition = body.definition_before(at, predicate)?;
    let (_, compared) = operands(definition, "setp.eq.b32")?;
    let turns = compared.strip_suffix(", 0")?;
    let mut steps = body.code.iter().enumerate().filter(|(_, line)| sets(line, turns));
    let (first, step) = (steps.next()?, steps.next()?);
    let counts_down = step.1 == &format!("add.s32 {turns}, {turns}, -1") && steps.next().is_none();
    let last = body.code[..at].iter().rposition(|line| line.ends_with(':'))?;
    let (_, start) = operands(first.1, "mov.b32")?;
    let (_, sum) = operands(body.only_definition(start)?, "add.s32")?;
    let (_, shift) = operands(body.only_definition(sum.strip_suffix(", 1")?)?, "shr.u32")?;
    let of_flags = body.is_flags(shift.strip_suffix(", 31")?);
    (counts_down && (last..at).contains(&step.0) && of_flags).then_some(true)
}

/// `setp.ne p, turns, 0` with `turns` a number that was moved from register to register.
fn some_turns(body: &Body<'_>, at: usize, predicate: &str) -> Option<bool> {
    let definition = body.definition_before(at, predicate)?;
    let (_, compared) = operands(definition, "setp.ne.b32")?;
    let mut turns = compared.strip_suffix(", 0")?;
    while turns.starts_with('%') {
        (_, turns) = operands(body.only_definition(turns)?, "mov.b32")?;
    }
    turns.parse::<u32>().ok().filter(|turns| *turns != 0).map(|_| true)
}

/// What an instruction of an opcode sets, and its sources.
fn operands<'a>(code: &'a str, opcode: &str) -> Option<(&'a str, &'a str)> {
    code.strip_prefix(opcode)?.strip_prefix(' ')?.split_once(", ")
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

    /// Whether a register holds the launch's flags.
    fn is_flags(&self, register: &str) -> bool {
        let at = match self.kernel.operation() {
            Operation::AmaxTransform => offset_of!(AmaxParams, flags),
            Operation::Quantize => offset_of!(QuantizeParams, flags),
            _ => return false,
        };
        let Some((opcode, (_, source))) = self.only_definition(register).and_then(|line| {
            let (opcode, operands) = line.split_once(' ')?;
            Some((opcode, operands.split_once(", ")?))
        }) else {
            return false;
        };
        match opcode {
            // With zeros above them.
            "ld.param.b32" | "ld.param.b64" => source.ends_with(&format!("_param_0+{at}]")),
            "cvt.u32.u64" | "mov.b32" => self.is_flags(source),
            _ => false,
        }
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
    use fouroversix_core::config::{InputType, Outputs};
    use fouroversix_core::kernel::{Blocks, KernelRule};

    fn unreachable(text: &str) -> Vec<u32> {
        unreachable_of(Kernel::global_scales(), text)
    }

    fn unreachable_of(kernel: Kernel, text: &str) -> Vec<u32> {
        super::unreachable(kernel, text).into_keys().collect()
    }

    fn rowwise() -> Kernel {
        Kernel::quantize(Blocks::Row, Outputs::Rowwise, false, InputType::F32, KernelRule::Plain)
    }

    const ROW_SCALED: &str = "\
{
ld.param.b64 %rd1, [kernel_param_0+96];
cvt.u32.u64 %r1, %rd1;
and.b32 %r2, %r1, 4;
setp.eq.b32 %p1, %r2, 0;
or.pred %p2, %p3, %p1;
@%p2 bra $out;
mov.b32 %r3, 0;
$out:
ret;
}";

    #[test]
    fn transforms_have_one_scale() {
        let transformed = rowwise().transformed();
        assert_eq!(unreachable_of(transformed, ROW_SCALED), [8]);
        assert!(unreachable_of(rowwise().stochastically(), ROW_SCALED).is_empty());
        for (from, to) in [(", 4;", ", 8;"), ("+96", "+100"), ("or.pred", "and.pred")] {
            let text = ROW_SCALED.replace(from, to);
            assert!(unreachable_of(transformed, &text).is_empty(), "{from} -> {to}");
        }
    }

    const TURNS: &str = "\
{
ld.param.b32 %r1, [kernel_param_0+48];
shr.u32 %r2, %r1, 31;
add.s32 %r3, %r2, 1;
mov.b32 %r4, %r3;
$again:
add.s32 %r4, %r4, -1;
setp.eq.b32 %p1, %r4, 0;
@%p1 bra $out;
bra.uni $again;
$out:
ret;
}";

    #[test]
    fn a_loop_of_one_turn_has_no_second() {
        let kernel = Kernel::amax_transform(true, InputType::F32);
        assert_eq!(unreachable_of(kernel, TURNS), [10]);
        for (from, to) in
            [("%r2, 1;", "%r2, 2;"), (", 31;", ", 30;"), ("+48", "+52"), ("-1;", "-2;")]
        {
            assert!(unreachable_of(kernel, &TURNS.replace(from, to)).is_empty(), "{from} -> {to}");
        }
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

    #[test]
    fn a_loop_of_some_turns_is_entered() {
        let text = "{\nmov.b32 %r2, 4;\nmov.b32 %r1, %r2;\nsetp.ne.b32 %p1, %r1, 0;\n@%p1 bra $a;\nbra.uni $b;\n\
                    $a:\nret;\n$b:\nret;\n}";
        assert_eq!(unreachable(text), [6, 9, 10]);
        assert!(unreachable(&text.replace("%r2, 4", "%r2, %r3")).is_empty());
        assert!(!unreachable(&text.replace("%r2, 4", "%r2, 0")).contains(&6));
    }
}
