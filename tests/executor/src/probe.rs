//! One-instruction kernels: every opcode with every modifier that a set of modules uses, over edge
//! cases and random operands, with the results that the executor gives. A GPU must give the same.
//!
//! A probe's threads each have a record of 128 bytes in a buffer of inputs and one in a buffer of
//! outputs: eight slots of eight bytes for operands or results, then 64 bytes of memory for loads,
//! stores and atomics to work on.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use rand_xoshiro::SplitMix64;
use rand_xoshiro::rand_core::{Rng, SeedableRng};

use super::ast::ParseError;
use super::fault::Fault;
use super::survey::{self, Shape, Use};
use super::{Machine, Module};

/// Threads of one launch of a probe.
pub const THREADS: u32 = 2048;
/// Threads of a block of a probe.
pub const BLOCK: u32 = 256;
/// Launches of a probe, each with inputs of its own.
pub const ROUNDS: u32 = 32;
/// Bytes of a thread's record.
pub const RECORD: usize = 128;
/// Literals tried for one instruction, of all that the modules use.
const LITERALS: usize = 24;

/// A kernel around one instruction.
#[derive(Clone, Debug)]
pub struct Probe {
    /// Opcode and modifiers.
    pub mnemonic: String,
    /// The instruction with its operands' kinds.
    pub instruction: String,
    /// The module, whose kernel is `probe(inputs, outputs)`.
    pub ptx: String,
    /// Units in the last place that the instruction's results may be off.
    pub tolerance: u32,
    /// Why the instruction can't run on compute capability 9.0, if it can't.
    pub beyond_sm_90: Option<&'static str>,
    sources: Vec<Source>,
}

/// What kind of value an input slot gets.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Source {
    /// Any value of so many bits.
    Any(u32),
    /// Not zero.
    Divisor,
}

/// An instruction for which there is no probe.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Unprobed {
    /// Opcode and modifiers.
    pub mnemonic: String,
    /// Why.
    pub reason: &'static str,
}

/// The probes of some modules' instructions, and the instructions without one.
///
/// # Errors
/// If a module is not PTX that the executor reads.
pub fn probes<'a>(
    modules: impl IntoIterator<Item = &'a str>,
) -> Result<(Vec<Probe>, Vec<Unprobed>), ParseError> {
    let mut uses = BTreeSet::new();
    for text in modules {
        survey::add(text, &mut uses)?;
    }
    let mut probes = Vec::new();
    let mut without = BTreeSet::new();
    let mut literals: BTreeMap<(String, usize), usize> = BTreeMap::new();
    for used in &uses {
        let mnemonic = used.mnemonic();
        if let Some(reason) = unprobed(used) {
            without.insert(Unprobed { mnemonic, reason });
            continue;
        }
        let with_literal = used.operands.iter().any(|o| matches!(o, Shape::Literal(_)));
        let tried = literals.entry((mnemonic.clone(), used.operands.len())).or_default();
        if with_literal && used.opcode != "lop3" {
            *tried += 1;
            if *tried > LITERALS {
                continue;
            }
        }
        probes.push(Builder::default().build(used));
    }
    without.retain(|u| !probes.iter().any(|p| p.mnemonic == u.mnemonic));
    Ok((probes, without.into_iter().collect()))
}

/// Why an instruction has no probe: what it does is no function of operands.
fn unprobed(used: &Use) -> Option<&'static str> {
    let has = |name: &str| used.modifiers.iter().any(|m| m == name);
    match used.opcode.as_str() {
        "bra" | "brx" | "call" | "ret" | "exit" | "trap" => Some("control flow"),
        "bar" | "barrier" | "membar" | "fence" | "griddepcontrol" | "nanosleep" => {
            Some("synchronization")
        }
        "activemask" => Some("control flow"),
        "cvta" | "isspacep" => Some("addresses differ by device"),
        "createpolicy" | "prefetch" => Some("a hint"),
        "cp" => Some("asynchronous"),
        "ld" if has("param") => Some("every probe loads its parameters"),
        _ if used.operands.contains(&Shape::Place) => Some("a place in its kernel as an operand"),
        _ => None,
    }
}

