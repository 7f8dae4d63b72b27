//! One kernel on one target, counted.

use std::path::{Path, PathBuf};

use fouroversix_core::Kernel;

use super::disassembly::{self, Block};
use super::kernel::{self, Work};
use super::lanes;
use super::pipes::{self, Histogram};
use super::tools::{Assembled, Tools};
use super::walk;

/// What is known of a kernel on a target.
#[derive(Debug, Clone)]
pub(crate) struct Measured {
    pub(crate) arch: String,
    pub(crate) kernel: Kernel,
    pub(crate) registers: u32,
    /// Bytes of shared memory.
    pub(crate) shared: u32,
    /// Bytes of stack.
    pub(crate) stack: u32,
    /// Bytes of spill stores and loads.
    pub(crate) spills: u32,
    /// Instructions in the text.
    pub(crate) text: u64,
    pub(crate) walked: Option<Walked>,
}

/// The paths of one warp, for the blocks of 16 of one thread.
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

/// Assembles kernels together and walks each.
pub(crate) fn measure(
    tools: &Tools,
    work: &Path,
    arch: &str,
    kernels: &[(Kernel, PathBuf)],
) -> Result<Vec<Measured>, String> {
    let Some((first, _)) = kernels.first() else { return Ok(Vec::new()) };
    let cubin = work.join(format!("{arch}-{first}-{}.cubin", std::process::id()));
    let ptx: Vec<&Path> = kernels.iter().map(|(_, path)| path.as_path()).collect();
    let assembled = tools.assemble(arch, &ptx, &cubin)?;
    let measure = |(kernel, _): &(Kernel, PathBuf)| {
        one(arch, *kernel, &assembled).map_err(|e| format!("{kernel} on {arch}: {e}"))
    };
    kernels.iter().map(measure).collect()
}

fn one(arch: &str, kernel: Kernel, assembled: &Assembled) -> Result<Measured, String> {
    let text = assembled.text(&kernel.name()).ok_or("no disassembly")?;
    let report = assembled.report(&kernel.name()).ok_or("no report")?;
    let number = |after: &str| number_before(report, after).unwrap_or(0);
    let blocks = disassembly::parse(text)?;
    let walked = kernel::work(kernel).map(|work| walk(&blocks, work)).transpose()?;
    Ok(Measured {
        arch: arch.to_owned(),
        kernel,
        registers: number_before(report, " registers").ok_or("no register count")?,
        shared: number(" bytes smem") + kernel.shared_bytes(),
        stack: number(" bytes stack frame"),
        spills: number(" bytes spill stores") + number(" bytes spill loads"),
        text: blocks.iter().map(|block| block.instructions.len() as u64).sum(),
        walked,
    })
}

fn walk(blocks: &[Block], work: Work) -> Result<Walked, String> {
    let warp = lanes::second_warp(blocks);
    let (path, hot) = walk::hot(&warp, &work).ok_or("no path does the kernel's work")?;
    let slow = work.element.map(|_| walk::slow(blocks, &work));
    let instructions = || path.iter().flat_map(|block| &warp[*block].instructions);
    let mut histogram = Histogram::default();
    for instruction in instructions() {
        histogram[pipes::pipe(instruction)] += 1;
    }
    let path =
        instructions().map(|i| format!("{:>5} {:<40} {}", i.guard, i.opcode, i.operands)).collect();
    Ok(Walked { work, hot, histogram, slow, path })
}

/// The number that stands right before a phrase.
fn number_before(text: &str, phrase: &str) -> Option<u32> {
    let before = &text[..text.find(phrase)?];
    before.rsplit(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}
