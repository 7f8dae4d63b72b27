//! What the program says: who reads it or not, in which units, as JSON, and with sums that add up.

use std::fs::{self, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Output, Stdio};

use serde_json::Value;

use crate::common::{
    Folder, names, program, run, succeed, tensor, weights, write_model, write_safetensors,
};

/// A folder with a model, a quantized one, and a file whose tensors are of all kinds.
struct Inputs {
    folder: Folder,
    model: PathBuf,
    quantized: PathBuf,
    file: PathBuf,
}

fn inputs() -> Inputs {
    let folder = Folder::new();
    let (model, quantized) = (folder.path("model"), folder.path("quantized"));
    let file = folder.path("in.safetensors");
    write_model(&model, 1, 64);
    succeed([&"quantize", &model, &quantized, &"--quiet"]);
    let tensors = [
        weights("a.weight", &[32, 64]),
        weights("narrow.weight", &[8, 20]),
        weights("bias", &[64]),
        tensor("ids", "I64", &[3], vec![7; 24]),
    ];
    write_safetensors(&file, &tensors);
    Inputs { folder, model, quantized, file }
}

/// Every subcommand that runs without a GPU, short and on good input; its output if it has one.
fn commands(inputs: &Inputs) -> Vec<(Vec<PathBuf>, Option<PathBuf>)> {
    let Inputs { folder, model, quantized, .. } = inputs;
    let (out, back) = (folder.path("out"), folder.path("back"));
    let line = |words: &[&dyn AsRef<Path>]| -> Vec<PathBuf> {
        words.iter().map(|word| word.as_ref().to_owned()).collect()
    };
    vec![
        (line(&[&"quantize", model, &out]), Some(out.clone())),
        (line(&[&"quantize", model, &out, &"--json"]), Some(out.clone())),
        (line(&[&"quantize", model, &out, &"--dry-run"]), None),
        (line(&[&"dequantize", quantized, &back]), Some(back)),
        (line(&[&"inspect", quantized]), None),
        (line(&[&"inspect", quantized, &"--json"]), None),
        (line(&[&"compare", model, quantized]), None),
        (line(&[&"report", quantized]), Some(quantized.join("fouroversix-report.csv"))),
        (line(&[&"devices"]), None),
        (line(&[&"verify", &"--backend", &"cpu", &"--filter", &"plain bf16 tensor rowwise"]), None),
        (line(&[&"--help"]), None),
        (line(&[&"quantize", &"--help"]), None),
        (line(&[&"--version"]), None),
    ]
}

fn remove(path: &Path) {
    if path.is_dir() {
        fs::remove_dir_all(path).unwrap();
    } else if path.exists() {
        fs::remove_file(path).unwrap();
    }
}

/// Runs the program with readers that go away before it writes.
fn unread(arguments: &[PathBuf]) -> ExitStatus {
    let arguments: Vec<&Path> = arguments.iter().map(PathBuf::as_path).collect();
    let mut command = program(&arguments);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    drop(child.stderr.take());
    child.wait().unwrap()
}

#[test]
fn readers_that_go_away_change_nothing() {
    let inputs = inputs();
    for (arguments, output) in commands(&inputs) {
        output.iter().for_each(|path| remove(path));
        let status = unread(&arguments);
        assert_eq!(status.code(), Some(0), "{arguments:?}");
        if let Some(output) = output {
            assert!(output.exists(), "{arguments:?} finishes what it writes");
        }
    }
    assert!(!inputs.folder.names().iter().any(|name| name.contains("partial")));
    // Failures are failures, whoever listens.
    assert_eq!(unread(&["inspect".into(), inputs.folder.path("nothing")]).code(), Some(2));
    assert_eq!(unread(&["quantize".into(), "--no-such-option".into()]).code(), Some(2));
}

#[cfg(target_os = "linux")]
#[test]
fn output_that_cannot_be_written_is_a_failure() {
    let inputs = inputs();
    for (arguments, output) in commands(&inputs) {
        output.iter().for_each(|path| remove(path));
        let arguments: Vec<&Path> = arguments.iter().map(PathBuf::as_path).collect();
        let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
        let Output { status, stderr, .. } = program(&arguments).stdout(full).output().unwrap();
        let said = String::from_utf8(stderr).unwrap();
        assert_eq!(status.code(), Some(2), "{arguments:?}: {said}");
        assert!(said.contains("cannot write to standard output: No space left"), "{said}");
        if let Some(output) = output {
            assert!(output.exists(), "{arguments:?} finishes what it writes");
            assert!(said.contains("is complete"), "{arguments:?}: {said}");
        }
    }
}

#[cfg(unix)]
#[test]
fn standard_output_closed_from_the_start_is_no_failure() {
    let inputs = inputs();
    let out = inputs.folder.path("closed");
    let script = "exec \"$0\" quantize \"$1\" \"$2\" >&- 2>&-";
    let status = std::process::Command::new("sh")
        .args(["-c", script, env!("CARGO_BIN_EXE_fouroversix")])
        .args([&inputs.model, &out])
        .status()
        .unwrap();
    assert_eq!(status.code(), Some(0));
    assert!(names(&out).contains(&"model.safetensors".to_owned()));
}

