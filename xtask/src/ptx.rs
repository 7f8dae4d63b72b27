//! `cargo xtask ptx`: the kernels, compiled by rustc's own NVPTX back end, one file for each.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::{archive, nvvm, rust_src};

/// An instruction set: our name, the compiler's target CPU and PTX version.
pub(crate) struct Isa {
    pub(crate) name: &'static str,
    pub(crate) cpu: &'static str,
    ptx: &'static str,
}

/// The first four are shipped. The last one runs Blackwell's kernels on Hopper, conversions emulated:
/// built on request.
const ISAS: [Isa; 5] = [
    Isa { name: "sm_80", cpu: "sm_80", ptx: "ptx70" },
    Isa { name: "sm_89", cpu: "sm_89", ptx: "ptx81" },
    Isa { name: "sm_100f", cpu: "sm_100f", ptx: "ptx88" },
    Isa { name: "sm_120f", cpu: "sm_120f", ptx: "ptx88" },
    Isa { name: "sm_90_as_blackwell", cpu: "sm_90", ptx: "ptx80" },
];
const SHIPPED: usize = 4;
/// Those whose text is committed.
pub(crate) const COMMITTED: [&str; 3] = ["sm_80", "sm_89", "sm_100f"];
/// The text of the second family is that of the first with its own name for the target.
pub(crate) const SAME_TEXT: [&str; 2] = ["sm_100f", "sm_120f"];

pub(crate) type Files = BTreeMap<PathBuf, String>;

/// Runs the command.
pub(crate) fn run(arguments: &[String]) -> Result<(), String> {
    let (mut check, mut codegen, mut only, mut out) = (false, None, Vec::new(), None);
    let mut arguments = arguments.iter();
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--check" => check = true,
            "--codegen" => codegen = Some(arguments.next().ok_or("--codegen takes nvvm")?.clone()),
            "--isa" => only.push(isa(arguments.next().ok_or("--isa takes a name")?)?),
            "--out" => out = Some(PathBuf::from(arguments.next().ok_or("--out takes a folder")?)),
            other => return Err(format!("unknown option {other:?}: see cargo xtask")),
        }
    }
    let root = crate::root()?;
    let work = root.join("target/xtask");
    fs::create_dir_all(&work).map_err(|e| format!("{}: {e}", work.display()))?;
    let all = only.is_empty();
    let isas = if all { ISAS[..SHIPPED].iter().collect() } else { only };
    match codegen.as_deref() {
        None => {}
        Some("nvvm") if all && !check => return Err(nvvm::ISA_NEEDED.to_owned()),
        Some("nvvm") => return nvvm::run(&root, &work, &isas, check, out),
        Some(other) => return Err(format!("unknown back end {other:?}: --codegen takes nvvm")),
    }
    let Some(sysroot) = rust_src::sysroot(&work)? else {
        eprintln!(
            "xtask: NOT CHECKED, NOT BUILT: the sources of the standard library can't be had here."
        );
        eprintln!("xtask: install rustup's rust-src, or name them by FOUROVERSIX_RUST_SRC.");
        return if check {
            archive::run(&["--check".to_owned()])
        } else {
            Err("no PTX was built".to_owned())
        };
    };
    let mut files = Files::new();
    for isa in isas {
        eprintln!("xtask: compiling for {}", isa.name);
        let text = compile(&root, &work, &sysroot, isa, "")?;
        for (kernel, text) in split(&text, isa.name)? {
            files.insert(Path::new(isa.name).join(format!("{kernel}.ptx")), text);
        }
    }
    let committed = root.join("kernels-gpu/ptx");
    if all {
        drop_same_text(&mut files)?;
    }
    match (check, out) {
        (true, _) => {
            compare(&committed, &files)?;
            if all { archive::compare_all(&root, &files) } else { Ok(()) }
        }
        (false, Some(folder)) => write(&folder, &files),
        (false, None) if all => {
            let _ = fs::remove_dir_all(&committed);
            write(&committed, &files)?;
            archive::write_all(&root, &files)
        }
        (false, None) => Err("--isa needs --out: the committed PTX is written as a whole".into()),
    }
}

fn isa(name: &str) -> Result<&'static Isa, String> {
    ISAS.iter().find(|isa| isa.name == name).ok_or_else(|| {
        let known = ISAS.map(|isa| isa.name).join(", ");
        format!("unknown instruction set {name:?}: use one of {known}")
    })
}

