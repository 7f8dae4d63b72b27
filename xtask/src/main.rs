//! Maintainers' commands.
//!
//! - `cargo xtask ptx`: list the entries in `kernels-gpu/src`, compile them, and write
//!   `kernels-gpu/ptx/`, `host/ptx/archive/` and `host/ptx/machine-code/`.
//! - `cargo xtask ptx --check`: compile and compare with what is committed.
//! - `cargo xtask ptx --codegen nvvm`: compile with rust-cuda's back end, into `target/`.
//! - `cargo xtask ptx --codegen nvvm --check`: compile that path without that back end.
//! - `cargo xtask archive [--check]`: write `host/ptx/archive/` from the committed PTX, or compare.
//! - `cargo xtask machine-code [--check] [--tools DIR]`: assemble the committed PTX and write
//!   `host/ptx/machine-code/`, or compare.
//! - `cargo xtask graph [--check]`: print the import graph; fail on circles and arrows up.
//! - `cargo xtask targets [NAME…]`: check what is published for other machines.
//! - `cargo xtask sass`: assemble the committed PTX and write `docs/benchmarks/sass.*`.
//! - `cargo xtask sass --check`: assemble the kernels of `sass.md` and compare.
//! - `cargo xtask sass --arch A --kernel PART [--ptx DIR] [--path]`: print counts, and the hot path.
//! - `cargo xtask sass --arch sm_90 --ncu CSV…`: compare with the hardware's counter.

mod archive;
mod compile;
mod entries;
mod files;
mod graph;
mod machine_code;
mod modules;
mod nvvm;
mod ptx;
mod rust_src;
mod sass;
mod targets;
mod workspace;

use std::process::ExitCode;

use workspace::root;

const USAGE: &str = "usage: cargo xtask ptx [--check] [--codegen nvvm] [--isa NAME] [--out DIR]
       cargo xtask archive [--check]
       cargo xtask machine-code [--check] [--tools DIR]
       cargo xtask graph [--check]
       cargo xtask targets [NAME...]
       cargo xtask sass [--check] [--tools DIR] [--arch ARCH] [--kernel PART] [--ptx DIR] [--path]
                        [--ncu CSV]";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let result = match arguments.split_first() {
        Some((command, rest)) if command == "ptx" => ptx::run(rest),
        Some((command, rest)) if command == "archive" => archive::run(rest),
        Some((command, rest)) if command == "machine-code" => machine_code::run(rest),
        Some((command, rest)) if command == "sass" => sass::run(rest),
        Some((command, rest)) if command == "graph" => graph::run(rest),
        Some((command, rest)) if command == "targets" => targets::run(rest),
        _ => Err(USAGE.to_owned()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("xtask: {message}");
            ExitCode::FAILURE
        }
    }
}
