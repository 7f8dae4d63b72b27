//! Nothing that is read, and nothing that others made, is ever removed or written over.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use crate::common::{Folder, contents, refuse, succeed, weights, write_model, write_safetensors};

/// Runs a command that must refuse with and without `--force` and leave everything as it is.
#[track_caller]
fn refused(folder: &Folder, command: &str, input: &Path, output: &Path) {
    let before = contents(&folder.path(""));
    for force in [false, true] {
        let force = if force { "--force" } else { "--quiet" };
        let said = refuse([&command, &input, &output, &force]);
        assert!(contents(&folder.path("")) == before, "{said}");
        assert!(said.contains("being read") || force == "--quiet", "{said}");
    }
}

#[test]
fn files_that_are_the_input() {
    let folder = Folder::new();
    let input = folder.path("x.safetensors");
    write_safetensors(&input, &[weights("a.weight", &[32, 64])]);
    let quantized = folder.path("q.safetensors");
    succeed([&"quantize", &input, &quantized]);
    fs::create_dir(folder.path("sub")).unwrap();
    for (command, input) in [("quantize", &input), ("dequantize", &quantized)] {
        let name = input.file_name().unwrap().to_str().unwrap();
        let [link, hard] = ["link", "hard"].map(|kind| folder.path(&format!("{kind}-{name}")));
        symlink(input, &link).unwrap();
        fs::hard_link(input, &hard).unwrap();
        refused(&folder, command, input, input);
        refused(&folder, command, input, &link);
        refused(&folder, command, &link, input);
        refused(&folder, command, input, &hard);
        refused(&folder, command, input, &folder.path(&format!("sub/../{name}")));
        // The name that the output has while it grows.
        let growing = folder.path(&format!("out-{name}.partial"));
        fs::copy(input, &growing).unwrap();
        refused(&folder, command, &growing, &folder.path(&format!("out-{name}")));
        let linked = folder.path(&format!("via-{name}.partial"));
        symlink(input, &linked).unwrap();
        refused(&folder, command, input, &folder.path(&format!("via-{name}")));
    }
}

#[test]
fn folders_that_hold_each_other() {
    let folder = Folder::new();
    let (model, out) = (folder.path("model"), folder.path("out"));
    write_model(&model, 1, 32);
    succeed([&"quantize", &model, &out]);
    fs::rename(&model, out.join("model")).unwrap();
    refused(&folder, "quantize", &out.join("model"), &out);
    fs::rename(out.join("model"), &model).unwrap();
    refused(&folder, "quantize", &model, &model);
    refused(&folder, "quantize", &model, &folder.path("model/"));
    refused(&folder, "quantize", &model, &model.join("out"));
    refused(&folder, "quantize", &model, &model.join("extra/../out"));
    refused(&folder, "dequantize", &out, &out);
    refused(&folder, "dequantize", &out, &out.join("back"));
    symlink(&model, folder.path("link")).unwrap();
    refused(&folder, "quantize", &folder.path("link"), &model);
    refused(&folder, "quantize", &model, &folder.path("link"));
    refused(&folder, "quantize", &model, &folder.path("link/out"));
    fs::remove_file(folder.path("link")).unwrap();
    // The folder in which the output grows.
    fs::rename(&model, folder.path("other.partial")).unwrap();
    refused(&folder, "quantize", &folder.path("other.partial"), &folder.path("other"));
    // Links from the model into the output, as a cache's snapshot has them.
    fs::rename(folder.path("other.partial"), &model).unwrap();
    let shard = "model-00001-of-00002.safetensors";
    fs::rename(model.join(shard), out.join("blob")).unwrap();
    symlink(out.join("blob"), model.join(shard)).unwrap();
    refused(&folder, "quantize", &model, &out);
    fs::remove_file(model.join(shard)).unwrap();
    fs::rename(out.join("blob"), model.join(shard)).unwrap();
    fs::rename(model.join("tokenizer.json"), out.join("tokens")).unwrap();
    symlink(out.join("tokens"), model.join("tokenizer.json")).unwrap();
    refused(&folder, "quantize", &model, &out);
    // What is read and not copied counts too.
    fs::remove_file(model.join("tokenizer.json")).unwrap();
    fs::remove_file(out.join("tokens")).unwrap();
    for name in ["config.json", "model.safetensors.index.json", "quantize_config.json"] {
        fs::remove_dir_all(&out).unwrap();
        succeed([&"quantize", &model, &out]);
        let there = out.join("config.json");
        if !model.join(name).exists() {
            fs::write(model.join(name), "{}").unwrap();
        }
        fs::rename(model.join(name), &there).unwrap();
        symlink(&there, model.join(name)).unwrap();
        refused(&folder, "quantize", &model, &out);
        fs::remove_file(model.join(name)).unwrap();
        fs::copy(&there, model.join(name)).unwrap();
    }
    fs::remove_file(model.join("quantize_config.json")).unwrap();
    fs::create_dir(folder.path("elsewhere")).unwrap();
    symlink(folder.path("elsewhere"), model.join("linked")).unwrap();
    refused(&folder, "quantize", &model, &folder.path("elsewhere/out"));
}

