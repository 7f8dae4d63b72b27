//! One kernel on one target, counted.

use std::path::Path;

use super::disassembly;
use super::kernel::{self, Work};
use super::pipes::{self, Histogram};
use super::tools::Tools;
use super::walk;

/// What is known of a kernel on a target.
#[derive(Debug, Clone)]
pub(crate) struct Measured {
    pub(crate) arch: String,
    pub(crate) kernel: String,
    pub(crate) registers: u32,
    /// Bytes of static shared memory.
    pub(crate) shared: u32,
    /// Bytes of stack.
    pub(crate) stack: u32,
    /// Bytes of spill stores and loads.
    pub(crate) spills: u32,
    /// Instructions in the text.
    pub(crate) text: u64,
    pub(crate) walked: Option<Walked>,
}

/// The paths of one thread.
#[derive(Debug, Clone)]
pub(crate) struct Walked {
    pub(crate) work: Work,
    pub(crate) hot: u64,
    pub(crate) histogram: Histogram,
    /// Only where there is an exact path.
    pub(crate) slow: Option<u64>,
    /// The hot path's instructions as text.
    pub(crate) path: Vec<String>,
}

/// Assembles, disassembles and walks.
pub(crate) fn measure(
    tools: &Tools,
    work: &Path,
    arch: &str,
    kernel: &str,
    ptx: &Path,
) -> Result<Measured, String> {
    let cubin = work.join(format!("{arch}-{kernel}-{}.cubin", std::process::id()));
    let assembled = tools.assemble(arch, ptx, &cubin)?;
    let at = |e: String| format!("{kernel} on {arch}: {e}");
    let blocks = disassembly::parse(&assembled.text).map_err(at)?;
    let number = |after: &str| number_before(&assembled.report, after).unwrap_or(0);
    let registers = number_before(&assembled.report, " registers");
    let walked = match kernel::work(kernel) {
        None => None,
        Some(work) => {
            let (path, hot) = walk::hot(&blocks, &work)
                .ok_or_else(|| at("no path does the kernel's work".to_owned()))?;
            let slow = work.element.map(|_| walk::slow(&blocks, &work));
            let instructions = || path.iter().flat_map(|block| &blocks[*block].instructions);
            let mut histogram = Histogram::default();
            for instruction in instructions() {
                histogram[pipes::pipe(instruction)] += 1;
            }
            let path = instructions()
                .map(|i| format!("{:>5} {:<40} {}", i.guard, i.opcode, i.operands))
                .collect();
            Some(Walked { work, hot, histogram, slow, path })
        }
    };
    Ok(Measured {
        arch: arch.to_owned(),
        kernel: kernel.to_owned(),
        registers: registers.ok_or_else(|| at("no register count".to_owned()))?,
        shared: number(" bytes smem"),
        stack: number(" bytes stack frame"),
        spills: number(" bytes spill stores") + number(" bytes spill loads"),
        text: blocks.iter().map(|block| block.instructions.len() as u64).sum(),
        walked,
    })
}

/// The number that stands right before a phrase.
fn number_before(text: &str, phrase: &str) -> Option<u32> {
    let before = &text[..text.find(phrase)?];
    before.rsplit(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}
