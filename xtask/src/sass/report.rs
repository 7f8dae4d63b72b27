//! The tables.

use std::fmt::Write;
use std::fs;
use std::path::Path;

use fouroversix_core::Kernel;

use super::kernel::ELEMENTS;
use super::measure::{Measured, Walked};
use super::pipes::{HALF_RATE, PIPES};
use super::targets::{TARGETS, in_short};

/// A GPU that a target stands for: multiprocessors, clock, memory.
struct Gpu {
    arch: &'static str,
    name: &'static str,
    multiprocessors: f64,
    gigahertz: f64,
    terabytes: f64,
}

/// Data sheets' figures, at the highest clock.
const GPUS: [Gpu; 3] = [
    Gpu { arch: "sm_90", name: "H100", multiprocessors: 132.0, gigahertz: 1.98, terabytes: 3.35 },
    Gpu { arch: "sm_100f", name: "B200", multiprocessors: 148.0, gigahertz: 1.965, terabytes: 8.0 },
    Gpu {
        arch: "sm_120f",
        name: "RTX 5090",
        multiprocessors: 170.0,
        gigahertz: 2.407,
        terabytes: 1.792,
    },
];

impl Gpu {
    /// µs to issue a hot path for every block of the shape, and µs to move the bytes.
    fn times(&self, walked: &Walked) -> [f64; 2] {
        let blocks = ELEMENTS as f64 / 16.0;
        let half_rate: u64 = HALF_RATE.iter().map(|pipe| walked.histogram[*pipe]).sum();
        let slots = walked.hot.max(2 * half_rate) as f64 / f64::from(walked.work.blocks);
        // Four schedulers, an instruction for 32 threads a cycle each.
        let per_second = self.multiprocessors * 4.0 * 32.0 * self.gigahertz * 1e9;
        let issue = slots * blocks / per_second;
        let memory = blocks * f64::from(walked.work.traffic) / (self.terabytes * 1e12);
        [issue * 1e6, memory * 1e6]
    }
}

impl Walked {
    fn per_block(&self, count: u64) -> String {
        let per_block = count as f64 / f64::from(self.work.blocks);
        let digits = usize::from(per_block.fract() != 0.0);
        format!("{per_block:.digits$}")
    }
}

/// A line for each kernel, for the terminal.
pub(crate) fn lines(measured: &[Measured], path: bool) -> String {
    let mut text = String::new();
    for m in measured {
        let _ = write!(text, "{} {}: {} registers", m.arch, m.kernel, m.registers);
        let _ = write!(text, ", stack {}, spills {}", m.stack, m.spills);
        if let Some(walked) = &m.walked {
            let _ = write!(text, ", {} a block", walked.per_block(walked.hot));
            if let Some(slow) = walked.slow {
                let _ = write!(text, ", slow {}", walked.per_block(slow));
            }
            for (pipe, count) in PIPES.iter().zip(walked.histogram) {
                let _ = write!(text, ", {pipe} {}", walked.per_block(count));
            }
            if path {
                let _ = write!(text, "\n{}", walked.path.join("\n"));
            }
        }
        text.push('\n');
    }
    text
}

/// Writes the tables, or compares them with what is written.
pub(crate) fn finish(
    folder: &Path,
    measured: &[Measured],
    reciprocal: &[String],
    version: &str,
    check: bool,
) -> Result<(), String> {
    let files = [("sass.md", markdown(measured, reciprocal, version)), ("sass.csv", csv(measured))];
    if check {
        let committed = fs::read_to_string(folder.join("sass.md")).unwrap_or_default();
        if !committed.contains(&assembler(version)) {
            return Err(format!("docs/benchmarks/sass.md is missing or not of ptxas {version}"));
        }
        for (name, text) in files {
            let committed = fs::read_to_string(folder.join(name)).unwrap_or_default();
            if short(name, &committed) != text {
                return Err(format!("docs/benchmarks/{name} is out of date: run cargo xtask sass"));
            }
        }
        eprintln!("xtask: {} assembled kernels are what the tables say", measured.len());
        return Ok(());
    }
    fs::create_dir_all(folder).map_err(|e| format!("{}: {e}", folder.display()))?;
    for (name, text) in files {
        let path = folder.join(name);
        fs::write(&path, text).map_err(|e| format!("{}: {e}", path.display()))?;
        eprintln!("xtask: wrote {}", path.display());
    }
    Ok(())
}