/// What compute capability 9.0 lacks of `mnemonic`.
fn beyond_sm_90(used: &Use) -> Option<&'static str> {
    let has = |name: &str| used.modifiers.iter().any(|m| m == name);
    let mixed = has("f32") && (has("f16") || has("bf16"));
    match used.opcode.as_str() {
        "cvt" if has("e2m1x2") => Some("FP4 needs compute capability 10.0"),
        "add" | "sub" | "fma" if mixed => Some("mixed precision needs compute capability 10.0"),
        _ if has("f32x2") => Some("packed f32x2 needs compute capability 10.0"),
        "min" | "max" if has("f32") && used.operands.len() == 4 => {
            Some("three operands need compute capability 10.0")
        }
        "ld" | "st" if has("v8") => Some("256-bit accesses need compute capability 10.0"),
        "redux" if has("f32") => Some("redux.f32 needs compute capability 10.0"),
        _ => None,
    }
}

/// A probe under construction.
#[derive(Default)]
struct Builder {
    before: String,
    after: String,
    sources: Vec<Source>,
    registers: usize,
    results: usize,
    memory: bool,
}

impl Builder {
    fn build(mut self, used: &Use) -> Probe {
        let mnemonic = used.mnemonic();
        let stores = matches!(used.opcode.as_str(), "st" | "red");
        let shared = used.modifiers.iter().any(|m| m.starts_with("shared"));
        let divides = matches!(used.opcode.as_str(), "div" | "rem") && !mnemonic.contains(".f");
        let mut names = Vec::new();
        for (i, shape) in used.operands.iter().enumerate() {
            let written = i == 0 && !stores;
            let divisor = divides && i == 2;
            names.push(self.operand(shape, written, divisor));
        }
        let instruction = format!("{mnemonic} {};", names.join(", "));
        let ptx = self.kernel(&instruction, shared);
        let kinds: Vec<String> = used.operands.iter().map(kind).collect();
        let approximate = used.modifiers.iter().any(|m| m == "approx" || m == "full");
        let tolerance = match used.opcode.as_str() {
            _ if !approximate => 0,
            "rcp" => 1,
            _ => 2,
        };
        Probe {
            instruction: format!("{mnemonic} {}", kinds.join(", ")),
            ptx,
            tolerance,
            beyond_sm_90: beyond_sm_90(used),
            sources: self.sources,
            mnemonic,
        }
    }

    fn register(&mut self, bits: u32) -> String {
        let prefix = match bits {
            1 => "p",
            8 => "b",
            16 => "h",
            32 => "r",
            _ => "d",
        };
        self.registers += 1;
        format!("%{prefix}{}", self.registers + 15)
    }

    fn operand(&mut self, shape: &Shape, written: bool, divisor: bool) -> String {
        match shape {
            Shape::Register(bits) if written => self.result(*bits),
            Shape::Register(bits) => self.source(*bits, divisor),
            Shape::Predicate if written => self.result(1),
            Shape::Predicate => self.source(1, false),
            Shape::NotPredicate => format!("!{}", self.source(1, false)),
            Shape::Literal(text) => text.clone(),
            Shape::Sink => "_".to_owned(),
            Shape::Memory => {
                self.memory = true;
                "[%d8]".to_owned()
            }
            Shape::Vector(parts) => {
                let parts: Vec<String> =
                    parts.iter().map(|part| self.operand(part, written, false)).collect();
                format!("{{{}}}", parts.join(", "))
            }
            Shape::Pair(a, b) => {
                let (a, b) = (self.operand(a, written, false), self.operand(b, written, false));
                format!("{a}|{b}")
            }
            Shape::Place => unreachable!("instructions with places are not probed"),
        }
    }

