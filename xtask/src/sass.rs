//! `cargo xtask sass`: the committed PTX as machine code, on paper.
//!
//! Every `kernels-gpu/ptx/<isa>/<kernel>.ptx` is assembled for the GPUs it serves and disassembled;
//! [`walk`] counts the instructions that a warp executes for a block of 16 elements, on the path
//! that ordinary data take and on the longest one. The tables are committed in
//! `docs/benchmarks/sass.md` and `sass.csv`. `--check` assembles what `sass.md` lists, an eighth of
//! all (bf16 and the kernels without an element type, none for groups, a target for each
//! generation), and compares all of `sass.md` and those lines of `sass.csv`. Both fail where a hot path is over its
//! [`budget`]. The assembler is one
//! pinned release: another one counts otherwise.

mod budget;
mod disassembly;
mod kernel;
mod lanes;
mod measure;
mod ncu;
mod pipes;
mod reciprocal;
mod report;
mod targets;
pub(crate) mod tools;
mod walk;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use fouroversix_core::Kernel;

use crate::files;
use crate::workspace::not_checked;
use measure::Measured;
use targets::{TARGETS, in_short};
use tools::Tools;

struct Options {
    check: bool,
    tools: Option<PathBuf>,
    ptx: Option<PathBuf>,
    arch: Option<String>,
    kernel: Option<String>,
    path: bool,
    ncu: Vec<PathBuf>,
}

fn parse(arguments: &[String]) -> Result<Options, String> {
    let mut options = Options {
        check: false,
        tools: None,
        ptx: None,
        arch: None,
        kernel: None,
        path: false,
        ncu: Vec::new(),
    };
    let mut arguments = arguments.iter();
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().cloned().ok_or(format!("{argument} takes a value"));
        match argument.as_str() {
            "--check" => options.check = true,
            "--path" => options.path = true,
            "--tools" => options.tools = Some(value()?.into()),
            "--ptx" => options.ptx = Some(value()?.into()),
            "--arch" => options.arch = Some(value()?),
            "--kernel" => options.kernel = Some(value()?),
            "--ncu" => options.ncu.push(value()?.into()),
            other => return Err(format!("unknown option {other:?}: see cargo xtask")),
        }
    }
    Ok(options)
}

/// Runs the command.
pub(crate) fn run(arguments: &[String]) -> Result<(), String> {
    let options = parse(arguments)?;
    let root = crate::root()?;
    let work = root.join("target/xtask");
    fs::create_dir_all(&work).map_err(|e| format!("{}: {e}", work.display()))?;
    let Some(tools) = Tools::find(options.tools.as_deref(), &work)? else {
        eprintln!("xtask: name a folder that holds ptxas and nvdisasm by --tools.");
        let missing = "ptxas and nvdisasm can't be had here";
        return if options.check {
            not_checked("sass-tools", missing)
        } else {
            Err(format!("nothing was assembled: {missing}"))
        };
    };
    let ptx = options.ptx.clone().unwrap_or_else(|| root.join("kernels-gpu/ptx"));
    let measured = measure_all(&tools, &ptx, &work, &options)?;
    if !options.ncu.is_empty() {
        return ncu::compare(&options.ncu, &measured);
    }
    let spilling: Vec<String> = measured
        .iter()
        .filter(|m| m.stack > 0 || m.spills > 0)
        .map(|m| format!("{} on {}", m.kernel, m.arch))
        .collect();
    if options.kernel.is_some() || options.arch.is_some() || options.ptx.is_some() {
        print!("{}", report::lines(&measured, options.path));
    } else {
        let notes = reciprocal::check_all(&tools, &work)?;
        let folder = root.join("docs/benchmarks");
        let version = tools.version()?;
        report::finish(&folder, &measured, &notes, &version, options.check)?;
        budget::check(&root, &measured)?;
    }
    if spilling.is_empty() {
        Ok(())
    } else {
        Err(format!("stack or spills: {}", spilling.join(", ")))
    }
}

/// Kernels that are assembled together.
struct Job {
    arch: &'static str,
    kernels: Vec<(Kernel, PathBuf)>,
}

/// Few enough that all processors are busy to the end.
const KERNELS_OF_A_JOB: usize = 16;

/// The kernels that the options name, target by target.
fn jobs(ptx: &Path, work: &Path, options: &Options) -> Result<Vec<Job>, String> {
    let mut jobs = Vec::new();
    for target in &TARGETS {
        if options.arch.as_ref().is_some_and(|arch| arch != target.arch) {
            continue;
        }
        let named = Kernel::ALL.into_iter().filter(|kernel| {
            options.kernel.as_ref().is_none_or(|part| kernel.name().contains(part.as_str()))
                && (!options.check || in_short(target.arch, *kernel))
        });
        let mut kernels = Vec::new();
        for kernel in named {
            // A folder may hold some of them.
            if let Some(path) = files::file(ptx, target.set, kernel, work)? {
                kernels.push((kernel, path));
            }
        }
        let chunks = kernels.chunks(KERNELS_OF_A_JOB);
        jobs.extend(chunks.map(|c| Job { arch: target.arch, kernels: c.to_vec() }));
    }
    Ok(jobs)
}

/// Assembles and walks every kernel.
fn measure_all(
    tools: &Tools,
    ptx: &Path,
    work: &Path,
    options: &Options,
) -> Result<Vec<Measured>, String> {
    let jobs = jobs(ptx, work, options)?;
    let total = jobs.iter().map(|job| job.kernels.len()).sum::<usize>();
    if total == 0 {
        return Err(format!("no kernels under {}", ptx.display()));
    }
    let (next, done) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let work_off = || {
        let mut results = Vec::new();
        while let Some(job) = jobs.get(next.fetch_add(1, Relaxed)) {
            results.push(measure::measure(tools, work, job.arch, &job.kernels));
            let done = done.fetch_add(job.kernels.len(), Relaxed) + job.kernels.len();
            eprint!("\rxtask: {done}/{total} assembled");
        }
        results
    };
    let workers = std::thread::available_parallelism().map_or(2, usize::from);
    let results = std::thread::scope(|scope| {
        // Paths are followed by recursion.
        let worker = || std::thread::Builder::new().stack_size(256 << 20);
        let workers: Vec<_> = (0..workers)
            .map(|_| worker().spawn_scoped(scope, work_off).expect("threads can be started"))
            .collect();
        workers.into_iter().map(|w| w.join().map_err(|_| "a worker died".to_owned())).collect()
    });
    eprintln!();
    let results: Result<Vec<Vec<_>>, String> = results;
    let mut measured = Vec::new();
    for result in results?.into_iter().flatten() {
        measured.extend(result?);
    }
    let place = |m: &Measured| TARGETS.iter().position(|target| target.arch == m.arch);
    measured.sort_by_key(|m| (place(m), m.kernel));
    Ok(measured)
}
