//! Bad input ends the program with status 2, a sentence that names the value and the remedy, and no
//! output.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use fouroversix::checkpoint::Header;
use half::bf16;

use crate::common;
use crate::common::{Folder, refuse, succeed, tensor, weights, write_model, write_safetensors};

/// A folder with a good `in.safetensors`.
fn folder() -> Folder {
    let folder = Folder::new();
    write_safetensors(&folder.path("in.safetensors"), &[weights("a.weight", &[32, 64])]);
    folder
}

#[track_caller]
fn refuse_file(folder: &Folder, bytes: &[u8]) -> String {
    let input = folder.path("bad.safetensors");
    fs::write(&input, bytes).unwrap();
    let said = refuse([&"quantize", &input, &folder.path("out.safetensors")]);
    assert_eq!(folder.names(), ["bad.safetensors", "in.safetensors"], "{said}");
    assert!(said.contains("bad.safetensors"), "{said}");
    said
}

#[test]
fn headers_that_lie() {
    let folder = folder();
    let good = fs::read(folder.path("in.safetensors")).unwrap();
    assert!(refuse_file(&folder, b"").contains("0 bytes"));
    assert!(refuse_file(&folder, &good[..40]).contains("truncated"));
    assert!(refuse_file(&folder, &good[..good.len() - 1]).contains("truncated"));
    assert!(refuse_file(&folder, &[0xFF; 64]).contains("18446744073709551615"));
    let mut longer = good.clone();
    longer.push(0);
    assert!(refuse_file(&folder, &longer).contains("end at byte 4096"));
    let text = String::from_utf8_lossy(&good[8..120]).into_owned();
    assert!(text.contains("[32,64]"), "{text}");
    let at = 8 + text.find("[32,64]").unwrap();
    let mut lying = good.clone();
    lying[at..at + 7].copy_from_slice(b"[32,65]");
    let said = refuse_file(&folder, &lying);
    assert!(said.contains("a.weight") && said.contains("[32, 65]"), "{said}");
}

#[test]
fn dimensions_that_are_no_multiples_of_16() {
    let folder = Folder::new();
    let input = folder.path("in.safetensors");
    write_safetensors(&input, &[weights("a.weight", &[32, 20]), weights("b.weight", &[24, 32])]);
    let output = folder.path("out.safetensors");
    let said = refuse([&"quantize", &input, &output, &"--include", &"a.weight"]);
    assert!(said.contains("a.weight") && said.contains("20 columns"), "{said}");
    let said =
        refuse([&"quantize", &input, &output, &"--include", &"b.weight", &"--scaling", &"tile"]);
    assert!(said.contains("b.weight") && said.contains("24 rows"), "{said}");
    write_safetensors(&input, &[weights("a.weight", &[32, 20])]);
    let said = refuse([&"quantize", &input, &output]);
    assert!(said.contains("20 columns") && said.contains("multiples of 16"), "{said}");
    assert_eq!(folder.names(), ["in.safetensors"]);
}

#[test]
fn outputs_that_would_share_a_name() {
    let folder = folder();
    let model = folder.path("model");
    fs::create_dir(&model).unwrap();
    let name = "model.layers.0.mlp.down_proj.weight";
    let both = [weights(name, &[32, 64]), weights(&format!("{name}_packed"), &[16])];
    write_safetensors(&model.join("model.safetensors"), &both);
    fs::write(model.join("config.json"), "{}").unwrap();
    // In one file, and in two.
    for size in ["5GB", "1B"] {
        let said = refuse([&"quantize", &model, &folder.path("out"), &"--max-shard-size", &size]);
        assert!(said.contains(&format!("two tensors called {name}_packed")), "{said}");
    }
    assert!(!folder.path("out").exists() && !folder.path("out.partial").exists());
}

#[test]
fn types_of_any_name_leave_the_header_whole() {
    let folder = folder();
    let input = folder.path("odd.safetensors");
    let odd = tensor("odd", "F8\\\"}", &[3], vec![1, 2, 3]);
    write_safetensors(&input, &[weights("a.weight", &[32, 64]), odd]);
    succeed([&"quantize", &input, &folder.path("out.safetensors")]);
    let header = Header::parse(&fs::read(folder.path("out.safetensors")).unwrap()).unwrap();
    assert_eq!(header.get("odd").unwrap().dtype.name(), "F8\\\"}");
}

