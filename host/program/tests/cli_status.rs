//! Bad input never ends with status 0: every subcommand, every kind of bad input.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::common;
use crate::common::{
    Folder, contents, program, refuse, succeed, tensor, weights, write_model, write_safetensors,
};

/// Runs a command line in `folder`, which must end with `status` and change nothing there. Returns
/// what it said on standard error.
#[track_caller]
fn fails(folder: &Folder, line: &str, status: i32) -> String {
    let before = contents(&folder.path(""));
    let words: Vec<&Path> = line.split(' ').map(Path::new).collect();
    let output = program(&words).current_dir(folder.path("")).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(status), "{line}: {said}");
    assert!(!said.contains("panicked"), "{line}: {said}");
    assert!(contents(&folder.path("")) == before, "{line} changed files");
    said
}

/// Status 2 and a sentence.
#[track_caller]
fn refuses(folder: &Folder, line: &str) -> String {
    let said = fails(folder, line, 2);
    assert!(said.starts_with("error: "), "{line}: {said}");
    said
}

/// Good files, and one of every kind that is not.
fn inputs() -> (Folder, Vec<&'static str>) {
    let folder = Folder::new();
    let file = |name: &str, bytes: &[u8]| fs::write(folder.path(name), bytes).unwrap();
    write_safetensors(&folder.path("good.safetensors"), &[weights("a.weight", &[32, 64])]);
    let good = fs::read(folder.path("good.safetensors")).unwrap();
    file("empty.safetensors", b"");
    file("cut-header.safetensors", &good[..30]);
    file("cut-data.safetensors", &good[..good.len() - 2]);
    file("text.safetensors", b"this is not a safetensors file at all");
    write_safetensors(&folder.path("no-tensor.safetensors"), &[]);
    fs::create_dir(folder.path("empty-folder")).unwrap();
    fs::create_dir(folder.path("text-folder")).unwrap();
    file("text-folder/readme.txt", b"no weights");
    fs::create_dir(folder.path("no-tensor-folder")).unwrap();
    write_safetensors(&folder.path("no-tensor-folder/model.safetensors"), &[]);
    fs::create_dir(folder.path("bad-config")).unwrap();
    fs::copy(folder.path("good.safetensors"), folder.path("bad-config/model.safetensors")).unwrap();
    file("bad-config/config.json", b"{\"model_type\": ");
    let bad = vec![
        "missing.safetensors",
        "empty.safetensors",
        "cut-header.safetensors",
        "cut-data.safetensors",
        "text.safetensors",
        "no-tensor.safetensors",
        "empty-folder",
        "text-folder",
        "no-tensor-folder",
        "bad-config",
    ];
    (folder, bad)
}

#[test]
fn bad_checkpoints() {
    let (folder, bad) = inputs();
    for input in bad {
        for command in [
            "quantize INPUT out",
            "quantize INPUT out --dry-run",
            "quantize INPUT out --json",
            "quantize INPUT out --quiet",
            "dequantize INPUT out",
            "inspect INPUT",
            "inspect INPUT --json",
            "compare INPUT good.safetensors",
            "compare good.safetensors INPUT",
            "compare INPUT INPUT",
            "report INPUT",
        ] {
            let line = command.replace("INPUT", input);
            let said = refuses(&folder, &line);
            assert!(said.contains(input), "{line} does not name it: {said}");
        }
    }
}

#[test]
fn checkpoints_with_nothing_to_do() {
    let (folder, _) = inputs();
    let ids = tensor("ids", "I64", &[16, 16], vec![0; 2048]);
    write_safetensors(&folder.path("ids.safetensors"), &[ids]);
    for line in [
        "quantize ids.safetensors out",
        "quantize good.safetensors out --include no.such.name",
        "quantize good.safetensors out --include no.such.*",
        "quantize good.safetensors out --exclude no.such.*",
        "quantize good.safetensors out --exclude *",
        "quantize good.safetensors out --include a.weight --exclude a.weight --dry-run",
        "dequantize good.safetensors out",
        "report good.safetensors",
    ] {
        refuses(&folder, line);
    }
}

