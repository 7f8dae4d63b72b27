//! The archives hold the committed PTX.

use std::process::Command;

#[test]
fn archives_hold_the_committed_text() {
    let output = Command::new(env!("CARGO_BIN_EXE_xtask")).args(["archive", "--check"]).output();
    let output = output.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
