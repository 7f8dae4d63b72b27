//! The `fouroversix-lab` program.

use std::process::ExitCode;

fn main() -> ExitCode {
    fouroversix_lab::cli::run()
}
