//! The tables.

use std::fmt::Write;
use std::fs;
use std::path::Path;

use super::TARGETS;
use super::kernel::{self, ELEMENTS};
use super::measure::{Measured, Walked};
use super::pipes::{HALF_RATE, PIPES};

/// A GPU that a target stands for: multiprocessors, clock, memory.
struct Gpu {
    arch: &'static str,
    name: &'static str,
    multiprocessors: f64,
    gigahertz: f64,
    terabytes: f64,
}

const GPUS: [Gpu; 3] = [
    Gpu { arch: "sm_90", name: "H100", multiprocessors: 132.0, gigahertz: 1.75, terabytes: 3.0 },
    Gpu { arch: "sm_100f", name: "B200", multiprocessors: 148.0, gigahertz: 1.92, terabytes: 8.0 },
    Gpu {
        arch: "sm_120f",
        name: "RTX 5090",
        multiprocessors: 170.0,
        gigahertz: 2.41,
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

/// What of a committed table is compared: all of `sass.md`, and the lines of `sass.csv` that are in
/// it too.
fn short(name: &str, committed: &str) -> String {
    let compared =
        |line: &&str| name != "sass.csv" || line.split(',').nth(1).is_some_and(kernel::in_short);
    committed.lines().filter(compared).map(|line| format!("{line}\n")).collect()
}

const INTRODUCTION: &str = "\
Written by `cargo xtask sass`, compared by `cargo xtask sass --check` in CI.

The committed PTX, assembled and disassembled; nothing here was run. *Hot* is the number of machine
instructions that a warp executes for one block of 16 elements in each lane: loads, stores,
addressing and the kernel's prologue included, compact scales, one global scale, every choice
certain. *Slow* is the longest path there is, the exact path with every subroutine and the padding of
swizzled scales. Kernels with both outputs count a block of the input once, for its two encodings.
`xtask/src/sass/walk.rs` says how branches are decided.

The columns by unit share out the hot path. ALU and conversions take a warp's instruction every other
cycle. *Issue* is the time that the schedulers need for the shape (16384, 6144) at four instructions
a cycle and multiprocessor, or twice the half-rate instructions if that is more; *memory* is the time
that its bytes need. `sass.csv` has all element types; here are bf16 and the kernels without one.
";

fn markdown(measured: &[Measured], reciprocal: &[String], version: &str) -> String {
    let mut text = format!("# Machine instructions\n\n{INTRODUCTION}\n");
    let measured: Vec<_> = measured.iter().filter(|m| kernel::in_short(&m.kernel)).collect();
    let spilling = measured.iter().filter(|m| m.stack > 0 || m.spills > 0).count();
    let _ = writeln!(text, "- Assembler: `ptxas` {version}.");
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
    for gpu in &GPUS {
        let _ = writeln!(
            text,
            "- {} (`{}`): {} multiprocessors at {} GHz, {} TB/s.",
            gpu.name, gpu.arch, gpu.multiprocessors, gpu.gigahertz, gpu.terabytes
        );
    }
    for target in &TARGETS {
        let _ = writeln!(text, "\n## {}\n\nFrom `ptx/{}`.\n", target.arch, target.isa);
        let _ = writeln!(
            text,
            "| kernel | registers | hot | slow | {} | issue µs | memory µs |",
            PIPES.join(" | ")
        );
        text.push_str("|---|");
        text.push_str(&"---:|".repeat(5 + PIPES.len()));
        text.push('\n');
        for m in measured.iter().filter(|m| m.arch == target.arch) {
            row(&mut text, m);
        }
    }
    text
}

fn row(text: &mut String, m: &Measured) {
    let _ = write!(text, "| {} | {} |", m.kernel, m.registers);
    let Some(walked) = &m.walked else {
        text.push_str(&" – |".repeat(4 + PIPES.len()));
        text.push('\n');
        return;
    };
    let slow = walked.slow.map_or("–".to_owned(), |slow| walked.per_block(slow));
    let _ = write!(text, " {} | {slow} |", walked.per_block(walked.hot));
    for count in walked.histogram {
        let _ = write!(text, " {} |", walked.per_block(count));
    }
    match GPUS.iter().find(|gpu| gpu.arch == m.arch) {
        Some(gpu) => {
            let [issue, memory] = gpu.times(walked);
            let _ = writeln!(text, " {issue:.1} | {memory:.1} |");
        }
        None => text.push_str(" – | – |\n"),
    }
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
