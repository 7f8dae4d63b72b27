//! The `fouroversix` program.
fn main() {}
