//! `cargo xtask sass`: the committed PTX as machine code, on paper.
//!
//! Every `kernels-gpu/ptx/<isa>/<kernel>.ptx` is assembled for the GPUs it serves and disassembled;
//! [`walk`] counts the instructions that a warp executes for a block of 16 elements, on the path
//! that ordinary data take and on the longest one. The tables are committed in
//! `docs/benchmarks/sass.md` and `sass.csv`. `--check` assembles bf16 and the kernels without an
//! element type anew, a third of all: the whole of `sass.md`, and its lines of `sass.csv`.

mod disassembly;
mod kernel;
mod measure;
mod ncu;
mod pipes;
mod reciprocal;
mod report;
mod tools;
mod walk;

use std::fs;
use std::path::{Path, PathBuf};

use measure::Measured;
use tools::Tools;

/// An assembled target: the PTX it comes from and the name `ptxas` knows it by.
struct Target {
    isa: &'static str,
    arch: &'static str,
    /// A module header that it accepts.
    header: &'static str,
}

const TARGETS: [Target; 8] = [
    Target { isa: "sm_80", arch: "sm_80", header: ".version 7.0\n.target sm_80" },
    Target { isa: "sm_80", arch: "sm_86", header: ".version 7.0\n.target sm_80" },
    Target { isa: "sm_89", arch: "sm_89", header: ".version 8.1\n.target sm_89" },
    Target { isa: "sm_89", arch: "sm_90", header: ".version 8.1\n.target sm_89" },
    Target { isa: "sm_100f", arch: "sm_100f", header: ".version 8.8\n.target sm_100f" },
    Target { isa: "sm_100f", arch: "sm_103f", header: ".version 8.8\n.target sm_100f" },
    Target { isa: "sm_120f", arch: "sm_120f", header: ".version 8.8\n.target sm_120f" },
    Target { isa: "sm_120f", arch: "sm_121f", header: ".version 8.8\n.target sm_120f" },
];

/// Kernels that may use a stack or spill. None does.
const MAY_SPILL: [&str; 0] = [];

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
        eprintln!("xtask: NOT CHECKED, NOT WRITTEN: ptxas and nvdisasm can't be had here.");
        eprintln!("xtask: name a folder that holds them by --tools.");
        return if options.check { Ok(()) } else { Err("nothing was assembled".to_owned()) };
    };
    let ptx = options.ptx.clone().unwrap_or_else(|| root.join("kernels-gpu/ptx"));
    let measured = measure_all(&tools, &ptx, &work, &options)?;
    if !options.ncu.is_empty() {
        return ncu::compare(&options.ncu, &measured);
    }
    let spilling: Vec<String> = measured
        .iter()
        .filter(|m| (m.stack > 0 || m.spills > 0) && !MAY_SPILL.contains(&m.kernel.as_str()))
        .map(|m| format!("{} on {}", m.kernel, m.arch))
        .collect();
    if options.kernel.is_some() || options.arch.is_some() || options.ptx.is_some() {
        print!("{}", report::lines(&measured, options.path));
    } else {
        let notes = reciprocal::check_all(&tools, &work)?;
        let folder = root.join("docs/benchmarks");
        let version = tools.version()?;
        report::finish(&folder, &measured, &notes, &version, options.check)?;
    }
    if spilling.is_empty() {
        Ok(())
    } else {
        Err(format!("stack or spills: {}", spilling.join(", ")))
    }
}

/// Assembles and walks every kernel, a few at a time.
fn measure_all(
    tools: &Tools,
    ptx: &Path,
    work: &Path,
    options: &Options,
) -> Result<Vec<Measured>, String> {
    let mut jobs = Vec::new();
    for target in &TARGETS {
        if options.arch.as_ref().is_some_and(|arch| arch != target.arch) {
            continue;
        }
        let folder = ptx.join(target.isa);
        let Ok(entries) = fs::read_dir(&folder) else { continue };
        for entry in entries.flatten() {
            let path = entry.path();
            let kernel = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            let wanted = options.kernel.as_ref().is_none_or(|part| kernel.contains(part.as_str()))
                && (!options.check || kernel::in_short(&kernel));
            if wanted && path.extension().is_some_and(|e| e == "ptx") {
                jobs.push((target, kernel, path));
            }
        }
    }
    if jobs.is_empty() {
        return Err(format!("no kernels under {}", ptx.display()));
    }
    jobs.sort_by(|a, b| (a.0.arch, &a.1).cmp(&(b.0.arch, &b.1)));
    let next = std::sync::atomic::AtomicUsize::new(0);
    let workers = std::thread::available_parallelism().map_or(2, usize::from);
    let results = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..workers)
            .map(|_| {
                scope.spawn(|| {
                    let mut done = Vec::new();
                    loop {
                        let i = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                        let Some((target, kernel, path)) = jobs.get(i) else { return done };
                        done.push((i, measure::measure(tools, work, target.arch, kernel, path)));
                    }
                })
            })
            .collect();
        workers.into_iter().flat_map(|w| w.join().unwrap_or_default()).collect::<Vec<_>>()
    });
    let mut results = results;
    results.sort_by_key(|(i, _)| *i);
    if results.len() != jobs.len() {
        return Err("a worker died".to_owned());
    }
    results.into_iter().map(|(_, result)| result).collect()
}