#[test]
fn lines_have_no_gaps_and_times_no_zeros() {
    let inputs = inputs();
    let Inputs { folder, model, quantized, file } = &inputs;
    let (out, back) = (folder.path("out"), folder.path("back"));
    let bare = folder.path("bare.safetensors");
    let said = [
        succeed([&"quantize", model, &out]),
        succeed([&"quantize", file, &bare, &"--no-figures"]),
        succeed([&"dequantize", quantized, &back]),
    ];
    for text in said {
        assert!(!text.contains(" 0.0 s") && !text.contains(" 0 s"), "{text}");
        assert!(text.contains(" ms") || text.contains(" µs") || text.contains(" s"), "{text}");
        assert!(!text.contains("iB"), "{text}");
        assert!(text.lines().all(|line| !line.trim().is_empty()), "{text}");
        let indented = |line: &&str| line.starts_with("            ");
        assert_eq!(text.lines().filter(indented).count(), 0, "{text}");
        assert!(text.lines().all(|line| line.trim_end() == line), "{text}");
    }
}

#[test]
fn figures_of_values_that_are_not_finite_are_dashes() {
    let folder = Folder::new();
    let input = folder.path("in.safetensors");
    let infinite = half::bf16::INFINITY.to_le_bytes().repeat(32 * 32);
    write_safetensors(&input, &[tensor("a.weight", "BF16", &[32, 32], infinite)]);
    let output = folder.path("out.safetensors");
    let said = succeed([&"quantize", &input, &output, &"--non-finite", &"saturate"]);
    assert!(!said.contains("NaN"), "{said}");
}

#[test]
fn the_summary_names_the_device_and_why() {
    let inputs = inputs();
    let output = |name: &str| inputs.folder.path(name);
    let json = |device: &str| -> Value {
        let said =
            succeed([&"quantize", &inputs.file, &output(device), &"--device", &device, &"--json"]);
        serde_json::from_str(&said).unwrap()
    };
    let cpu = &json("cpu")["device"];
    assert!(cpu["name"].as_str().unwrap().starts_with("cpu ("), "{cpu}");
    assert_eq!(cpu["why"], "asked for by --device cpu");
    let auto = &json("auto")["device"];
    let (name, why) = (auto["name"].as_str().unwrap(), auto["why"].as_str().unwrap());
    if name.starts_with("cpu") {
        assert!(why.contains("GPU") || why.contains("CUDA"), "{auto}");
    } else {
        assert!(name.starts_with("cuda:") && why.starts_with("the first GPU"), "{auto}");
    }
    let said = succeed([&"quantize", &inputs.file, &output("text"), &"--device", &"auto"]);
    assert!(said.contains(&format!("device: {name}, {why}")), "{said}");
}

#[test]
fn counts_add_up_to_the_inputs_tensors() {
    let inputs = inputs();
    let Inputs { folder, model, quantized, file } = &inputs;
    for (i, (input, tensors)) in [(model, 9), (file, 4)].into_iter().enumerate() {
        let output = folder.path(&format!("counted{i}"));
        let said = succeed([&"quantize", input, &output, &"--json"]);
        let summary: Value = serde_json::from_str(&said).unwrap();
        let counts = &summary["counts"];
        let count = |name: &str| counts[name].as_u64().unwrap();
        assert_eq!(count("input"), tensors, "{counts}");
        assert_eq!(count("quantized") + count("kept") + count("copied"), tensors, "{counts}");
        assert_eq!(count("quantized"), summary["tensors"].as_array().unwrap().len() as u64);
        let left = summary["kept"].as_object().unwrap().len() as u64;
        assert_eq!(count("kept") + count("copied"), left, "{counts}");
        let reasons = counts["reasons"].as_object().unwrap();
        assert_eq!(reasons.values().map(|n| n.as_u64().unwrap()).sum::<u64>(), left);
        let again = folder.path(&format!("again{i}"));
        let text = succeed([&"quantize", input, &again]);
        let line = format!("{tensors} tensors: {} quantized", count("quantized"));
        assert!(text.contains(&line), "{text}");
        let rest = format!("{} kept, {} copied", count("kept"), count("copied"));
        assert!(text.contains(&rest), "{text}");
    }
    let before = fouroversix::checkpoint::Checkpoint::open(quantized).unwrap();
    let all = before.tensors().count() as u64;
    let back = folder.path("back");
    let said = succeed([&"dequantize", quantized, &back, &"--json"]);
    let counts = &serde_json::from_str::<Value>(&said).unwrap()["counts"];
    let count = |name: &str| counts[name].as_u64().unwrap();
    assert_eq!(count("input"), all);
    assert_eq!(count("parts"), 3 * count("dequantized"), "{counts}");
    let sum = count("parts") + count("left_out") + count("kept") + count("copied");
    assert_eq!(sum, all, "{counts}");
    let after = fouroversix::checkpoint::Checkpoint::open(&back).unwrap();
    let written = count("dequantized") + count("kept") + count("copied");
    assert_eq!(after.tensors().count() as u64, written, "{counts}");
}