fn assembler(version: &str) -> String {
    format!("- Assembler: `ptxas` {version}.")
}

/// What of a committed table is compared: all of `sass.md`, and the lines of `sass.csv` that are in
/// it too.
fn short(name: &str, committed: &str) -> String {
    let compared = |line: &&str| match line.split(',').collect::<Vec<_>>()[..] {
        [arch, kernel, ..] if name == "sass.csv" => {
            arch == "arch" || Kernel::from_name(kernel).is_some_and(|it| in_short(arch, it))
        }
        _ => true,
    };
    committed.lines().filter(compared).map(|line| format!("{line}\n")).collect()
}

const INTRODUCTION: &str = "\
Written by `cargo xtask sass`, compared by `cargo xtask sass --check` in CI. Nothing here was run: the
committed PTX was assembled, disassembled and walked through.

**Hot** is the number of machine instructions that a warp executes for a block of 16 elements in each
of its lanes, everything included: loads, stores, addresses, the kernel's first and last lines. It is
the way of ordinary blocks: each choice between the candidates certain, compact scales, one global
scale. With both outputs a block of the input counts once, for its two encodings. Random data take
some warps further: near ties and, with row scaling, the block of each row's maximum, whose two
candidates are the same. **Slow** bounds the longest way: all 32 blocks saturated, subnormal or not
finite, every division and reciprocal in its slow case, swizzled scales with padding.
`xtask/src/sass/walk.rs` says how branches are decided, and
[h100-conformance.md](h100-conformance.md) what the hardware counts.
";

const TIMES: &str = "\
## Estimated least times

Of the shape (16384, 6144), in µs. *Issue* is the time to issue the hot instructions, one in each
cycle by each of a multiprocessor's four schedulers; or, if that is more, twice the instructions of
the units taken to accept a warp's only every other cycle (ALU, conversion). *Memory* is the time to
read and write each byte once. The larger of the two bounds the kernel.
";

const SECTIONS: &str = "\
## By target

Registers of a thread, bytes of shared memory of a block of threads, bytes spilled by a thread; then
hot and slow as above; then the hot instructions by the unit that executes them (MUFU: reciprocals;
LSU: loads, stores, shuffles; uniform: addresses and constants; control: branches, barriers, votes).
`sass.csv` has all targets, all element types and the kernels for groups of tensors.
";

fn markdown(measured: &[Measured], reciprocal: &[String], version: &str) -> String {
    let mut text = format!("# Machine instructions\n\n{INTRODUCTION}\n");
    let measured: Vec<_> = measured.iter().filter(|m| in_short(&m.arch, m.kernel)).collect();
    let spilling = measured.iter().filter(|m| m.stack > 0 || m.spills > 0).count();
    let _ = writeln!(text, "{}", assembler(version));
    let _ = writeln!(
        text,
        "- {} assembled kernels are listed, {spilling} of them with a stack or spills.",
        measured.len()
    );
    let _ = writeln!(
        text,
        "- `rcp.rn.f32` outside its slow path is the approximation and the Newton step that the hot \
         loop writes by hand, checked in machine code on {}.",
        reciprocal.join(", ")
    );
    let _ = writeln!(text, "\n{TIMES}");
    for gpu in &GPUS {
        let _ = writeln!(
            text,
            "- {} (`{}`): {} multiprocessors at {} GHz, {} TB/s.",
            gpu.name, gpu.arch, gpu.multiprocessors, gpu.gigahertz, gpu.terabytes
        );
    }
    times(&mut text, &measured);
    let _ = writeln!(text, "\n{SECTIONS}");
    for target in &TARGETS {
        let Some(gpu) = target.gpu else { continue };
        let (arch, isa) = (target.arch, target.set);
        let _ = writeln!(text, "### {arch}: {gpu}\n\nFrom `ptx/{isa}`.\n");
        let columns = ["kernel", "registers", "shared", "spilled", "hot", "slow"];
        text.push_str(&header(columns.into_iter().chain(PIPES)));
        text.extend(measured.iter().filter(|m| m.arch == arch).map(row));
        text.push('\n');
    }
    text.truncate(text.trim_end().len());
    text.push('\n');
    text
}

