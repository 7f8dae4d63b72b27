//! `cargo xtask ptx`: the kernels, compiled, one file for each.

use std::fs;
use std::path::PathBuf;

use fouroversix_core::InstructionSet;
use fouroversix_core::instruction_set::Text;

use crate::compile::{compile_all, split};
use crate::files::{self, Files};
use crate::workspace::not_checked;
use crate::{archive, entries, machine_code, nvvm, rust_src};

/// Runs the command.
pub(crate) fn run(arguments: &[String]) -> Result<(), String> {
    let (mut check, mut codegen, mut only, mut out) = (false, None, Vec::new(), None);
    let mut arguments = arguments.iter();
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--check" => check = true,
            "--codegen" => codegen = Some(arguments.next().ok_or("--codegen takes nvvm")?.clone()),
            "--isa" => only.push(set(arguments.next().ok_or("--isa takes a name")?)?),
            "--out" => out = Some(PathBuf::from(arguments.next().ok_or("--out takes a folder")?)),
            other => return Err(format!("unknown option {other:?}: see cargo xtask")),
        }
    }
    let root = crate::root()?;
    let work = root.join("target/xtask");
    fs::create_dir_all(&work).map_err(|e| format!("{}: {e}", work.display()))?;
    let all = only.is_empty();
    let sets = if all { InstructionSet::ALL.to_vec() } else { only };
    match codegen.as_deref() {
        None => {}
        Some("nvvm") if all && !check => return Err(nvvm::ISA_NEEDED.to_owned()),
        Some("nvvm") => return nvvm::run(&root, &work, &sets, check, out),
        Some(other) => return Err(format!("unknown back end {other:?}: --codegen takes nvvm")),
    }
    let Some(sysroot) = rust_src::sysroot(&work)? else {
        eprintln!("xtask: install rustup's rust-src, or name them by FOUROVERSIX_RUST_SRC.");
        let missing = "the sources of the standard library can't be had here";
        if !check {
            return Err(format!("no PTX was built: {missing}"));
        }
        archive::run(&["--check".to_owned()])?;
        machine_code::run(&["--check".to_owned()])?;
        return not_checked("rust-src", missing);
    };
    if check {
        entries::compare(&root)?
    } else {
        entries::write(&root)?
    }
    let mut files = Files::new();
    for (set, text) in compile_all(&root.join("kernels-gpu"), &work, &sysroot, &sets)? {
        files.extend(split(&text, set)?.into_iter().map(|(kernel, text)| ((set, kernel), text)));
    }
    let committed = root.join("kernels-gpu/ptx");
    if all {
        drop_same_text(&mut files)?;
    }
    match (check, out) {
        (true, _) => {
            files::compare(&committed, &files)?;
            if !all {
                return Ok(());
            }
            archive::compare_all(&root, &files)?;
            machine_code::run(&["--check".to_owned()])
        }
        (false, Some(folder)) => files::write(&folder, &files),
        (false, None) if all => {
            let _ = fs::remove_dir_all(&committed);
            files::write(&committed, &files)?;
            archive::write_all(&root, &files)?;
            machine_code::run(&[])
        }
        (false, None) => Err("--isa needs --out: the committed PTX is written as a whole".into()),
    }
}

fn set(name: &str) -> Result<InstructionSet, String> {
    InstructionSet::from_name(name).ok_or_else(|| {
        let known = InstructionSet::WITH_REQUESTED.map(InstructionSet::name).join(", ");
        format!("unknown instruction set {name:?}: use one of {known}")
    })
}

/// Takes the files out that must follow from another set's.
fn drop_same_text(files: &mut Files) -> Result<(), String> {
    let mut wrong = Vec::new();
    let all = files.clone();
    files.retain(|(set, kernel), text| {
        let Text::SameAs(first) = set.row().text else { return true };
        if all.get(&(first, *kernel)).map(|it| files::retarget(it, first, *set)).as_ref()
            != Some(text)
        {
            wrong.push(format!("{kernel} for {set} is no longer that for {first}"));
        }
        false
    });
    if wrong.is_empty() { Ok(()) } else { Err(format!("{}: commit both", wrong.join(", "))) }
}
