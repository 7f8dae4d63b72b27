//! `cargo xtask machine-code`: kernels of the committed PTX as machine code, which `host/ptx` carries.
//!
//! [`architectures`] says which kernels, for what. The assembler is the pinned release of `cargo xtask sass`:
//! the same release and PTX give the same bytes on any machine, so that a check is another assembly.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use fouroversix_core::Kernel;
use xxhash_rust::xxh3::xxh3_64;

use crate::archive::Layout;
use crate::files;
use crate::sass::tools::Tools;
use crate::workspace::not_checked;
use architectures::{ARCHITECTURES, Architecture};

#[path = "../../host/ptx/src/architectures.rs"]
mod architectures;

/// The command: assembles and writes, or compares.
pub(crate) fn run(arguments: &[String]) -> Result<(), String> {
    let (mut check, mut folder) = (false, None);
    let mut arguments = arguments.iter();
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--check" => check = true,
            "--tools" => {
                folder = Some(PathBuf::from(arguments.next().ok_or("--tools takes a folder")?))
            }
            other => return Err(format!("unknown option {other:?}: see cargo xtask")),
        }
    }
    let root = crate::root()?;
    let work = root.join("target/xtask");
    fs::create_dir_all(&work).map_err(|e| format!("{}: {e}", work.display()))?;
    let Some(tools) = Tools::find(folder.as_deref(), &work)? else {
        let missing = "ptxas can't be had here";
        return if check {
            not_checked("sass-tools", missing)
        } else {
            Err(format!(
                "the machine code is not that of the PTX: {missing}, and --tools names no folder"
            ))
        };
    };
    let all = assemble_all(&tools, &root, &work)?;
    let cuda = release(&tools.version()?)?;
    for (architecture, kernels) in ARCHITECTURES.iter().zip(&all) {
        if check {
            compare(&root, architecture, kernels, cuda)?;
        } else {
            write(&root, architecture, kernels, cuda)?;
        }
    }
    let count = all.iter().map(BTreeMap::len).sum::<usize>();
    eprintln!(
        "xtask: machine code of {count} kernels {}",
        if check { "is right" } else { "written" }
    );
    Ok(())
}

/// A kernel on an architecture.
struct Assembled {
    cubin: Vec<u8>,
    /// XXH3 of its PTX.
    ptx: u64,
}

impl AsRef<[u8]> for Assembled {
    fn as_ref(&self) -> &[u8] {
        &self.cubin
    }
}

type Kernels = BTreeMap<Kernel, Assembled>;

/// Assembles the kernels of all architectures, as many at a time as there are processors. Names all that
/// fail.
fn assemble_all(tools: &Tools, root: &Path, work: &Path) -> Result<Vec<Kernels>, String> {
    let work = work.join(format!("machine-code-{}", std::process::id()));
    fs::create_dir_all(&work).map_err(|e| format!("{}: {e}", work.display()))?;
    let mut jobs = Vec::new();
    for (at, architecture) in ARCHITECTURES.iter().enumerate() {
        let carried = Kernel::ALL.into_iter().filter(|kernel| architectures::carries(*kernel));
        jobs.extend(carried.map(|kernel| (at, architecture, kernel)));
    }
    let next = AtomicUsize::new(0);
    let work_off = || {
        let mut results = Vec::new();
        while let Some((at, architecture, kernel)) = jobs.get(next.fetch_add(1, Relaxed)) {
            let assembled = assemble(tools, root, &work, architecture, *kernel)
                .map_err(|e| format!("{kernel} for {}: {e}", architecture.name));
            results.push((*at, *kernel, assembled));
        }
        results
    };
    let workers = std::thread::available_parallelism().map_or(2, usize::from);
    let results: Vec<_> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..workers).map(|_| scope.spawn(work_off)).collect();
        workers.into_iter().map(|worker| worker.join()).collect()
    });
    let _ = fs::remove_dir_all(&work);
    let mut all: Vec<Kernels> = ARCHITECTURES.iter().map(|_| Kernels::new()).collect();
    let mut failed = Vec::new();
    for result in results {
        for (at, kernel, assembled) in result.map_err(|_| "a worker died")? {
            match assembled {
                Ok(assembled) => {
                    all[at].insert(kernel, assembled);
                }
                Err(e) => failed.push(e),
            }
        }
    }
    if failed.is_empty() { Ok(all) } else { Err(failed.join("\n")) }
}

