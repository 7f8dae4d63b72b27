//! Maintainers' commands: `cargo xtask ptx`, `cargo xtask sass`.
fn main() {}