#[test]
fn a_dry_run_shows_what_the_run_does() {
    let inputs = inputs();
    let Inputs { folder, model, file, .. } = &inputs;
    let options: [&[&str]; 4] = [
        &[],
        &["--exclude", "*.up_proj.weight"],
        &["--include", "*a*.weight"],
        &["--fuse", "none"],
    ];
    for (i, options) in options.into_iter().enumerate() {
        for (j, input) in [model, file].into_iter().enumerate() {
            if j == 1 && i == 1 {
                continue; // The pattern matches nothing there, an error.
            }
            let output = folder.path(&format!("out{i}{j}"));
            let mut arguments = vec![Path::new("quantize"), input, &output, Path::new("--json")];
            arguments.extend(options.iter().map(Path::new));
            let json = |arguments: &[&Path]| -> Value {
                let said = program(arguments).output().unwrap();
                assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
                serde_json::from_slice(&said.stdout).unwrap()
            };
            let done = json(&arguments);
            arguments.push(Path::new("--dry-run"));
            let planned = json(&arguments);
            assert_eq!(planned["counts"], done["counts"]);
            let mut quantized = 0;
            for tensor in planned["tensors"].as_array().unwrap() {
                let name = tensor["name"].as_str().unwrap();
                let records = done["tensors"].as_array().unwrap();
                let record = records.iter().find(|record| record["name"] == name);
                assert_eq!(tensor["quantize"], record.is_some(), "{name}");
                if let Some(record) = record {
                    assert_eq!(tensor["group"], record["group"], "{name}");
                    quantized += 1;
                } else {
                    assert_eq!(tensor["reason"], done["kept"][name], "{name}");
                }
            }
            assert_eq!(quantized, done["tensors"].as_array().unwrap().len());
        }
    }
}

/// Standard output of a command that must fail with status 2: one JSON document.
#[track_caller]
fn json_error<const N: usize>(arguments: [&dyn AsRef<Path>; N]) -> (String, String) {
    let Output { status, stdout, stderr } = run(arguments);
    let said = String::from_utf8(stderr).unwrap();
    assert_eq!(status.code(), Some(2), "{said}");
    let document: Value = serde_json::from_slice(&stdout).unwrap();
    let text = |name: &str| document["error"][name].as_str().unwrap().to_owned();
    let message = text("message");
    assert!(said.starts_with("error: ") && said.contains(&message), "{said}");
    (text("kind"), message)
}

#[test]
fn errors_are_json_when_json_is_asked_for() {
    let inputs = inputs();
    let Inputs { folder, model, file, .. } = &inputs;
    let out = folder.path("out.safetensors");
    let (kind, message) = json_error([&"inspect", &folder.path("nothing"), &"--json"]);
    assert!(kind == "read" && message.contains("nothing"), "{kind}: {message}");
    let (kind, _) = json_error([&"quantize", file, file, &"--json"]);
    assert!(kind == "exists" || kind == "option", "{kind}");
    fs::write(folder.path("cut.safetensors"), [1, 2, 3]).unwrap();
    let (kind, _) = json_error([&"quantize", &folder.path("cut.safetensors"), &out, &"--json"]);
    assert_eq!(kind, "malformed");
    let (kind, _) = json_error([&"dequantize", file, &out, &"--json"]);
    assert_eq!(kind, "malformed");
    let (kind, _) = json_error([&"quantize", file, &out, &"--json", &"--device", &"cuda:97"]);
    assert_eq!(kind, "device");
    let (kind, _) = json_error([&"quantize", model, &out, &"--json", &"--scaling", &"row"]);
    assert_eq!(kind, "option");
    let (kind, message) = json_error([&"quantize", file, &out, &"--json", &"--rule", &"dice"]);
    assert!(kind == "argument" && message.contains("dice"), "{kind}: {message}");
    let (kind, message) = json_error([&"compare", file, &"--json"]);
    assert!(kind == "argument" && message.contains("SECOND"), "{kind}: {message}");
    let (kind, message) = json_error([&"report", model, &"--json"]);
    assert!(kind == "read" && message.contains("fouroversix.json"), "{kind}: {message}");
    let said = succeed([&"report", &inputs.quantized, &"--json"]);
    let told: Value = serde_json::from_str(&said).unwrap();
    assert_eq!(told["tensors"], 6);
    assert!(Path::new(told["html"].as_str().unwrap()).exists());
    let quiet = run([&"inspect", &folder.path("nothing")]);
    assert!(quiet.stdout.is_empty());
}