#[test]
fn reports_of_folders_that_quantize_did_not_write() {
    let folder = Folder::new();
    write_model(&folder.path("model"), 1, 32);
    refuses(&folder, "report model");
    fs::create_dir(folder.path("other")).unwrap();
    for text in ["", "[]", "{}", "{\"format\": 7}"] {
        fs::write(folder.path("other/fouroversix.json"), text).unwrap();
        assert!(refuses(&folder, "report other").contains("fouroversix.json"));
    }
    // A FIFO is not waited for.
    let odd = Folder::new();
    let made = Command::new("mkfifo").arg(odd.path("fouroversix.json")).status();
    assert!(made.unwrap().success());
    assert!(refuse([&"report", &odd.path("")]).contains("not a file"));
    let [model, bare, back] = ["model", "bare", "back"].map(|name| folder.path(name));
    succeed([&"quantize", &model, &bare, &"--no-figures", &"--quiet"]);
    assert!(refuses(&folder, "report bare").contains("without --no-figures"));
    succeed([&"dequantize", &bare, &back, &"--quiet"]);
    refuses(&folder, "report back");
}

#[test]
fn comparisons_of_different_tensors_fail() {
    let folder = Folder::new();
    let write = |name: &str, tensors: &[common::Tensor]| {
        write_safetensors(&folder.path(name), tensors);
    };
    let (a, b) = (weights("a.weight", &[32, 64]), weights("b.weight", &[32, 64]));
    write("a.safetensors", &[a]);
    write("b.safetensors", &[b]);
    write("ab.safetensors", &[weights("a.weight", &[32, 64]), weights("b.weight", &[32, 64])]);
    write("tall.safetensors", &[weights("a.weight", &[64, 32])]);
    write("ids.safetensors", &[tensor("a.weight", "I64", &[32, 64], vec![1; 16_384])]);
    for second in ["b", "ab", "tall", "ids"] {
        fails(&folder, &format!("compare a.safetensors {second}.safetensors"), 1);
        fails(&folder, &format!("compare {second}.safetensors a.safetensors --json"), 1);
        fails(&folder, &format!("compare a.safetensors {second}.safetensors --quiet"), 1);
    }
    // Other values of the same tensors are what the command is there to show.
    let mut other = weights("a.weight", &[32, 64]);
    other.bytes[0] ^= 1;
    write("other.safetensors", &[other]);
    let paths = ["a.safetensors", "other.safetensors"].map(|name| folder.path(name));
    succeed([&"compare", &paths[0], &paths[1]]);
    fails(&folder, "compare a.safetensors other.safetensors --exact", 1);
}

#[test]
fn checks_of_nothing_do_not_pass() {
    let folder = Folder::new();
    refuses(&folder, "verify --filter no-check-is-called-this");
    refuses(&folder, "verify --backend abacus");
}

#[test]
fn options_that_make_no_sense() {
    let (folder, _) = inputs();
    for line in [
        "quantize good.safetensors out --max-shard-size 0",
        "quantize good.safetensors out --device cuda:97",
        "quantize good.safetensors out --rule dice",
        "dequantize good.safetensors out --dtype f7",
        "devices --no-such-option",
        "no-such-command",
    ] {
        refuses(&folder, line);
    }
    // Without a command there is nothing to do; what there is to do is shown.
    let nothing: [&dyn AsRef<Path>; 0] = [];
    let output = common::run(nothing);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("Usage"));
}

#[test]
fn side_outputs_that_cannot_be_written() {
    let folder = Folder::new();
    write_model(&folder.path("model"), 1, 32);
    let [model, quantized] = ["model", "quantized"].map(|name| -> PathBuf { folder.path(name) });
    succeed([&"quantize", &model, &quantized, &"--quiet"]);
    refuses(&folder, "report quantized --html no/such/folder/page.html");
}
