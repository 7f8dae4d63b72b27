//! The kernels compiled by rustc's own NVPTX back end, and their text cut into modules.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use fouroversix_core::instruction_set::Row;
use fouroversix_core::{InstructionSet, Kernel};

use crate::files::kernel;
use crate::modules::bare;

/// What the device sources are told of a set: a cfg for each of its capabilities.
pub(crate) fn cfgs(set: InstructionSet) -> impl Iterator<Item = String> {
    set.cfgs().flat_map(|cfg| ["--cfg".to_owned(), cfg.to_owned()])
}

/// Compiles the kernels for some instruction sets, two at a time: the compiler uses one core for each.
pub(crate) fn compile_all(
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

/// A compiler at `path` with another sysroot: Cargo looks for the standard library's sources in that of its
/// compiler.
pub(crate) fn with_sysroot(path: &Path, sysroot: &Path) -> Result<PathBuf, String> {
    let script = format!("#!/bin/sh\nexec rustc \"$@\" --sysroot '{}'\n", sysroot.display());
    fs::write(path, script).map_err(|e| format!("{}: {e}", path.display()))?;
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs::set_permissions(path, mode).map_err(|e| e.to_string())?;
    Ok(path.to_owned())
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
    let rustc = with_sysroot(&work.join(format!("rustc-{set}")), sysroot)?;

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
pub(crate) fn split(text: &str, set: InstructionSet) -> Result<Vec<(Kernel, String)>, String> {
    let mut header = String::new();
    let mut kernels: Vec<(Kernel, String)> = Vec::new();
    for line in text.lines() {
        let line = own_labels(&bare(line));
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
        {
            if let Some(registers) = kernel.register_limit(set) {
                text.push_str(&format!(".maxnreg {registers}\n"));
            }
            if let Some(threads) = kernel.thread_limit(set) {
                text.push_str(&format!(".maxntid {threads}\n"));
            }
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
