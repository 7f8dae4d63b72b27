//! `cargo xtask ptx`: the kernels, compiled by rustc's own NVPTX back end, one file for each.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use fouroversix_core::instruction_set::{Row, Text};
use fouroversix_core::{InstructionSet, Kernel};

use crate::{archive, entries, nvvm, rust_src};

/// The PTX of kernels, by instruction set and kernel.
pub(crate) type Files = BTreeMap<(InstructionSet, Kernel), String>;

/// The sets whose text is committed.
pub(crate) fn committed() -> impl Iterator<Item = InstructionSet> {
    InstructionSet::ALL.into_iter().filter(|set| set.row().text == Text::Committed)
}

/// Where a kernel's file is in a folder of PTX.
fn path(folder: &Path, set: InstructionSet, kernel: Kernel) -> PathBuf {
    folder.join(set.name()).join(format!("{kernel}.ptx"))
}

/// Runs the command.
pub(crate) fn run(arguments: &[String]) -> Result<(), String> {
    let (mut check, mut codegen, mut only, mut out) = (false, None, Vec::new(), None);
    let mut arguments = arguments.iter();
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--check" => check = true,
            "--codegen" => codegen = Some(arguments.next().ok_or("--codegen takes nvvm")?.clone()),
            "--isa" => only.push(set(arguments.next().ok_or("--isa takes a name")?)?),
            "--out" => out = Some(PathBuf::from(arguments.next().ok_or("--out takes a folder")?)),
            other => return Err(format!("unknown option {other:?}: see cargo xtask")),
        }
    }
    let root = crate::root()?;
    let work = root.join("target/xtask");
    fs::create_dir_all(&work).map_err(|e| format!("{}: {e}", work.display()))?;
    let all = only.is_empty();
    let sets = if all { InstructionSet::ALL.to_vec() } else { only };
    match codegen.as_deref() {
        None => {}
        Some("nvvm") if all && !check => return Err(nvvm::ISA_NEEDED.to_owned()),
        Some("nvvm") => return nvvm::run(&root, &work, &sets, check, out),
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
    if check {
        entries::compare(&root)?
    } else {
        entries::write(&root)?
    }
    let mut files = Files::new();
    for (set, text) in compile_all(&root.join("kernels-gpu"), &work, &sysroot, &sets)? {
        files.extend(split(&text, set)?.into_iter().map(|(kernel, text)| ((set, kernel), text)));
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

fn set(name: &str) -> Result<InstructionSet, String> {
    InstructionSet::from_name(name).ok_or_else(|| {
        let known = InstructionSet::WITH_REQUESTED.map(InstructionSet::name).join(", ");
        format!("unknown instruction set {name:?}: use one of {known}")
    })
}

/// What the device sources are told of a set: a cfg for each of its capabilities.
pub(crate) fn cfgs(set: InstructionSet) -> impl Iterator<Item = String> {
    set.cfgs().flat_map(|cfg| ["--cfg".to_owned(), cfg.to_owned()])
}

/// Compiles the kernels for some instruction sets, two at a time: the compiler uses one core for each.
fn compile_all(
    folder: &Path,
    work: &Path,
    sysroot: &Path,
    sets: &[InstructionSet],
) -> Result<Vec<(InstructionSet, String)>, String> {
    let mut texts = Vec::new();
    for pair in sets.chunks(2) {
        let compiled: Vec<_> = std::thread::scope(|scope| {
            let one = |set: &InstructionSet| {
                let set = *set;
                eprintln!("xtask: compiling for {set}");
                scope.spawn(move || compile(folder, work, sysroot, set, ""))
            };
            let threads: Vec<_> = pair.iter().map(one).collect();
            threads.into_iter().map(|thread| thread.join()).collect()
        });
        for (set, text) in pair.iter().zip(compiled) {
            texts.push((*set, text.map_err(|_| format!("compiling for {set} panicked"))??));
        }
    }
    Ok(texts)
}

/// Compiles the kernels for one instruction set, by the manifest in `folder` and with more flags if
/// any, to one PTX text.
pub(crate) fn compile(
    folder: &Path,
    work: &Path,
    sysroot: &Path,
    set: InstructionSet,
    more: &str,
) -> Result<String, String> {
    // Cargo looks for the sources in its compiler's sysroot: give it a compiler with ours.
    let rustc = work.join(format!("rustc-{set}"));
    let script = format!("#!/bin/sh\nexec rustc \"$@\" --sysroot '{}'\n", sysroot.display());
    fs::write(&rustc, script).map_err(|e| format!("{}: {e}", rustc.display()))?;
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs::set_permissions(&rustc, mode).map_err(|e| e.to_string())?;

    let target = work.join(set.name());
    let Row { cpu, ptx: [major, minor], .. } = set.row();
    let cfgs: Vec<String> = cfgs(set).collect();
    let flags = format!(
        "-Ctarget-cpu={cpu} -Ctarget-feature=+ptx{major}{minor} -Clinker=true \
         -Cllvm-args=-unroll-runtime=0 -Cllvm-args=-unroll-allow-peeling=0 {} {more}",
        cfgs.join(" ")
    );
    let profile =
        ["inherits='release'", "lto='fat'", "panic='abort'", "codegen-units=1", "debug=0"];
    let mut command = Command::new("cargo");
    command
        .current_dir(folder)
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
        return Err(format!("the kernels do not compile for {set}"));
    }
    let text = target.join("nvptx64-nvidia-cuda/ptx/deps/fouroversix_kernels.s");
    fs::read_to_string(&text).map_err(|e| format!("{}: {e}", text.display()))
}

/// One module for each kernel: the common header, then the entry. Comments and indentation go.
fn split(text: &str, set: InstructionSet) -> Result<Vec<(Kernel, String)>, String> {
    let mut header = String::new();
    let mut kernels: Vec<(Kernel, String)> = Vec::new();
    for line in text.lines() {
        let line = line.split("//").next().unwrap_or_default().trim().replace('\t', " ");
        let line = own_labels(&line);
        if line.is_empty() {
            continue;
        }
        if let Some(rest) = line.strip_prefix(".visible .entry ") {
            kernels.push((kernel(rest)?, header.clone()));
        } else if line.starts_with(".func") || line.starts_with(".visible .func") {
            return Err(format!("a function was not inlined: {line}"));
        }
        if line == "{"
            && let Some((kernel, text)) = kernels.last_mut().filter(|(_, t)| t.ends_with(")\n"))
            && let Some(registers) = kernel.register_limit(set)
        {
            text.push_str(&format!(".maxnreg {registers}\n"));
        }
        let to = kernels.last_mut().map_or(&mut header, |(_, text)| text);
        to.push_str(&line);
        to.push('\n');
    }
    kernels.sort();
    if kernels.iter().map(|(kernel, _)| *kernel).ne(Kernel::ALL) {
        return Err(format!("the entries for {set} are not the kernels that there are"));
    }
    Ok(kernels)
}

/// A line whose labels lack the number that the compiler gives to their kernel: a new kernel leaves the text
/// of others as it is.
fn own_labels(line: &str) -> String {
    let mut parts = line.split("$L__BB");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |line, part| {
        let number = part.trim_start_matches(|c: char| c.is_ascii_digit());
        line + "$L" + number.trim_start_matches('_')
    })
}

