//! The `fouroversix` program.

use std::process::ExitCode;

fn main() -> ExitCode {
    fouroversix_cli::run()
}
