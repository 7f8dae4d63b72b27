//! The workspace.

use std::path::PathBuf;

/// The workspace that cargo runs this for, which need not be the one that it was compiled in.
pub(crate) fn root() -> Result<PathBuf, String> {
    let package = std::env::var_os("CARGO_MANIFEST_DIR").ok_or("run this as cargo xtask")?;
    PathBuf::from(package).parent().map(PathBuf::from).ok_or_else(|| "no workspace".to_owned())
}