/// The kernel whose entry begins with its name and a bracket.
pub(crate) fn kernel(entry: &str) -> Result<Kernel, String> {
    let name = entry.split('(').next().unwrap_or_default().trim();
    Kernel::from_name(name)
        .ok_or_else(|| format!("the PTX has an entry {name}, which is no kernel"))
}

/// The text of a kernel for a set whose text is another's.
fn retarget(text: &str, from: InstructionSet, to: InstructionSet) -> String {
    text.replacen(&format!("\n.target {from}\n"), &format!("\n.target {to}\n"), 1)
}

/// Takes the files out that must follow from another set's.
fn drop_same_text(files: &mut Files) -> Result<(), String> {
    let mut wrong = Vec::new();
    let all = files.clone();
    files.retain(|(set, kernel), text| {
        let Text::SameAs(first) = set.row().text else { return true };
        if all.get(&(first, *kernel)).map(|it| retarget(it, first, *set)).as_ref() != Some(text) {
            wrong.push(format!("{kernel} for {set} is no longer that for {first}"));
        }
        false
    });
    if wrong.is_empty() { Ok(()) } else { Err(format!("{}: commit both", wrong.join(", "))) }
}

pub(crate) fn write(folder: &Path, files: &Files) -> Result<(), String> {
    for ((set, kernel), text) in files {
        write_one(folder, *set, *kernel, text)?;
    }
    eprintln!("xtask: wrote {} files to {}", files.len(), folder.display());
    Ok(())
}

fn write_one(folder: &Path, set: InstructionSet, kernel: Kernel, text: &str) -> Result<(), String> {
    let path = path(folder, set, kernel);
    let parent = path.parent().ok_or("no folder")?;
    fs::create_dir_all(parent).map_err(|e| format!("{}: {e}", parent.display()))?;
    fs::write(&path, text).map_err(|e| format!("{}: {e}", path.display()))
}

/// The text of a kernel in a folder of PTX: its file's, or that of the set that it is the same as.
pub(crate) fn text(folder: &Path, set: InstructionSet, kernel: Kernel) -> Option<String> {
    let own = fs::read_to_string(path(folder, set, kernel)).ok();
    own.or_else(|| match set.row().text {
        Text::SameAs(first) => {
            let text = fs::read_to_string(path(folder, first, kernel)).ok()?;
            Some(retarget(&text, first, set))
        }
        Text::Committed | Text::OnRequest => None,
    })
}

/// The file of a kernel in a folder of PTX, if it has one; of a set whose text is another's, one that is
/// made in `work`.
pub(crate) fn file(
    folder: &Path,
    set: InstructionSet,
    kernel: Kernel,
    work: &Path,
) -> Result<Option<PathBuf>, String> {
    let own = path(folder, set, kernel);
    if own.is_file() {
        return Ok(Some(own));
    }
    let Some(text) = text(folder, set, kernel) else { return Ok(None) };
    let made = work.join("same-text");
    write_one(&made, set, kernel, &text)?;
    Ok(Some(path(&made, set, kernel)))
}

/// The files of a set in a folder of PTX that are no kernel's.
pub(crate) fn strangers(folder: &Path, set: InstructionSet) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder.join(set.name())).into_iter().flatten().flatten();
    let known: Vec<PathBuf> = Kernel::ALL.map(|kernel| path(folder, set, kernel)).into();
    entries.map(|entry| entry.path()).filter(|path| !known.contains(path)).collect()
}

/// Every committed file is what compiling gives, and there are no others.
fn compare(committed: &Path, files: &Files) -> Result<(), String> {
    let mut wrong = Vec::new();
    for ((set, kernel), compiled) in files {
        if text(committed, *set, *kernel).as_ref() != Some(compiled) {
            wrong.push(format!("{set}/{kernel}.ptx"));
        }
    }
    for set in InstructionSet::ALL {
        wrong.extend(strangers(committed, set).iter().map(|path| path.display().to_string()));
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