#[test]
fn force_spares_what_was_not_made_here() {
    let folder = Folder::new();
    let (model, out) = (folder.path("model"), folder.path("out"));
    write_model(&model, 1, 32);
    succeed([&"quantize", &model, &out]);
    succeed([&"report", &out]);
    succeed([&"quantize", &model, &out, &"--force"]);
    let made = contents(&out);
    for (file, folder) in
        [("thesis.txt", ""), ("extra/thesis.txt", ""), ("mine/thesis.txt", "mine")]
    {
        fs::create_dir_all(out.join(folder)).unwrap();
        fs::write(out.join(file), "years of work").unwrap();
        let said = refuse([&"quantize", &model, &out, &"--force"]);
        assert!(said.contains(file), "{said}");
        assert_eq!(fs::read(out.join(file)).unwrap(), b"years of work");
        fs::remove_file(out.join(file)).unwrap();
    }
    fs::remove_dir(out.join("mine")).unwrap();
    succeed([&"quantize", &model, &out, &"--force", &"--quiet"]);
    assert!(contents(&out) == made);
    // A link to an output: the output is replaced, the link stays.
    symlink("out", folder.path("link")).unwrap();
    succeed([&"quantize", &model, &folder.path("link"), &"--force", &"--rule", &"plain"]);
    assert!(folder.path("link").is_symlink() && contents(&out) != made);
    assert_eq!(folder.names(), ["link", "model", "out"]);
}

#[test]
fn what_lies_where_an_output_grows_stays() {
    let folder = Folder::new();
    let (model, file) = (folder.path("model"), folder.path("x.safetensors"));
    write_model(&model, 1, 32);
    write_safetensors(&file, &[weights("a.weight", &[32, 64])]);
    fs::create_dir(folder.path("out.partial")).unwrap();
    fs::write(folder.path("out.partial/thesis.txt"), "years of work").unwrap();
    fs::write(folder.path("y.safetensors.partial"), "years of work").unwrap();
    let said = refuse([&"quantize", &model, &folder.path("out"), &"--force"]);
    assert!(said.contains("thesis.txt"), "{said}");
    let said = refuse([&"quantize", &file, &folder.path("y.safetensors"), &"--force"]);
    assert!(said.contains("y.safetensors.partial"), "{said}");
    assert_eq!(fs::read(folder.path("out.partial/thesis.txt")).unwrap(), b"years of work");
    assert_eq!(fs::read(folder.path("y.safetensors.partial")).unwrap(), b"years of work");
    // What a killed run left is no obstacle.
    succeed([&"quantize", &file, &folder.path("z.safetensors")]);
    let made = fs::read(folder.path("z.safetensors")).unwrap();
    fs::write(folder.path("w.safetensors.partial"), &made[..made.len() / 2]).unwrap();
    succeed([&"quantize", &file, &folder.path("w.safetensors")]);
    assert_eq!(fs::read(folder.path("w.safetensors")).unwrap(), made);
    // A work folder whose insides are links would be written through.
    fs::create_dir(folder.path("v.partial")).unwrap();
    symlink(&model, folder.path("v.partial/out")).unwrap();
    let before = contents(&model);
    let said = refuse([&"quantize", &model, &folder.path("v"), &"--force"]);
    assert!(said.contains("v.partial/out"), "{said}");
    assert!(contents(&model) == before);
}

#[test]
fn pages_and_plots_never_replace_what_they_are_made_from() {
    let folder = Folder::new();
    let (model, out) = (folder.path("model"), folder.path("out"));
    let file = folder.path("x.safetensors");
    write_model(&model, 1, 32);
    write_safetensors(&file, &[weights("a.weight", &[32, 64])]);
    succeed([&"quantize", &model, &out]);
    let before = contents(&folder.path(""));
    let targets = ["fouroversix.json", "model.safetensors", "extra/notes.txt"];
    for target in targets.map(|name| out.join(name)) {
        for option in ["--html", "--csv"] {
            let said = refuse([&"report", &out, &option, &target]);
            assert!(said.contains("being read"), "{said}");
        }
    }
    let page: PathBuf = folder.path("page");
    let said = refuse([&"report", &out, &"--html", &page, &"--csv", &page]);
    assert!(said.contains("choose two files"), "{said}");
    // One file by two names, not there yet.
    let again = folder.path("model/../page");
    let said = refuse([&"report", &out, &"--html", &page, &"--csv", &again]);
    assert!(said.contains("choose two files"), "{said}");
    assert!(contents(&folder.path("")) == before);
    symlink(out.join("model.safetensors"), out.join("fouroversix-report.html")).unwrap();
    assert!(refuse([&"report", &out]).contains("being read"));
}