    /// Loads an input slot.
    fn source(&mut self, bits: u32, divisor: bool) -> String {
        let name = self.register(bits);
        let at = 8 * self.sources.len();
        self.sources.push(if divisor { Source::Divisor } else { Source::Any(bits) });
        _ = match bits {
            1 => {
                writeln!(self.before, "ld.global.b32 %r8, [%d1+{at}];\nsetp.ne.s32 {name}, %r8, 0;")
            }
            8 => writeln!(self.before, "ld.global.b32 %r8, [%d1+{at}];\ncvt.u8.u32 {name}, %r8;"),
            _ => writeln!(self.before, "ld.global.b{bits} {name}, [%d1+{at}];"),
        };
        name
    }

    /// Stores a result to an output slot.
    fn result(&mut self, bits: u32) -> String {
        let name = self.register(bits);
        let at = 8 * self.results;
        self.results += 1;
        _ = match bits {
            1 => {
                writeln!(self.after, "selp.b32 %r8, 1, 0, {name};\nst.global.b32 [%d2+{at}], %r8;")
            }
            8 => writeln!(self.after, "cvt.u32.u8 %r8, {name};\nst.global.b32 [%d2+{at}], %r8;"),
            _ => writeln!(self.after, "st.global.b{bits} [%d2+{at}], {name};"),
        };
        name
    }

    fn kernel(&self, instruction: &str, shared: bool) -> String {
        let mut out = format!(
            ".version 8.8\n.target {}\n.address_size 64\n\
             .visible .entry probe(.param .b64 inputs, .param .b64 outputs)\n{{\n\
             .reg .pred %p<64>;\n.reg .b8 %b<64>;\n.reg .b16 %h<64>;\n.reg .b32 %r<64>;\n\
             .reg .b64 %d<64>;\n.shared .align 16 .b8 tile[{}];\n",
            "TARGET",
            BLOCK * 64
        );
        out.push_str(
            "ld.param.b64 %d1, [inputs];\nld.param.b64 %d2, [outputs];\n\
             cvta.to.global.u64 %d1, %d1;\ncvta.to.global.u64 %d2, %d2;\n\
             mov.u32 %r1, %tid.x;\nmov.u32 %r2, %ctaid.x;\nmov.u32 %r3, %ntid.x;\n\
             mad.lo.s32 %r4, %r2, %r3, %r1;\nmul.wide.u32 %d3, %r4, 128;\n\
             add.s64 %d1, %d1, %d3;\nadd.s64 %d2, %d2, %d3;\n",
        );
        out.push_str(&self.before);
        if !self.memory {
            _ = writeln!(out, "{instruction}");
        } else {
            self.with_memory(&mut out, instruction, shared);
        }
        out.push_str(&self.after);
        out.push_str("ret;\n}\n");
        out
    }

    /// The instruction on a copy of the record's memory, which goes to the output afterwards.
    fn with_memory(&self, out: &mut String, instruction: &str, shared: bool) {
        let read_only = instruction.contains(".nc");
        let space = if shared { "shared" } else { "global" };
        if shared {
            out.push_str(
                "mov.u32 %r5, tile;\nmad.lo.s32 %r5, %r1, 64, %r5;\ncvt.u64.u32 %d8, %r5;\n",
            );
        } else if read_only {
            out.push_str("add.s64 %d8, %d1, 64;\n");
        } else {
            out.push_str("add.s64 %d8, %d2, 64;\n");
        }
        let copy = |out: &mut String, from: &str, to: &str, to_space: &str, from_space: &str| {
            for i in 0..8 {
                _ = writeln!(out, "ld.{from_space}.b64 %d9, [{from}+{}];", 8 * i);
                _ = writeln!(out, "st.{to_space}.b64 [{to}+{}], %d9;", 8 * i);
            }
        };
        out.push_str("add.s64 %d10, %d1, 64;\nadd.s64 %d11, %d2, 64;\n");
        if !read_only {
            copy(out, "%d10", "%d8", space, "global");
        }
        _ = writeln!(out, "{instruction}");
        if shared {
            copy(out, "%d8", "%d11", "global", "shared");
        }
    }
}