#[test]
fn files_beyond_the_limit_of_the_system() {
    let folder = Folder::new();
    let (model, out) = (folder.path("model"), folder.path("out"));
    write_model(&model, 2, 64);
    // One block of 512 or 1024 bytes.
    let limited = "ulimit -f 1; exec \"$0\" \"$@\"";
    let program = env!("CARGO_BIN_EXE_fouroversix");
    let mut command = std::process::Command::new("sh");
    command.args(["-c", limited, program, "quantize"]).arg(&model).arg(&out);
    let output = command.output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("ulimit -f"), "{said}");
    succeed([&"quantize", &model, &out]);
    assert_eq!(folder.names(), ["model", "out"]);
}

#[test]
fn values_that_are_not_finite() {
    for (value, text) in [(f32::NAN, "NaN"), (f32::NEG_INFINITY, "-inf")] {
        let folder = Folder::new();
        let mut values = [bf16::ONE; 64];
        values[37] = bf16::from_f32(value);
        let bytes = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        let input = folder.path("in.safetensors");
        write_safetensors(&input, &[tensor("a.weight", "BF16", &[2, 32], bytes)]);
        let output = folder.path("out.safetensors");
        let said = refuse([&"quantize", &input, &output]);
        assert!(said.contains("a.weight") && said.contains(text), "{said}");
        assert!(said.contains("[1, 5]") && said.contains("--non-finite saturate"), "{said}");
        assert_eq!(folder.names(), ["in.safetensors"]);
        common::succeed([&"quantize", &input, &output, &"--non-finite", &"saturate"]);
    }
}

#[test]
fn targets_that_cannot_be_written() {
    let folder = folder();
    let input = folder.path("in.safetensors");
    let said = refuse([&"quantize", &input, &folder.path("no/such/folder/out.safetensors")]);
    assert!(said.contains("no/such/folder") && said.contains("make the folder first"), "{said}");
    let said = refuse([&"quantize", &input, &"/dev/full/out.safetensors"]);
    assert!(said.contains("/dev/full/out.safetensors"), "{said}");
    let closed = folder.path("closed");
    fs::create_dir(&closed).unwrap();
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o500)).unwrap();
    // Root may write everywhere: then there is nothing to refuse.
    if fs::write(closed.join("probe"), "").is_err() {
        let said = refuse([&"quantize", &input, &closed.join("out.safetensors")]);
        assert!(said.contains("Permission denied") && said.contains("may write"), "{said}");
    }
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o700)).unwrap();
}

#[test]
fn outputs_that_exist() {
    let folder = folder();
    let input = folder.path("in.safetensors");
    let output = folder.path("out.safetensors");
    fs::write(&output, "precious").unwrap();
    let said = refuse([&"quantize", &input, &output]);
    assert!(said.contains("out.safetensors exists") && said.contains("--force"), "{said}");
    assert_eq!(fs::read(&output).unwrap(), b"precious");
    let said = refuse([&"quantize", &input, &output, &"--force"]);
    assert!(said.contains("did not make it"), "{said}");
    assert_eq!(fs::read(&output).unwrap(), b"precious");
    fs::remove_file(&output).unwrap();
    common::succeed([&"quantize", &input, &output]);
    let made = fs::read(&output).unwrap();
    common::succeed([&"quantize", &input, &output, &"--force", &"--rule", &"plain"]);
    assert_ne!(fs::read(&output).unwrap(), made);
    let said = refuse([&"quantize", &input, &folder.path(""), &"--force"]);
    assert!(said.contains("is a folder"), "{said}");
}

#[test]
fn inputs_that_are_not_there_or_not_models() {
    let folder = Folder::new();
    let output = folder.path("out");
    let said = refuse([&"quantize", &folder.path("nothing"), &output]);
    assert!(said.contains("nothing") && said.contains("check the path"), "{said}");
    fs::create_dir(folder.path("empty")).unwrap();
    let said = refuse([&"quantize", &folder.path("empty"), &output]);
    assert!(said.contains("no .safetensors file"), "{said}");
    assert_eq!(folder.names(), ["empty"]);
}

#[test]
fn devices_that_are_not_there() {
    let folder = folder();
    let input = folder.path("in.safetensors");
    let output = folder.path("out.safetensors");
    let said = refuse([&"quantize", &input, &output, &"--device", &"cuda:97"]);
    assert!(said.contains("cuda:97") && said.contains("--device cpu"), "{said}");
    assert_eq!(folder.names(), ["in.safetensors"]);
    let output = common::run([&"quantize", &input, &output, &"--device", &"abacus"]);
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("abacus") && said.contains("cuda:N"), "{said}");
}

