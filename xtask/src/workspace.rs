//! The workspace.

use std::path::PathBuf;
use std::process::Command;

/// The workspace that cargo runs this for, which need not be the one that it was compiled in.
pub(crate) fn root() -> Result<PathBuf, String> {
    let package = std::env::var_os("CARGO_MANIFEST_DIR").ok_or("run this as cargo xtask")?;
    PathBuf::from(package).parent().map(PathBuf::from).ok_or_else(|| "no workspace".to_owned())
}

/// Says that a check did not run, by `.ci/not-checked`: an error where CI must be able to.
pub(crate) fn not_checked(id: &str, sentence: &str) -> Result<(), String> {
    let script = root()?.join(".ci/not-checked");
    let status = Command::new(&script).args([id, sentence]).status();
    match status {
        Ok(status) if status.success() => Ok(()),
        Ok(_) => Err(format!("{sentence}, and CI must be able to check it")),
        Err(e) => Err(format!("{sentence}, and {} can't be run: {e}", script.display())),
    }
}