/// The first two lines of a table: names, then numbers.
fn header<'a>(columns: impl Iterator<Item = &'a str>) -> String {
    let columns: Vec<_> = columns.collect();
    format!("| {} |\n|---|{}\n", columns.join(" | "), "--:|".repeat(columns.len() - 1))
}

/// A line for each kernel, with hot instructions and times on each GPU.
fn times(text: &mut String, measured: &[&Measured]) {
    text.push('\n');
    let columns = GPUS.map(|gpu| [format!("{} hot", gpu.name), "issue".into(), "memory".into()]);
    let columns = columns.as_flattened().iter().map(String::as_str);
    text.push_str(&header(std::iter::once("kernel").chain(columns)));
    for first in measured.iter().filter(|m| m.arch == GPUS[0].arch && m.walked.is_some()) {
        let _ = write!(text, "| {} |", first.kernel);
        for gpu in &GPUS {
            let on_gpu = |m: &&&Measured| m.arch == gpu.arch && m.kernel == first.kernel;
            match measured.iter().find(on_gpu).and_then(|m| m.walked.as_ref()) {
                Some(walked) => {
                    let [issue, memory] = gpu.times(walked);
                    let hot = walked.per_block(walked.hot);
                    let _ = write!(text, " {hot} | {issue:.1} | {memory:.1} |");
                }
                None => text.push_str(" – | – | – |"),
            }
        }
        text.push('\n');
    }
}

fn row(m: &&Measured) -> String {
    let mut text = format!("| {} | {} | {} | {} |", m.kernel, m.registers, m.shared, m.spills);
    match &m.walked {
        Some(walked) => {
            let slow = walked.slow.map_or("–".to_owned(), |slow| walked.per_block(slow));
            let _ = write!(text, " {} | {slow} |", walked.per_block(walked.hot));
            for count in walked.histogram {
                let _ = write!(text, " {} |", walked.per_block(count));
            }
        }
        None => text.push_str(&" – |".repeat(2 + PIPES.len())),
    }
    text.push('\n');
    text
}

fn csv(measured: &[Measured]) -> String {
    let mut text = format!(
        "arch,kernel,registers,shared_bytes,stack_bytes,spill_bytes,text,blocks_per_thread,hot_per_block,slow_per_block,{}\n",
        PIPES.map(str::to_lowercase).join(",")
    );
    for m in measured {
        let _ = write!(text, "{},{},{},{}", m.arch, m.kernel, m.registers, m.shared);
        let _ = write!(text, ",{},{},{}", m.stack, m.spills, m.text);
        match &m.walked {
            Some(walked) => {
                let slow = walked.slow.map_or(String::new(), |slow| walked.per_block(slow));
                let hot = walked.per_block(walked.hot);
                let _ = write!(text, ",{},{hot},{slow}", walked.work.blocks);
                for count in walked.histogram {
                    let _ = write!(text, ",{}", walked.per_block(count));
                }
            }
            None => text.push_str(&",".repeat(3 + PIPES.len())),
        }
        text.push('\n');
    }
    text
}