#[test]
fn a_cpu_path_that_is_none_is_named_with_the_choices() {
    let folder = folder();
    let (input, output) = (folder.path("in.safetensors"), folder.path("out.safetensors"));
    let arguments = [Path::new("quantize"), &input, &output, Path::new("--device=cpu")];
    let run = |path| common::program(&arguments).env("FOUROVERSIX_CPU", path).output().unwrap();
    let refused = run("avx3");
    let said = String::from_utf8(refused.stderr).unwrap();
    assert!(!refused.status.success(), "{said}");
    assert!(said.contains("\"avx3\"") && said.contains("portable, scalar"), "{said}");
    assert!(run("portable").status.success());
}

#[test]
fn options_that_do_not_go_together() {
    let folder = folder();
    write_model(&folder.path("model"), 1, 32);
    let (input, model) = (folder.path("in.safetensors"), folder.path("model"));
    let output = folder.path("out");
    let said = refuse([&"quantize", &input, &output, &"--rule", &"plain", &"--e4m3-max", &"256"]);
    assert!(said.contains("448"), "{said}");
    let said = refuse([&"quantize", &model, &output, &"--scaling", &"row"]);
    assert!(said.contains("row scaling") && said.contains("tile"), "{said}");
    let said = refuse([&"quantize", &input, &output, &"--exclude", &"no.such.*"]);
    assert!(said.contains("no.such.*"), "{said}");
    let said = refuse([&"quantize", &model, &model.join("out")]);
    assert!(said.contains("lies in"), "{said}");
    let said = refuse([&"dequantize", &input, &output]);
    assert!(said.contains("no quantized tensor"), "{said}");
    assert_eq!(folder.names(), ["in.safetensors", "model"]);
}

#[test]
fn model_directories_with_missing_or_lying_parts() {
    let folder = Folder::new();
    let (model, output) = (folder.path("model"), folder.path("out"));
    let shard = model.join("model-00002-of-00002.safetensors");
    let index = model.join("model.safetensors.index.json");
    write_model(&model, 1, 32);
    fs::rename(&shard, folder.path("elsewhere")).unwrap();
    let said = refuse([&"quantize", &model, &output]);
    assert!(said.contains("model-00002-of-00002") && said.contains("not in the folder"), "{said}");
    fs::rename(folder.path("elsewhere"), &shard).unwrap();

    let text = fs::read_to_string(&index).unwrap();
    fs::write(&index, text.replace("lm_head", "lm_tail")).unwrap();
    let said = refuse([&"quantize", &model, &output]);
    assert!(said.contains("lm_tail.weight"), "{said}");
    fs::write(&index, text.replace("model-00002", "../model-00002")).unwrap();
    assert!(refuse([&"quantize", &model, &output]).contains("plain file name"));
    fs::write(&index, &text[1..]).unwrap();
    assert!(refuse([&"quantize", &model, &output]).contains("not a JSON object"));
    fs::write(&index, &text).unwrap();

    let config = fs::read_to_string(model.join("config.json")).unwrap();
    let quantized = config.replacen('{', "{\"quantization_config\": {}, ", 1);
    fs::write(model.join("config.json"), quantized).unwrap();
    assert!(refuse([&"quantize", &model, &output]).contains("quantized already"));
    fs::write(model.join("config.json"), config).unwrap();

    fs::create_dir(&output).unwrap();
    fs::write(output.join("thesis.txt"), "years of work").unwrap();
    assert!(refuse([&"quantize", &model, &output]).contains("--force"));
    let said = refuse([&"quantize", &model, &output, &"--force"]);
    assert!(said.contains("remove it yourself"), "{said}");
    assert_eq!(folder.names(), ["model", "out"]);
    assert_eq!(common::names(Path::new(&output)), ["thesis.txt"]);
}

#[test]
fn a_bad_tensor_late_in_a_model_leaves_nothing() {
    let folder = Folder::new();
    let (model, output) = (folder.path("model"), folder.path("out"));
    write_model(&model, 1, 32);
    let bytes = bf16::INFINITY.to_le_bytes().repeat(32 * 32);
    let bad = tensor("model.layers.1.self_attn.o_proj.weight", "BF16", &[32, 32], bytes);
    write_safetensors(&model.join("model-00003-of-00003.safetensors"), &[bad]);
    let index = model.join("model.safetensors.index.json");
    let text = fs::read(&index).unwrap();
    let mut map: serde_json::Value = serde_json::from_slice(&text).unwrap();
    map["weight_map"]["model.layers.1.self_attn.o_proj.weight"] =
        "model-00003-of-00003.safetensors".into();
    fs::write(&index, map.to_string()).unwrap();
    let said = refuse([&"quantize", &model, &output, &"--max-shard-size", &"2KB", &"--quiet"]);
    assert!(said.contains("o_proj") && said.contains("inf"), "{said}");
    assert_eq!(folder.names(), ["model"]);
}
