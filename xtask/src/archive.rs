//! What the crate `fouroversix-ptx` carries: the committed PTX, an archive for each instruction set.
//!
//! Registers and labels are numbered by differences there (`numbers`), which compress to a third.
//! An archive is lzip members, one for each operation, so that a program takes apart only what it
//! launches; `lzip -dc` prints it. The committed text is what is looked at; an archive is right when
//! it holds that text.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use fouroversix_core::kernel::{Blocks, Operation};
use fouroversix_core::{InstructionSet, Kernel, Outputs};
use lzma_rust2::{LzipOptions, LzipReader, LzipWriter};

use crate::files::{self, Files};

#[path = "../../host/ptx/src/numbers.rs"]
mod numbers;

/// `cargo xtask archive`: packs the committed text, or checks that it is what is packed.
pub(crate) fn run(arguments: &[String]) -> Result<(), String> {
    let check = match arguments {
        [] => false,
        [option] if option == "--check" => true,
        _ => return Err("cargo xtask archive takes --check or nothing".to_owned()),
    };
    let root = crate::root()?;
    let mut written = 0;
    for set in files::committed() {
        let texts = committed(&root, set)?;
        if check {
            compare(&root, set, &texts)?
        } else {
            write(&root, set, &texts)?
        }
        written += 1;
    }
    eprintln!("xtask: {written} archives {}", if check { "are right" } else { "written" });
    Ok(())
}

/// The archives of kernels that were compiled just now.
pub(crate) fn write_all(root: &Path, files: &Files) -> Result<(), String> {
    files::committed().try_for_each(|set| write(root, set, &of(files, set)))
}

/// Whether the archives hold these kernels.
pub(crate) fn compare_all(root: &Path, files: &Files) -> Result<(), String> {
    files::committed().try_for_each(|set| compare(root, set, &of(files, set)))
}

type Texts = BTreeMap<Kernel, String>;

fn of(files: &Files, set: InstructionSet) -> Texts {
    let of_set = files.iter().filter(|((of, _), _)| *of == set);
    of_set.map(|((_, kernel), text)| (*kernel, text.clone())).collect()
}

fn committed(root: &Path, set: InstructionSet) -> Result<Texts, String> {
    let folder = root.join("kernels-gpu/ptx");
    if let Some(path) = files::strangers(&folder, set).first() {
        return Err(format!("{} is no kernel's", path.display()));
    }
    let read = |kernel| {
        let text = files::text(&folder, set, kernel);
        Ok((kernel, text.ok_or_else(|| format!("there is no {kernel}.ptx for {set}"))?))
    };
    Kernel::ALL.into_iter().map(read).collect()
}

/// Kernels of a member differ in element type, rule, and whether they are grouped: they are alike, and
/// of a program's few launches most are of one.
type Member = (Operation, Option<Blocks>, Option<Outputs>);

fn member(kernel: Kernel) -> Member {
    (kernel.operation(), kernel.blocks(), kernel.outputs())
}

fn files(root: &Path, set: InstructionSet) -> [PathBuf; 2] {
    let folder = root.join("host/ptx/archive");
    [folder.join(format!("{set}.lz")), folder.join(format!("{set}.rs"))]
}

/// Kernels laid out in members: what the index says of each, and each member's bytes.
pub(crate) struct Layout {
    kernels: String,
    parts: Vec<Vec<u8>>,
}

impl Layout {
    pub(crate) fn of<T: AsRef<[u8]>>(contents: &BTreeMap<Kernel, T>) -> Self {
        let mut members: Vec<Member> = Vec::new();
        let mut parts: Vec<Vec<u8>> = Vec::new();
        let mut kernels = String::new();
        for (kernel, bytes) in contents {
            let known = members.iter().position(|it| *it == member(*kernel));
            let at = known.unwrap_or_else(|| {
                members.push(member(*kernel));
                parts.push(Vec::new());
                parts.len() - 1
            });
            let start = parts[at].len();
            parts[at].extend_from_slice(bytes.as_ref());
            kernels += &format!("        (\"{kernel}\", {at}, {start}..{}),\n", parts[at].len());
        }
        Self { kernels, parts }
    }