/// Compiles the kernels for one instruction set, with more flags if any, to one PTX text.
pub(crate) fn compile(
    root: &Path,
    work: &Path,
    sysroot: &Path,
    isa: &Isa,
    more: &str,
) -> Result<String, String> {
    // Cargo looks for the sources in its compiler's sysroot: give it a compiler with ours.
    let rustc = work.join("rustc");
    let script = format!("#!/bin/sh\nexec rustc \"$@\" --sysroot '{}'\n", sysroot.display());
    fs::write(&rustc, script).map_err(|e| format!("{}: {e}", rustc.display()))?;
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs::set_permissions(&rustc, mode).map_err(|e| e.to_string())?;

    let target = work.join(isa.name);
    let flags = format!(
        "-Ctarget-cpu={} -Ctarget-feature=+{} -Clinker=true -Cllvm-args=-unroll-runtime=0 -Cllvm-args=-unroll-allow-peeling=0 --cfg isa=\"{}\" {more}",
        isa.cpu, isa.ptx, isa.name
    );
    let profile =
        ["inherits='release'", "lto='fat'", "panic='abort'", "codegen-units=1", "debug=0"];
    let mut command = Command::new("cargo");
    command
        .current_dir(root.join("kernels-gpu"))
        .env("RUSTC", &rustc)
        .env("RUSTC_BOOTSTRAP", "1")
        .env("RUSTFLAGS", flags)
        .env("CARGO_TARGET_DIR", &target)
        .env_remove("RUSTC_WRAPPER")
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .args(["rustc", "--quiet", "--profile", "ptx"])
        .args(
            profile
                .iter()
                .flat_map(|setting| ["--config".to_owned(), format!("profile.ptx.{setting}")]),
        )
        .args(["--lib", "--crate-type", "cdylib", "--target", "nvptx64-nvidia-cuda"])
        .args(["-Zbuild-std=core", "--", "--emit", "asm"]);
    let status = command.status().map_err(|e| format!("cannot run cargo: {e}"))?;
    if !status.success() {
        return Err(format!("the kernels do not compile for {}", isa.name));
    }
    let text = target.join("nvptx64-nvidia-cuda/ptx/deps/fouroversix_kernels.s");
    fs::read_to_string(&text).map_err(|e| format!("{}: {e}", text.display()))
}

/// Registers a thread may have, where fewer than the assembler would take let more warps hide
/// memory's latency and nothing spills. Measured on H100 (`docs/benchmarks/`); `cargo xtask sass`
/// fails on a spill.
fn register_limit(isa: &str, kernel: &str) -> Option<u32> {
    if kernel.ends_with("_plain") || kernel.contains("_f32_") {
        return None;
    }
    if !matches!(isa, "sm_80" | "sm_89") {
        // More than it takes: left to itself it works scales out twice to save registers.
        return kernel.starts_with("quantize_1d_rowwise").then_some(96);
    }
    let limits = [
        ("quantize_1d_rowwise", 48),
        ("quantize_rows", 48),
        ("quantize_1d_columnwise", 64),
        ("quantize_1d_both", 64),
        ("quantize_2d_rowwise", 56),
        ("quantize_2d_columnwise", 56),
        ("quantize_2d_both", 64),
    ];
    limits.iter().find(|(prefix, _)| kernel.starts_with(prefix)).map(|(_, registers)| *registers)
}

/// One module for each kernel: the common header, then the entry. Comments and indentation go.
fn split(text: &str, isa: &str) -> Result<Vec<(String, String)>, String> {
    let mut header = String::new();
    let mut kernels: Vec<(String, String)> = Vec::new();
    for line in text.lines() {
        let line = line.split("//").next().unwrap_or_default().trim().replace('\t', " ");
        if line.is_empty() {
            continue;
        }
        if let Some(rest) = line.strip_prefix(".visible .entry ") {
            let name = rest.split('(').next().unwrap_or_default().to_owned();
            kernels.push((name, header.clone()));
        } else if line.starts_with(".func") || line.starts_with(".visible .func") {
            return Err(format!("a function was not inlined: {line}"));
        }
        if line == "{" && kernels.last().is_some_and(|(_, text)| text.ends_with(")\n")) {
            let (name, text) = kernels.last_mut().ok_or("no kernel")?;
            if let Some(registers) = register_limit(isa, name) {
                text.push_str(&format!(".maxnreg {registers}\n"));
            }
        }
        let to = kernels.last_mut().map_or(&mut header, |(_, text)| text);
        to.push_str(&line);
        to.push('\n');
    }
    kernels.sort();
    Ok(kernels)
}