fn kind(shape: &Shape) -> String {
    match shape {
        Shape::Register(bits) => format!("b{bits}"),
        Shape::Predicate => "p".to_owned(),
        Shape::NotPredicate => "!p".to_owned(),
        Shape::Literal(text) => text.clone(),
        Shape::Sink => "_".to_owned(),
        Shape::Memory => "[m]".to_owned(),
        Shape::Vector(parts) => {
            format!("{{{}}}", parts.iter().map(kind).collect::<Vec<_>>().join(", "))
        }
        Shape::Pair(a, b) => format!("{}|{}", kind(a), kind(b)),
        Shape::Place => "?".to_owned(),
    }
}

const EDGES_32: [u32; 40] = [
    0,
    0x8000_0000,
    1,
    0x8000_0001,
    0x007f_ffff,
    0x0080_0000,
    0x807f_ffff,
    0x3f80_0000,
    0xbf80_0000,
    0x3f7f_ffff,
    0x3f80_0001,
    0x4000_0000,
    0x40c0_0000,
    0x40a0_0000,
    0x4020_0000,
    0x3fc0_0000,
    0x3f00_0000,
    0x3e80_0000,
    0x43e0_0000,
    0x43e8_0000,
    0x477f_e000,
    0x477f_f000,
    0x3880_0000,
    0x3300_0000,
    0x3380_0000,
    0x7f7f_ffff,
    0xff7f_ffff,
    0x7f80_0000,
    0xff80_0000,
    0x7fc0_0000,
    0xffc0_0001,
    0x7f80_0001,
    0x3c00_3c00,
    0x7bff_fbff,
    0x0001_8001,
    0x7e00_7c00,
    0xffff_ffff,
    0x7fff_ffff,
    0x1f,
    0x20,
];

const EDGES_16: [u16; 20] = [
    0, 0x8000, 1, 0x8001, 0x3ff, 0x400, 0x3c00, 0xbc00, 0x3bff, 0x3c01, 0x7bff, 0xfbff, 0x7c00,
    0xfc00, 0x7e00, 0x7c01, 0x7f80, 0xff80, 0x3f80, 0xffff,
];

/// Operands from a seed.
struct Random(SplitMix64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0.next_u64()
    }

    fn value(&mut self, bits: u32) -> u64 {
        let (r, s) = (self.next(), self.next());
        match (bits, r % 8) {
            (64, 0..=2) => self.value(32) << 32 | self.value(32),
            (32, 0) => u64::from(EDGES_32[s as usize % EDGES_32.len()]),
            (32, 1) => self.value(16) << 16 | self.value(16),
            // Floats within a few powers of two of one, so that sums and products interact.
            (32, 2..=4) => (s & 0x807f_ffff) | (118 + (s >> 40) % 20) << 23,
            // Few significant bits make ties.
            (32, 5) => (s & 0x807f_0000) | (118 + (s >> 40) % 20) << 23,
            // Small integers: shift counts, lane numbers.
            (32, 6) => s % 70,
            (16, 0 | 1) => u64::from(EDGES_16[s as usize % EDGES_16.len()]),
            _ => s,
        }
    }
}

impl Probe {
    /// Whether the instruction reads or writes memory.
    #[must_use]
    pub fn touches_memory(&self) -> bool {
        self.instruction.contains("[m]")
    }

    /// The module for an architecture such as `sm_90`.
    #[must_use]
    pub fn ptx_for(&self, target: &str) -> String {
        self.ptx.replace("TARGET", target)
    }

