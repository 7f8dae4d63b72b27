//! Folders of PTX: a file for each kernel of each instruction set whose text is its own.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use fouroversix_core::instruction_set::Text;
use fouroversix_core::{InstructionSet, Kernel};

/// The PTX of kernels, by instruction set and kernel.
pub(crate) type Files = BTreeMap<(InstructionSet, Kernel), String>;

/// The sets whose text is committed.
pub(crate) fn committed() -> impl Iterator<Item = InstructionSet> {
    InstructionSet::ALL.into_iter().filter(|set| set.row().text == Text::Committed)
}

/// Where a kernel's file is in a folder of PTX.
fn path(folder: &Path, set: InstructionSet, kernel: Kernel) -> PathBuf {
    folder.join(set.name()).join(format!("{kernel}.ptx"))
}

/// The kernel whose entry begins with its name and a bracket.
pub(crate) fn kernel(entry: &str) -> Result<Kernel, String> {
    let name = entry.split('(').next().unwrap_or_default().trim();
    Kernel::from_name(name)
        .ok_or_else(|| format!("the PTX has an entry {name}, which is no kernel"))
}

/// The text of a kernel for a set whose text is another's.
pub(crate) fn retarget(text: &str, from: InstructionSet, to: InstructionSet) -> String {
    text.replacen(&format!("\n.target {from}\n"), &format!("\n.target {to}\n"), 1)
}

pub(crate) fn write(folder: &Path, files: &Files) -> Result<(), String> {
    for ((set, kernel), text) in files {
        write_one(folder, *set, *kernel, text)?;
    }
    eprintln!("xtask: wrote {} files to {}", files.len(), folder.display());
    Ok(())
}

fn write_one(folder: &Path, set: InstructionSet, kernel: Kernel, text: &str) -> Result<(), String> {
    let path = path(folder, set, kernel);
    let parent = path.parent().ok_or("no folder")?;
    fs::create_dir_all(parent).map_err(|e| format!("{}: {e}", parent.display()))?;
    fs::write(&path, text).map_err(|e| format!("{}: {e}", path.display()))
}

/// The text of a kernel in a folder of PTX: its file's, or that of the set that it is the same as.
pub(crate) fn text(folder: &Path, set: InstructionSet, kernel: Kernel) -> Option<String> {
    let own = fs::read_to_string(path(folder, set, kernel)).ok();
    own.or_else(|| match set.row().text {
        Text::SameAs(first) => {
            let text = fs::read_to_string(path(folder, first, kernel)).ok()?;
            Some(retarget(&text, first, set))
        }
        Text::Committed | Text::OnRequest => None,
    })
}

/// The file of a kernel in a folder of PTX, if it has one; of a set whose text is another's, one that is
/// made in `work`.
pub(crate) fn file(
    folder: &Path,
    set: InstructionSet,
    kernel: Kernel,
    work: &Path,
) -> Result<Option<PathBuf>, String> {
    let own = path(folder, set, kernel);
    if own.is_file() {
        return Ok(Some(own));
    }
    let Some(text) = text(folder, set, kernel) else { return Ok(None) };
    let made = work.join("same-text");
    write_one(&made, set, kernel, &text)?;
    Ok(Some(path(&made, set, kernel)))
}

/// The files of a set in a folder of PTX that are no kernel's.
pub(crate) fn strangers(folder: &Path, set: InstructionSet) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder.join(set.name())).into_iter().flatten().flatten();
    let known: Vec<PathBuf> = Kernel::ALL.map(|kernel| path(folder, set, kernel)).into();
    entries.map(|entry| entry.path()).filter(|path| !known.contains(path)).collect()
}

/// Every committed file is what compiling gives, and there are no others.
pub(crate) fn compare(committed: &Path, files: &Files) -> Result<(), String> {
    let mut wrong = Vec::new();
    for ((set, kernel), compiled) in files {
        if text(committed, *set, *kernel).as_ref() != Some(compiled) {
            wrong.push(format!("{set}/{kernel}.ptx"));
        }
    }
    for set in InstructionSet::ALL {
        wrong.extend(strangers(committed, set).iter().map(|path| path.display().to_string()));
    }
    if wrong.is_empty() {
        eprintln!("xtask: {} committed files are what compiling gives", files.len());
        return Ok(());
    }
    wrong.truncate(10);
    Err(format!(
        "committed PTX differs from what compiling gives: {}: run cargo xtask ptx",
        wrong.join(", ")
    ))
}