fn assemble(
    tools: &Tools,
    root: &Path,
    work: &Path,
    architecture: &Architecture,
    kernel: Kernel,
) -> Result<Assembled, String> {
    let Architecture { name, set, .. } = *architecture;
    let text = files::text(&root.join("kernels-gpu/ptx"), set, kernel).ok_or("it has no PTX")?;
    let [ptx, cubin] = ["ptx", "cubin"].map(|end| work.join(format!("{name}-{kernel}.{end}")));
    let failed = |e| format!("{}: {e}", work.display());
    fs::write(&ptx, &text).map_err(failed)?;
    tools.machine_code(name, &ptx, &cubin)?;
    Ok(Assembled { cubin: fs::read(&cubin).map_err(failed)?, ptx: xxh3_64(text.as_bytes()) })
}

/// `13, 5` of `V13.5.37`.
fn release(version: &str) -> Result<(u32, u32), String> {
    let mut numbers = version.trim_start_matches('V').split('.').map(str::parse);
    match (numbers.next(), numbers.next()) {
        (Some(Ok(major)), Some(Ok(minor))) => Ok((major, minor)),
        _ => Err(format!("ptxas calls its version {version}")),
    }
}

fn files(root: &Path, architecture: &Architecture) -> [PathBuf; 2] {
    let folder = root.join("host/ptx/machine-code");
    ["lz", "rs"].map(|end| folder.join(format!("{}.{end}", architecture.name)))
}

/// What the archive is and was made from, as Rust.
fn index(
    architecture: &Architecture,
    kernels: &Kernels,
    cuda: (u32, u32),
    layout: &Layout,
    lengths: &[usize],
) -> String {
    let packed = layout.index(&format!("{}.lz", architecture.name), lengths);
    let digests: String =
        kernels.values().map(|kernel| format!("        {:#018x},\n", kernel.ptx)).collect();
    format!(
        "// Written by `cargo xtask machine-code`.\nAssembled {{\n    cuda: {cuda:?},\n    packed: {},\n    \
         #[cfg(test)]\n    ptx: &[\n{digests}    ],\n}}\n",
        packed.replace('\n', "\n    "),
    )
}

fn write(
    root: &Path,
    architecture: &Architecture,
    kernels: &Kernels,
    cuda: (u32, u32),
) -> Result<(), String> {
    let layout = Layout::of(kernels);
    let (bytes, lengths) = layout.pack(|part| Ok(part.to_vec()))?;
    let [archive, rust] = files(root, architecture);
    let index = index(architecture, kernels, cuda, &layout, &lengths);
    for (path, bytes) in [(archive, &*bytes), (rust, index.as_bytes())] {
        fs::write(&path, bytes).map_err(|e| format!("{}: {e}", path.display()))?;
    }
    Ok(())
}

fn compare(
    root: &Path,
    architecture: &Architecture,
    kernels: &Kernels,
    cuda: (u32, u32),
) -> Result<(), String> {
    let [archive, rust] = files(root, architecture);
    let wrong = |what: &Path| {
        format!("{} is not made of the committed PTX: run cargo xtask machine-code", what.display())
    };
    let bytes = fs::read(&archive).map_err(|e| format!("{}: {e}", archive.display()))?;
    let committed = fs::read_to_string(&rust).map_err(|e| format!("{}: {e}", rust.display()))?;
    let layout = Layout::of(kernels);
    let lengths = layout.lengths(&bytes, &committed, Some).ok_or_else(|| wrong(&archive))?;
    let expected = index(architecture, kernels, cuda, &layout, &lengths);
    if committed == expected { Ok(()) } else { Err(wrong(&rust)) }
}
