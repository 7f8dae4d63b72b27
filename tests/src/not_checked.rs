//! Checks that could not run: said, and on CI a failure where CI must be able to run them.

use std::process::Command;

/// Says that a check did not run, by `.ci/not-checked`, whose list gives the reason for each that CI may
/// leave out.
///
/// # Panics
/// With `CI=true` for an `id` that the list lacks.
pub fn not_checked(id: &str, sentence: &str) {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../.ci/not-checked");
    let status = Command::new(script).args([id, sentence]).status();
    let status = status.unwrap_or_else(|e| panic!("{sentence}, and {script} can't be run: {e}"));
    assert!(status.success(), "{sentence}, and CI must be able to check it");
}