/// The text of a kernel for the other family of [`SAME_TEXT`].
pub(crate) fn retarget(text: &str) -> String {
    let line = |isa: &str| format!("\n.target {isa}\n");
    text.replacen(&line(SAME_TEXT[0]), &line(SAME_TEXT[1]), 1)
}

/// Takes the second family's files out, which must follow from the first's.
fn drop_same_text(files: &mut Files) -> Result<(), String> {
    let [first, second] = SAME_TEXT.map(Path::new);
    let (of_second, rest): (Files, Files) =
        std::mem::take(files).into_iter().partition(|(path, _)| path.starts_with(second));
    let of_first = rest.iter().filter(|(path, _)| path.starts_with(first));
    let expected: Files = of_first
        .filter_map(|(path, text)| Some((second.join(path.file_name()?), retarget(text))))
        .collect();
    *files = rest;
    if of_second == expected {
        return Ok(());
    }
    let [first, second] = SAME_TEXT;
    Err(format!("the kernels of {second} are no longer those of {first}: commit both"))
}

pub(crate) fn write(folder: &Path, files: &Files) -> Result<(), String> {
    for (path, text) in files {
        let path = folder.join(path);
        let parent = path.parent().ok_or("no folder")?;
        fs::create_dir_all(parent).map_err(|e| format!("{}: {e}", parent.display()))?;
        fs::write(&path, text).map_err(|e| format!("{}: {e}", path.display()))?;
    }
    eprintln!("xtask: wrote {} files to {}", files.len(), folder.display());
    Ok(())
}

/// The committed text of `SET/KERNEL.ptx`.
fn committed_text(committed: &Path, path: &Path) -> Option<String> {
    let [first, second] = SAME_TEXT;
    match path.strip_prefix(second) {
        Ok(kernel) => Some(retarget(&fs::read_to_string(committed.join(first).join(kernel)).ok()?)),
        Err(_) => fs::read_to_string(committed.join(path)).ok(),
    }
}

/// The folder with a set's kernels in `ptx`; for the second family of [`SAME_TEXT`], where it has
/// none, one that is made in `work` from the first's.
pub(crate) fn folder(ptx: &Path, isa: &str, work: &Path) -> Result<PathBuf, String> {
    let [first, second] = SAME_TEXT;
    let own = ptx.join(isa);
    if isa != second || own.is_dir() {
        return Ok(own);
    }
    let Ok(entries) = fs::read_dir(ptx.join(first)) else { return Ok(own) };
    let mut files = Files::new();
    for path in entries.flatten().map(|entry| entry.path()) {
        let text = fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))?;
        files.insert(path.file_name().unwrap_or_default().into(), retarget(&text));
    }
    let made = work.join("same-text").join(second);
    let _ = fs::remove_dir_all(&made);
    write(&made, &files)?;
    Ok(made)
}

/// Every committed file is what compiling gives, and there are no others.
fn compare(committed: &Path, files: &Files) -> Result<(), String> {
    let mut wrong = Vec::new();
    for (path, text) in files {
        if committed_text(committed, path).as_ref() != Some(text) {
            wrong.push(path.display().to_string());
        }
    }
    let compiled = |isa: &&str| files.keys().any(|path| path.starts_with(isa));
    for isa in COMMITTED.into_iter().filter(compiled) {
        for entry in fs::read_dir(committed.join(isa)).into_iter().flatten().flatten() {
            let path = Path::new(isa).join(entry.file_name());
            if !files.contains_key(&path) {
                wrong.push(path.display().to_string());
            }
        }
    }
    if wrong.is_empty() {
        eprintln!("xtask: {} committed files are what compiling gives", files.len());
        return Ok(());
    }
    wrong.truncate(10);
    Err(format!(
        "committed PTX differs from what compiling gives: {}: run cargo xtask ptx",
        wrong.join(", ")
    ))
}
