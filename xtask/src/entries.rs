//! The list of kernels that the device sources make entries from: [`Kernel::ALL`] as Rust.

use std::fs;
use std::path::{Path, PathBuf};

use fouroversix_core::Kernel;

/// The committed list.
fn path(root: &Path) -> PathBuf {
    root.join("kernels-gpu/src/kernels/list.rs")
}

/// Writes the list.
pub(crate) fn write(root: &Path) -> Result<(), String> {
    let path = path(root);
    fs::write(&path, list()).map_err(|e| format!("{}: {e}", path.display()))
}

/// Whether the committed list is that of the kernels there are.
pub(crate) fn compare(root: &Path) -> Result<(), String> {
    let path = path(root);
    let committed = fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))?;
    if committed == list() {
        Ok(())
    } else {
        Err(format!("{} does not list the kernels there are: run cargo xtask ptx", path.display()))
    }
}

fn list() -> String {
    let entries: String = Kernel::ALL.into_iter().map(entry).collect();
    format!("// Written by `cargo xtask ptx` from `Kernel::ALL`.\nentries! {{\n{entries}}}\n")
}

/// A kernel's name and what it is, in the words of `fouroversix_core::kernel`.
fn entry(kernel: Kernel) -> String {
    let mut what = Vec::new();
    what.extend(kernel.blocks().map(|blocks| format!("{blocks:?}")));
    what.extend(kernel.outputs().map(|outputs| format!("{outputs:?}")));
    what.push(kernel.grouped().to_string());
    what.extend(kernel.input().map(|input| format!("{input:?}")));
    what.extend(kernel.rule().map(|rule| format!("{rule:?}")));
    if kernel.quantizes() {
        what.push(if kernel.transforms() { "Hadamard" } else { "Identity" }.to_owned());
        what.push(if kernel.is_stochastic() { "Stochastic" } else { "Nearest" }.to_owned());
    }
    format!("    {kernel}: {:?}({});\n", kernel.operation(), what.join(", "))
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_committed_list_is_that_of_the_kernels_there_are() {
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        super::compare(root).unwrap();
    }
}
