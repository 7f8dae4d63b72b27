//! Branches that a thread's number decides, and nothing else does.
//!
//! A warp executes what any of its lanes goes through. Where the guard of a branch is computed from
//! the thread's number and constants, each lane's way is known, and the walker has no choice left:
//! it follows the second warp of a block of threads. Its lane 0 does what is done once for each warp
//! (a partial maximum goes to shared memory); what the first warp alone does for the whole block (it
//! adds the maximum to the tensor's) is not counted.

use std::collections::BTreeMap;

use super::disassembly::{Block, Instruction};

/// A value for each lane; 0 or 1 in a predicate.
type Lanes = [u32; 32];
/// The registers whose value is known.
type Known = BTreeMap<String, Lanes>;

/// The blocks as the second warp goes through them: where lanes part, on the way of lane 0, the
/// `BSYNC` at which the others wait counted for them too.
pub(crate) fn second_warp(blocks: &[Block]) -> Vec<Block> {
    let known = known_at_ends(blocks);
    let mut warp = blocks.to_vec();
    for (i, known) in known.iter().enumerate() {
        let Some(taken) = known.as_ref().and_then(|known| taken(&blocks[i], known)) else {
            continue;
        };
        let (first, parted) = (taken[0] == 1, taken.iter().any(|lane| *lane != taken[0]));
        let block = &mut warp[i];
        if block.exits {
            // The warp ends when its last lane does.
            block.exits = taken.iter().all(|lane| *lane == 1);
            block.successors.truncate(usize::from(!block.exits));
        } else if let [target, next] = block.successors[..] {
            block.successors = vec![if first { target } else { next }];
            let wait = blocks[if first { next } else { target }].instructions.first();
            if parted {
                block.instructions.extend(wait.filter(|i| i.mnemonic() == "BSYNC").cloned());
            }
        }
    }
    warp
}

/// For which lanes the guard of a block's last branch holds.
fn taken(block: &Block, known: &Known) -> Option<Lanes> {
    let last = block.instructions.last()?;
    let alone = Instruction { guard: String::new(), ..last.clone() };
    if !["BRA", "EXIT"].contains(&last.mnemonic()) || last.guard.is_empty() || alone.conditional() {
        return None;
    }
    let predicate = last.guard.trim_start_matches('!');
    let negated = u32::from(last.guard.starts_with('!'));
    known.get(predicate).map(|lanes| lanes.map(|lane| lane ^ negated))
}

/// What is known at the end of each block, on every way there; `None` if there is no way.
fn known_at_ends(blocks: &[Block]) -> Vec<Option<Known>> {
    let mut starts: Vec<Option<Known>> = vec![None; blocks.len()];
    let mut ends = starts.clone();
    let mut open = vec![(0, Known::new())];
    while let Some((i, arriving)) = open.pop() {
        let start = match &starts[i] {
            None => arriving,
            Some(start) => {
                let mut both = start.clone();
                both.retain(|register, lanes| arriving.get(register) == Some(lanes));
                both
            }
        };
        if starts[i].as_ref() == Some(&start) {
            continue;
        }
        let mut known = start.clone();
        blocks[i].instructions.iter().for_each(|instruction| execute(instruction, &mut known));
        starts[i] = Some(start);
        if let Some(routine) = blocks[i].calls {
            open.push((routine, Known::new()));
            known.clear();
        }
        open.extend(blocks[i].successors.iter().map(|next| (*next, known.clone())));
        ends[i] = Some(known);
    }
    ends
}

/// Forgets what an instruction overwrites, and learns its result where that is known.
fn execute(instruction: &Instruction, known: &mut Known) {
    let operands: Vec<&str> =
        instruction.operands.split(',').map(|o| o.trim().trim_end_matches(".reuse")).collect();
    let results = results(instruction, &operands, known);
    // Any predicate that is mentioned may be a result, and the first register.
    let all = instruction.mnemonic() == "R2P";
    known.retain(|r, _| !r.contains('P') || !(all || operands.contains(&r.as_str())));
    let is_register = |o: &&&str| !o.contains('P') && o.starts_with(['R', 'U']);
    if let Some(first) = operands.iter().find(is_register)
        && !instruction.mnemonic().ends_with("SETP")
    {
        for i in 0..width(instruction) {
            known.remove(&numbered(first, i));
        }
    }
    if instruction.guard.is_empty() {
        known.extend(results);
    }
}