    /// The index as Rust, of an archive in `file` whose members have these lengths.
    pub(crate) fn index(&self, file: &str, lengths: &[usize]) -> String {
        let mut index =
            format!("Packed {{\n    bytes: include_bytes!(\"{file}\"),\n    members: &[\n");
        let mut start = 0;
        for length in lengths {
            index += &format!("        {start}..{},\n", start + length);
            start += length;
        }
        index + &format!("    ],\n    kernels: &[\n{}    ],\n}}", self.kernels)
    }

    /// An archive, and the lengths of its members, of bytes that `encode` makes of each.
    pub(crate) fn pack(
        &self,
        encode: impl Fn(&[u8]) -> Result<Vec<u8>, String>,
    ) -> Result<(Vec<u8>, Vec<usize>), String> {
        let packed: Result<Vec<Vec<u8>>, String> =
            self.parts.iter().map(|part| pack(&encode(part)?)).collect();
        let packed = packed?;
        Ok((packed.concat(), packed.iter().map(Vec::len).collect()))
    }

    /// The lengths of an archive's members, if it holds these kernels. It is compared by what it holds:
    /// another version of the compressor may give other bytes.
    pub(crate) fn lengths(
        &self,
        archive: &[u8],
        index: &str,
        decode: impl Fn(Vec<u8>) -> Option<Vec<u8>>,
    ) -> Option<Vec<usize>> {
        // Where members begin and end stands on lines of their own.
        let ranges =
            index.lines().filter_map(|line| line.trim().strip_suffix(',')?.split_once(".."));
        let ranges = ranges.filter_map(|(start, end)| Some(start.parse().ok()?..end.parse().ok()?));
        let (mut lengths, mut parts) = (Vec::new(), Vec::new());
        for range in ranges {
            let member: &[u8] = archive.get(range)?;
            let mut part = Vec::new();
            LzipReader::new(member).read_to_end(&mut part).ok()?;
            lengths.push(member.len());
            parts.push(decode(part)?);
        }
        let right = parts == self.parts && lengths.iter().sum::<usize>() == archive.len();
        right.then_some(lengths)
    }
}

fn pack(bytes: &[u8]) -> Result<Vec<u8>, String> {
    let mut writer = LzipWriter::new(Vec::new(), LzipOptions::with_preset(9));
    writer.write_all(bytes).map_err(|e| format!("cannot compress: {e}"))?;
    writer.finish().map_err(|e| format!("cannot compress: {e}"))
}

fn index(set: InstructionSet, layout: &Layout, lengths: &[usize]) -> String {
    let packed = layout.index(&format!("{set}.lz"), lengths);
    format!("// Written by `cargo xtask ptx`.\n{packed}\n")
}

fn write(root: &Path, set: InstructionSet, texts: &Texts) -> Result<(), String> {
    let layout = Layout::of(texts);
    let relative = |part: &[u8]| {
        let text = str::from_utf8(part).map_err(|e| format!("PTX for {set}: {e}"))?;
        Ok(numbers::relative(text).into_bytes())
    };
    let (bytes, lengths) = layout.pack(relative)?;
    let [archive, rust] = files(root, set);
    let written = |path: &Path, bytes: &[u8]| {
        fs::write(path, bytes).map_err(|e| format!("{}: {e}", path.display()))
    };
    written(&archive, &bytes)?;
    written(&rust, index(set, &layout, &lengths).as_bytes())
}

fn compare(root: &Path, set: InstructionSet, texts: &Texts) -> Result<(), String> {
    let [archive, rust] = files(root, set);
    let wrong = |what: &Path| {
        format!("{} does not hold the committed PTX: run cargo xtask archive", what.display())
    };
    let bytes = fs::read(&archive).map_err(|e| format!("{}: {e}", archive.display()))?;
    let committed = fs::read_to_string(&rust).map_err(|e| format!("{}: {e}", rust.display()))?;
    let layout = Layout::of(texts);
    let absolute = |part| Some(numbers::absolute(&String::from_utf8(part).ok()?).into_bytes());
    let lengths = layout.lengths(&bytes, &committed, absolute).ok_or_else(|| wrong(&archive))?;
    if committed == index(set, &layout, &lengths) { Ok(()) } else { Err(wrong(&rust)) }
}
