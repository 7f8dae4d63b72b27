//! Maintainers' commands.
//!
//! - `cargo xtask ptx`: compile the kernels and write `kernels-gpu/ptx/`.
//! - `cargo xtask ptx --check`: compile and compare with what is committed.

mod ptx;
mod rust_src;

use std::process::ExitCode;

const USAGE: &str = "usage: cargo xtask ptx [--check] [--isa NAME] [--out DIR]";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let result = match arguments.split_first() {
        Some((command, rest)) if command == "ptx" => ptx::run(rest),
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
