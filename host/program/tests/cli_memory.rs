//! Peak memory of a run stays under 1.2 × the largest tensor + 64 MB, inputs mapped in included.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::Path;
use std::process::Stdio;
use std::thread::sleep;
use std::time::Duration;

use fouroversix::checkpoint::{Dtype, Header, TensorEntry};

use crate::common::{Folder, program, weights};

const COLUMNS: usize = 4096;
/// Of each tensor: 268 MB, 134 MB and 134 MB.
const ROWS: [usize; 3] = [32768, 16384, 16384];

/// Writes BF16 tensors that repeat the same rows; returns the bytes of the largest.
fn write_large(path: &Path) -> u64 {
    let entry = |(index, rows): (usize, &usize)| TensorEntry {
        name: format!("layers.{index}.weight"),
        dtype: Dtype::new("BF16"),
        shape: vec![*rows, COLUMNS],
        range: 0..0,
    };
    let entries = ROWS.iter().enumerate().map(entry).collect();
    let (header, bytes) = Header::layout(entries, BTreeMap::new());
    let block = weights("block", &[256, COLUMNS]).bytes;
    let mut file = BufWriter::new(File::create(path).unwrap());
    file.write_all(&bytes).unwrap();
    for _ in 0..header.entries.iter().map(TensorEntry::bytes).sum::<u64>() / block.len() as u64 {
        file.write_all(&block).unwrap();
    }
    file.flush().unwrap();
    header.entries.iter().map(TensorEntry::bytes).max().unwrap()
}

/// Runs the program and returns the high-water mark of its resident set in bytes, as the system
/// keeps it: only what it grows in its last millisecond can be missed.
fn peak_memory(arguments: &[&Path]) -> u64 {
    let mut child = program(arguments).stdout(Stdio::null()).spawn().unwrap();
    let status = format!("/proc/{}/status", child.id());
    let mut peak = 0;
    loop {
        let text = fs::read_to_string(&status).unwrap_or_default();
        if let Some(mark) = text.lines().find_map(|line| line.strip_prefix("VmHWM:")) {
            let kib: u64 = mark.trim().trim_end_matches(" kB").parse().unwrap();
            peak = peak.max(1024 * kib);
        }
        if let Some(status) = child.try_wait().unwrap() {
            assert!(status.success());
            return peak;
        }
        sleep(Duration::from_millis(1));
    }
}

#[test]
fn peak_memory_is_bounded() {
    let folder = Folder::new();
    let [input, packed, back] =
        ["in", "packed", "back"].map(|name| folder.path(&format!("{name}.safetensors")));
    let largest = write_large(&input);
    let bound = largest * 6 / 5 + 64_000_000;
    for (command, from, to) in [("quantize", &input, &packed), ("dequantize", &packed, &back)] {
        let peak = peak_memory(&[Path::new(command), from, to]);
        println!("{command}: {} MB of at most {} MB", peak / 1_000_000, bound / 1_000_000);
        assert!(peak > 1_000_000, "{command} was not measured");
        assert!(peak < bound, "{command}: {peak} bytes, more than {bound}");
    }
}

/// Experts of a stack that is read across its rows: 268 MB and 134 MB, of which a matrix is 34 MB.
const EXPERTS: usize = 8;

/// Writes stacks as gpt-oss has them, and FP8 beside them, of bytes that repeat.
fn write_stacks(folder: &Path) {
    fs::create_dir_all(folder).unwrap();
    fs::write(folder.join("config.json"), "{\"model_type\": \"gpt_oss\"}").unwrap();
    let layer = "model.layers.0";
    let entry = |name: &str, dtype: &str, shape: &[usize]| TensorEntry {
        name: format!("{layer}.{name}"),
        dtype: Dtype::new(dtype),
        shape: shape.to_vec(),
        range: 0..0,
    };
    let entries = vec![
        entry("mlp.experts.gate_up_proj", "BF16", &[EXPERTS, COLUMNS, COLUMNS]),
        entry("mlp.experts.down_proj", "BF16", &[EXPERTS, COLUMNS / 2, COLUMNS]),
        entry("self_attn.o_proj.weight", "F8_E4M3", &[COLUMNS, COLUMNS]),
        entry("self_attn.o_proj.weight_scale_inv", "F32", &[COLUMNS / 128, COLUMNS / 128]),
    ];
    let (header, bytes) = Header::layout(entries, BTreeMap::new());
    let block = weights("block", &[256, COLUMNS]).bytes;
    let mut file = BufWriter::new(File::create(folder.join("model.safetensors")).unwrap());
    file.write_all(&bytes).unwrap();
    for entry in &header.entries {
        let mut left = entry.bytes() as usize;
        match entry.dtype.name() {
            "F32" => file.write_all(&1.0_f32.to_le_bytes().repeat(left / 4)).unwrap(),
            // No NaN.
            "F8_E4M3" => file.write_all(&[0x35].repeat(left)).unwrap(),
            _ => {
                while left > 0 {
                    let count = left.min(block.len());
                    file.write_all(&block[..count]).unwrap();
                    left -= count;
                }
            }
        }
    }
    file.flush().unwrap();
}

#[test]
fn peak_memory_is_bounded_where_stacks_are_turned() {
    let folder = Folder::new();
    let [input, packed, back] = ["in", "packed", "back"].map(|name| folder.path(name));
    write_stacks(&input);
    // Of the largest matrix that is cut out, and not of the stack.
    let bound = (COLUMNS * COLUMNS * 2) as u64 * 6 / 5 + 64_000_000;
    for (command, from, to) in [("quantize", &input, &packed), ("dequantize", &packed, &back)] {
        let peak = peak_memory(&[Path::new(command), from, to]);
        println!("{command}: {} MB of at most {} MB", peak / 1_000_000, bound / 1_000_000);
        assert!(peak > 1_000_000, "{command} was not measured");
        assert!(peak < bound, "{command}: {peak} bytes, more than {bound}");
    }
}
