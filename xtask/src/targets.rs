//! `cargo xtask targets`: what is published, checked for machines that are not this one.
//!
//! The standard library's sources are those that the kernels' `core` comes from, checked along
//! (`-Zbuild-std`): no target has to be installed. NEON code is compiled so on any machine. A target
//! that is refused must be refused with the sentence that says so.

use std::path::Path;
use std::process::Command;

use crate::workspace::not_checked;
use crate::{compile, rust_src};

/// A target, and what its compilation is refused with, if it is.
struct Target {
    name: &'static str,
    refusal: Option<&'static str>,
}

const TARGETS: [Target; 4] = [
    Target { name: "aarch64-unknown-linux-gnu", refusal: None },
    Target { name: "aarch64-apple-darwin", refusal: None },
    Target { name: "x86_64-pc-windows-gnu", refusal: None },
    Target {
        name: "s390x-unknown-linux-gnu",
        refusal: Some("build it for a little-endian target"),
    },
];

/// Runs the command.
pub(crate) fn run(arguments: &[String]) -> Result<(), String> {
    let root = crate::root()?;
    let work = root.join("target/xtask");
    std::fs::create_dir_all(&work).map_err(|e| format!("{}: {e}", work.display()))?;
    let named =
        |target: &&Target| arguments.is_empty() || arguments.iter().any(|a| a == target.name);
    let targets: Vec<&Target> = TARGETS.iter().filter(named).collect();
    if targets.is_empty() {
        let known = TARGETS.map(|target| target.name).join(", ");
        return Err(format!("{arguments:?} names no target: use some of {known}, or none for all"));
    }
    let Some(sysroot) = rust_src::sysroot(&work)? else {
        return not_checked("rust-src", "the sources of the standard library can't be had here");
    };
    let rustc = compile::with_sysroot(&work.join("rustc-targets"), &sysroot)?;
    let wrong: Vec<String> = targets
        .into_iter()
        .filter_map(|target| check(&root, &work, &rustc, target).err())
        .collect();
    if wrong.is_empty() { Ok(()) } else { Err(wrong.join("; ")) }
}

fn check(root: &Path, work: &Path, rustc: &Path, target: &Target) -> Result<(), String> {
    let Target { name, refusal } = target;
    eprintln!("xtask: checking for {name}");
    let output = Command::new("cargo")
        .current_dir(root)
        .env("RUSTC", rustc)
        .env("RUSTC_BOOTSTRAP", "1")
        .env("CARGO_TARGET_DIR", work.join("targets"))
        .env_remove("RUSTC_WRAPPER")
        .env_remove("RUSTFLAGS")
        .args(["check", "--quiet", "--locked", "-p", "fouroversix-cli", "--target", name])
        .arg("-Zbuild-std=std,panic_abort")
        .output()
        .map_err(|e| format!("cannot run cargo: {e}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    match refusal {
        None if output.status.success() => Ok(()),
        Some(refusal) if !output.status.success() && said.contains(refusal) => Ok(()),
        None => Err(format!("{name} does not compile:\n{said}")),
        Some(refusal) => Err(format!("{name} is not refused with {refusal:?}:\n{said}")),
    }
}
