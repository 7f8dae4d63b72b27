//! What the crate `fouroversix-ptx` carries: the committed PTX, an archive for each instruction set.
//!
//! An archive is lzip members, one for each operation, so that a program takes apart only what it
//! launches; `lzip -dc` prints it. The committed text is what is looked at; an archive is right when
//! it holds that text.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use lzma_rust2::{LzipOptions, LzipReader, LzipWriter};

use crate::ptx::{COMMITTED, Files};

/// `cargo xtask archive`: packs the committed text, or checks that it is what is packed.
pub(crate) fn run(arguments: &[String]) -> Result<(), String> {
    let check = match arguments {
        [] => false,
        [option] if option == "--check" => true,
        _ => return Err("cargo xtask archive takes --check or nothing".to_owned()),
    };
    let root = crate::root()?;
    for isa in COMMITTED {
        let texts = committed(&root, isa)?;
        if check { compare(&root, isa, &texts)? } else { write(&root, isa, &texts)? }
    }
    eprintln!(
        "xtask: {} archives {}",
        COMMITTED.len(),
        if check { "are right" } else { "written" }
    );
    Ok(())
}

/// The archives of kernels that were compiled just now.
pub(crate) fn write_all(root: &Path, files: &Files) -> Result<(), String> {
    COMMITTED.iter().try_for_each(|isa| write(root, isa, &of(files, isa)))
}

/// Whether the archives hold these kernels.
pub(crate) fn compare_all(root: &Path, files: &Files) -> Result<(), String> {
    COMMITTED.iter().try_for_each(|isa| compare(root, isa, &of(files, isa)))
}

/// Kernels by name.
type Texts = BTreeMap<String, String>;

fn of(files: &Files, isa: &str) -> Texts {
    let of_set = files.iter().filter(|(path, _)| path.starts_with(isa));
    of_set.map(|(path, text)| (stem(path), text.clone())).collect()
}

fn committed(root: &Path, isa: &str) -> Result<Texts, String> {
    let folder = root.join("kernels-gpu/ptx").join(isa);
    let entries = fs::read_dir(&folder).map_err(|e| format!("{}: {e}", folder.display()))?;
    let read = |path: PathBuf| {
        let text = fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))?;
        Ok((stem(&path), text))
    };
    entries.flatten().map(|entry| read(entry.path())).collect()
}

fn stem(path: &Path) -> String {
    path.file_stem().unwrap_or_default().to_string_lossy().into_owned()
}

/// A kernel's name without element type, rule and whether it is grouped: such kernels are alike, and
/// of a program's few launches most are of one.
fn operation(kernel: &str) -> String {
    let alike = ["grouped", "bf16", "f16", "f32", "plain", "mae", "mse"];
    let words: Vec<&str> = kernel.split('_').filter(|word| !alike.contains(word)).collect();
    words.join("_")
}

fn files(root: &Path, isa: &str) -> [PathBuf; 2] {
    let folder = root.join("host/ptx/archive");
    [folder.join(format!("{isa}.lz")), folder.join(format!("{isa}.rs"))]
}

/// The index of an archive as Rust, and the text of each member.
fn lay_out(isa: &str, texts: &Texts, members: &[usize]) -> (String, Vec<String>) {
    let operations: BTreeMap<String, usize> = {
        let mut names: Vec<String> = texts.keys().map(|kernel| operation(kernel)).collect();
        names.sort();
        names.dedup();
        names.into_iter().enumerate().map(|(at, name)| (name, at)).collect()
    };
    let mut parts = vec![String::new(); operations.len()];
    let mut kernels = String::new();
    for (kernel, text) in texts {
        let member = operations[&operation(kernel)];
        let start = parts[member].len();
        parts[member] += text;
        kernels +=
            &format!("        (\"{kernel}\", {member}, {start}..{}),\n", parts[member].len());
    }
    let mut index = format!(
        "// Written by `cargo xtask ptx`.\nPacked {{\n    bytes: include_bytes!(\"{isa}.lz\"),\n    members: &[\n"
    );
    let mut start = 0;
    for length in members {
        index += &format!("        {start}..{},\n", start + length);
        start += length;
    }
    index += &format!("    ],\n    kernels: &[\n{kernels}    ],\n}}\n");
    (index, parts)
}

fn write(root: &Path, isa: &str, texts: &Texts) -> Result<(), String> {
    let (_, parts) = lay_out(isa, texts, &[]);
    let packed: Result<Vec<Vec<u8>>, String> = parts.iter().map(|part| pack(part)).collect();
    let packed = packed?;
    let lengths: Vec<usize> = packed.iter().map(Vec::len).collect();
    let (index, _) = lay_out(isa, texts, &lengths);
    let [archive, rust] = files(root, isa);
    let written = |path: &Path, bytes: &[u8]| {
        fs::write(path, bytes).map_err(|e| format!("{}: {e}", path.display()))
    };
    written(&archive, &packed.concat())?;
    written(&rust, index.as_bytes())
}

fn pack(text: &str) -> Result<Vec<u8>, String> {
    let mut writer = LzipWriter::new(Vec::new(), LzipOptions::with_preset(9));
    writer.write_all(text.as_bytes()).map_err(|e| format!("cannot compress: {e}"))?;
    writer.finish().map_err(|e| format!("cannot compress: {e}"))
}

/// An archive is compared by what it holds: another version of the compressor may give other bytes.
fn compare(root: &Path, isa: &str, texts: &Texts) -> Result<(), String> {
    let [archive, rust] = files(root, isa);
    let wrong = |what: &Path| {
        format!("{} does not hold the committed PTX: run cargo xtask archive", what.display())
    };
    let bytes = fs::read(&archive).map_err(|e| format!("{}: {e}", archive.display()))?;
    let index = fs::read_to_string(&rust).map_err(|e| format!("{}: {e}", rust.display()))?;
    // Where members begin and end stands on lines of their own.
    let ranges = index.lines().filter_map(|line| line.trim().strip_suffix(',')?.split_once(".."));
    let ranges = ranges.filter_map(|(start, end)| Some(start.parse().ok()?..end.parse().ok()?));
    let (mut lengths, mut parts) = (Vec::new(), Vec::new());
    for range in ranges {
        let member: &[u8] = bytes.get(range).ok_or_else(|| wrong(&rust))?;
        let mut part = String::new();
        let read = LzipReader::new(member).read_to_string(&mut part);
        read.map_err(|e| format!("{}: {e}", archive.display()))?;
        lengths.push(member.len());
        parts.push(part);
    }
    let (expected_index, expected_parts) = lay_out(isa, texts, &lengths);
    if parts != expected_parts || lengths.iter().sum::<usize>() != bytes.len() {
        return Err(wrong(&archive));
    }
    if index != expected_index { Err(wrong(&rust)) } else { Ok(()) }
}