/// Registers of a result.
fn width(instruction: &Instruction) -> u32 {
    let has = |suffix| instruction.has(suffix);
    match instruction.mnemonic() {
        "LDSM" => 4,
        "FADD2" | "FMUL2" | "FFMA2" | "CS2R" => 2,
        _ if has("256") => 8,
        _ if has("128") => 4,
        _ if has("64") || has("WIDE") => 2,
        _ => 1,
    }
}

/// The register `i` after a named one.
fn numbered(register: &str, i: u32) -> String {
    let prefix = register.trim_end_matches(|c: char| c.is_ascii_digit());
    match register[prefix.len()..].parse::<u32>() {
        Ok(number) => format!("{prefix}{}", number + i),
        Err(_) => register.to_owned(),
    }
}

/// Names and values of the results, where they depend on the thread's number alone.
fn results(instruction: &Instruction, operands: &[&str], known: &Known) -> Vec<(String, Lanes)> {
    let value = |operand: &str| -> Option<Lanes> {
        match operand {
            "RZ" => Some([0; 32]),
            _ => match operand.strip_prefix("0x") {
                Some(digits) => Some([u32::from_str_radix(digits, 16).ok()?; 32]),
                None => operand.parse().map(|n| [n; 32]).ok().or(known.get(operand).copied()),
            },
        }
    };
    let both = |a: &str, b: &str, f: fn(u32, u32) -> u32| -> Option<Lanes> {
        let (a, b) = (value(a)?, value(b)?);
        Some(std::array::from_fn(|lane| f(a[lane], b[lane])))
    };
    let one = |register: &str, lanes: Option<Lanes>| {
        lanes.map(|lanes| (register.to_owned(), lanes)).into_iter().collect()
    };
    match (instruction.mnemonic(), operands) {
        ("S2R", [d, "SR_TID.X"]) => one(d, Some(std::array::from_fn(|lane| 32 + lane as u32))),
        ("S2R", [d, "SR_LANEID"]) => one(d, Some(std::array::from_fn(|lane| lane as u32))),
        ("MOV", [d, s]) => one(d, value(s)),
        ("IMAD", [d, "RZ", "RZ", s]) if instruction.has("MOV") => one(d, value(s)),
        ("SHF", [d, "RZ", by, s]) if instruction.has("U32") && instruction.has("R") => {
            one(d, both(s, by, |s, by| s.checked_shr(by).unwrap_or(0)))
        }
        // 0xc0 is the table of `a & b`.
        ("LOP3", [d, a, b, "RZ", "0xc0", "!PT"]) => one(d, both(a, b, |a, b| a & b)),
        ("LOP3", [p, "RZ", a, b, "RZ", "0xc0", "!PT"]) => {
            one(p, both(a, b, |a, b| u32::from(a & b != 0)))
        }
        ("ISETP", [p, "PT", a, b, "PT"]) => {
            one(p, comparison(instruction).and_then(|f| both(a, b, f)))
        }
        _ => Vec::new(),
    }
}

type Comparison = fn(u32, u32) -> u32;

/// Numbers of threads are small: signed or not makes no difference.
fn comparison(instruction: &Instruction) -> Option<Comparison> {
    const COMPARISONS: [(&str, Comparison); 6] = [
        ("EQ", |a, b| u32::from(a == b)),
        ("NE", |a, b| u32::from(a != b)),
        ("LT", |a, b| u32::from(a < b)),
        ("LE", |a, b| u32::from(a <= b)),
        ("GT", |a, b| u32::from(a > b)),
        ("GE", |a, b| u32::from(a >= b)),
    ];
    let found = COMPARISONS.into_iter().find(|(suffix, _)| instruction.has(suffix));
    found.filter(|_| !instruction.has("EX")).map(|(_, f)| f)
}
