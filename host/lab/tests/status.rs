//! Bad input never ends with status 0: every subcommand, every kind of bad input.

use std::fs;

use crate::common::{Folder, program};

/// Runs a command line in the folder: status 2 and a sentence.
#[track_caller]
fn refuses(folder: &Folder, line: &str) -> String {
    let words: Vec<&str> = line.split(' ').collect();
    let output = program(&words).current_dir(&folder.0).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{line}: {said}");
    assert!(!said.contains("panicked"), "{line}: {said}");
    assert!(said.starts_with("error: "), "{line}: {said}");
    said
}

#[test]
fn bad_weights() {
    let folder = Folder::new("bad");
    let good = fs::read(folder.weights()).unwrap();
    let file = |name: &str, bytes: &[u8]| fs::write(folder.0.join(name), bytes).unwrap();
    file("empty.safetensors", b"");
    file("cut-header.safetensors", &good[..30]);
    file("cut-data.safetensors", &good[..good.len() - 2]);
    file("text.safetensors", b"this is not a safetensors file at all");
    file("no-tensor.safetensors", b"\x02\0\0\0\0\0\0\0{}");
    let header = br#"{"ids":{"dtype":"I64","shape":[16,16],"data_offsets":[0,2048]}}"#;
    let length = (header.len() as u64).to_le_bytes();
    file("ids.safetensors", &[&length[..], header, &[0; 2048]].concat());
    fs::create_dir(folder.0.join("empty-folder")).unwrap();
    for input in [
        "missing.safetensors",
        "empty.safetensors",
        "cut-header.safetensors",
        "cut-data.safetensors",
        "text.safetensors",
        "no-tensor.safetensors",
        "ids.safetensors",
        "empty-folder",
    ] {
        for command in ["agreement --device cpu --weights", "study error --shape 16 16 --weights"] {
            let line = format!("{command} {input}");
            let said = refuses(&folder, &line);
            assert!(said.contains(input), "{line} does not name it: {said}");
        }
    }
}

/// Without a GPU for want of one, with one for want of a mode.
#[test]
fn checks_of_nothing_do_not_pass() {
    let folder = Folder::new("nothing");
    for line in [
        "verify --filter no-check-is-called-this",
        "verify --backend abacus",
        "verify --golden missing.safetensors",
        "verify --golden x.safetensors",
        "cross-check --filter no-mode-is-called-this",
        "cross-check --elements 0",
        "cross-check --adversarial 0",
        "bench kernels --filter no-row-is-called-this",
        "bench kernels --weights missing.safetensors",
        "bench kernels --iterations 0",
        "bench startup --gpu 97",
        "bench grouped-linear --gpu 97",
        "bench grouped-linear --iterations 0",
        "bench grouped-linear --m 0",
    ] {
        refuses(&folder, line);
    }
}

#[test]
fn shapes_and_numbers_that_make_no_sense() {
    let folder = Folder::new("shapes");
    fs::write(folder.0.join("odd.bin"), [0; 1025]).unwrap();
    fs::write(folder.0.join("nothing.bin"), []).unwrap();
    fs::create_dir(folder.0.join("empty-folder")).unwrap();
    for shape in ["0 0", "16 0", "24 16", "16 24", "-16 16", "16 ∞", "9223372036854775808 16"] {
        for command in ["bench cpu", "agreement --device cpu", "study error", "study training"] {
            refuses(&folder, &format!("{command} --shape {shape}"));
        }
    }
    for line in [
        "bench cpu --shape 4294967296 4294967296",
        "agreement --device cpu --shape 4294967296 4294967296",
        "study error --shape 4294967296 4294967296",
        "bench cpu --shape 32 16 --repeats 0",
        "bench cpu --shape 32 16 --input odd.bin",
        "bench cpu --shape 32 16 --input nothing.bin",
        "bench cpu --shape 32 16 --input empty-folder",
        "bench cpu --shape 32 16 --input missing",
        "agreement --shape 32 16 --device cpu --amax 0",
        "agreement --shape 32 16 --device cpu --amax nan",
        "agreement --shape 32 16 --device cuda:97",
        "study training --shape 4294967296 4294967296",
        "study training --shape 16 16 --draws 1",
        "study error --quiet --shape 16 16 --svg no/such/folder/plot.svg",
        "no-such-command",
    ] {
        refuses(&folder, line);
    }
    let output = program(&[]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("Usage"));
}