    /// The inputs of a round: `THREADS` records.
    #[must_use]
    pub fn inputs(&self, round: u32) -> Vec<u8> {
        let mut random = Random(SplitMix64::seed_from_u64(u64::from(round) + 1));
        let mut out = vec![0; THREADS as usize * RECORD];
        for (thread, record) in out.chunks_exact_mut(RECORD).enumerate() {
            let number = thread + (round * THREADS) as usize;
            for (slot, source) in self.sources.iter().enumerate() {
                let value = self.value(number, slot, *source, &mut random);
                record[8 * slot..8 * slot + 8].copy_from_slice(&value.to_le_bytes());
            }
            for word in record[64..].chunks_exact_mut(4) {
                word.copy_from_slice(&(random.value(32) as u32).to_le_bytes());
            }
        }
        out
    }

    fn value(&self, number: usize, slot: usize, source: Source, random: &mut Random) -> u64 {
        let bits = match source {
            Source::Any(bits) => bits,
            Source::Divisor => return random.value(32).max(1),
        };
        // One operand of 16 bits: all its values. Two operands: every pair of edges, then random.
        let edges = EDGES_32.len();
        match (self.sources.len(), bits) {
            (1, 16) => number as u64 & 0xffff,
            (1, 32) if number < edges => u64::from(EDGES_32[number]),
            (2, 32) if number < edges * edges => {
                u64::from(EDGES_32[number / [edges, 1][slot] % edges])
            }
            (_, 1) => random.next() & 1,
            _ => random.value(bits) & super::ast::width_mask(bits),
        }
    }

    /// The outputs of a round, executed.
    ///
    /// # Errors
    /// If the kernel faults, or is not PTX that the executor reads: the message.
    pub fn expected(&self, inputs: &[u8]) -> Result<Vec<u8>, String> {
        let module = Module::parse(&self.ptx_for("sm_90")).map_err(|error| error.to_string())?;
        let mut machine = Machine::new();
        let input = machine.memory.alloc_from(inputs);
        let output = machine.memory.alloc_from(&vec![0; inputs.len()]);
        let mut params = input.to_le_bytes().to_vec();
        params.extend(output.to_le_bytes());
        let grid = [THREADS / BLOCK, 1, 1];
        let launched = machine.launch(&module, "probe", grid, [BLOCK, 1, 1], 0, &params);
        launched.map_err(|fault: Fault| fault.to_string())?;
        machine.memory.read(output, inputs.len()).map_err(|error| error.to_string())
    }

    /// The first thread whose record in `actual` is not as expected, with both results' slots.
    #[must_use]
    pub fn difference(&self, expected: &[u8], actual: &[u8]) -> Option<(usize, String)> {
        let records = expected.chunks_exact(RECORD).zip(actual.chunks_exact(RECORD));
        for (thread, (expected, actual)) in records.enumerate() {
            if expected == actual || self.tolerance > 0 && self.near(expected, actual) {
                continue;
            }
            return Some((thread, format!("expected {}, got {}", words(expected), words(actual))));
        }
        None
    }

    /// Whether two `f32` results are at most the tolerance apart.
    fn near(&self, expected: &[u8], actual: &[u8]) -> bool {
        let word = |record: &[u8]| u32::from_le_bytes([record[0], record[1], record[2], record[3]]);
        let (a, b) = (word(expected), word(actual));
        a >> 31 == b >> 31 && a.abs_diff(b) <= self.tolerance
    }

    /// A thread's operands in words.
    #[must_use]
    pub fn operands(&self, inputs: &[u8], thread: usize) -> String {
        words(&inputs[thread * RECORD..(thread + 1) * RECORD])
    }
}

/// The slots of a record that are not zero.
fn words(record: &[u8]) -> String {
    let slots: Vec<String> = record
        .chunks_exact(8)
        .map(|b| format!("{:x}", b.iter().rev().fold(0u64, |x, &byte| x << 8 | u64::from(byte))))
        .collect();
    let shown = slots.iter().rposition(|slot| slot != "0").map_or(1, |last| last + 1);
    slots[..shown].join(" ")
}
