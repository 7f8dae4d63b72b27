//! Which files of a folder are the model, which are copied beside it, and what they may be.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use fouroversix::checkpoint::Checkpoint;
use serde_json::json;

use crate::common;
use crate::common::{
    Folder, Tensor, contents, program, refuse, run, succeed, tensor, weights, write_model,
    write_safetensors,
};

const INDEX: &str = "model.safetensors.index.json";
const PROJECTION: &str = "model.layers.0.mlp.down_proj.weight";

/// Runs the program, which must succeed; what it wrote on standard error.
#[track_caller]
fn notes<const N: usize>(arguments: [&dyn AsRef<Path>; N]) -> String {
    let output = run(arguments);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{said}");
    said
}

/// A folder with `config.json` and shards of these tensors, and an index of these names.
fn write_shards(folder: &Path, shards: &[(&str, &[Tensor])], index: &[(&str, &str)]) {
    fs::create_dir_all(folder).unwrap();
    fs::write(folder.join("config.json"), "{\"model_type\": \"llama\"}").unwrap();
    for (name, tensors) in shards {
        write_safetensors(&folder.join(name), tensors);
    }
    let map: serde_json::Map<_, _> =
        index.iter().map(|&(tensor, shard)| (tensor.to_owned(), json!(shard))).collect();
    fs::write(folder.join(INDEX), json!({"weight_map": map}).to_string()).unwrap();
}

/// The codes of a tensor in what quantize wrote.
fn codes(folder: &Path, name: &str) -> Vec<u8> {
    let checkpoint = Checkpoint::open(folder).unwrap();
    let (file, entry) = checkpoint.get(&format!("{name}_packed")).unwrap();
    file.bytes(entry).to_vec()
}

#[test]
fn json_that_python_writes_comes_back_as_it_was() {
    let folder = Folder::new();
    let (model, out, back) = (folder.path("model"), folder.path("out"), folder.path("back"));
    write_model(&model, 1, 32);
    let numbers = "\"a_limit\": [0.0, Infinity, -Infinity, NaN], \"big\": \
                   123456789012345678901234567890, \"eps\": 1e-06, \"text\": \"Infinity, NaN\"";
    let config = format!("{{\"model_type\": \"llama\", \"nested\": {{{numbers}}}}}");
    fs::write(model.join("config.json"), &config).unwrap();
    fs::write(model.join("generation_config.json"), format!("{{{numbers}}}")).unwrap();
    let index = fs::read_to_string(model.join(INDEX)).unwrap();
    fs::write(model.join(INDEX), index.replacen('{', "{\"loss\": NaN, ", 1)).unwrap();
    succeed([&"quantize", &model, &out]);
    succeed([&"dequantize", &out, &back]);
    let squeezed = |text: String| text.split_whitespace().collect::<String>();
    for folder in [&out, &back] {
        let written = squeezed(fs::read_to_string(folder.join("config.json")).unwrap());
        assert!(written.contains(&squeezed(numbers.to_owned())), "{written}");
        let kept = fs::read(folder.join("generation_config.json")).unwrap();
        assert_eq!(kept, fs::read(model.join("generation_config.json")).unwrap());
    }
}

#[test]
fn one_file_comes_before_an_index_as_in_transformers() {
    let folder = Folder::new();
    let (model, out) = (folder.path("model"), folder.path("out"));
    let old = weights("other", &[32, 64]).bytes;
    write_shards(
        &model,
        &[("a.safetensors", &[tensor(PROJECTION, "BF16", &[32, 64], old)])],
        &[(PROJECTION, "a.safetensors")],
    );
    write_safetensors(&model.join("model.safetensors"), &[weights(PROJECTION, &[32, 64])]);
    let said = notes([&"quantize", &model, &out]);
    assert!(said.contains("model.safetensors is read, as transformers does"), "{said}");
    assert!(said.contains("a.safetensors is not copied"), "{said}");
    assert!(!out.join(INDEX).exists());
    fs::remove_file(model.join("a.safetensors")).unwrap();
    fs::remove_file(model.join(INDEX)).unwrap();
    let alone = folder.path("alone");
    succeed([&"quantize", &model, &alone]);
    assert_eq!(codes(&out, PROJECTION), codes(&alone, PROJECTION));
}

#[test]
fn of_copies_the_one_that_the_index_names_counts() {
    let folder = Folder::new();
    let stale = || tensor(PROJECTION, "BF16", &[32, 64], weights("stale", &[32, 64]).bytes);
    let up = "model.layers.0.mlp.o_proj.weight";
    let fresh = folder.path("fresh");
    write_shards(
        &fresh,
        &[("a.safetensors", &[weights(PROJECTION, &[32, 64]), weights(up, &[32, 32])])],
        &[(PROJECTION, "a.safetensors"), (up, "a.safetensors")],
    );
    let expected = folder.path("expected");
    succeed([&"quantize", &fresh, &expected]);
    // The copy that counts may lie in any shard, whatever their order.
    for (first, second) in [("a.safetensors", "b.safetensors"), ("b.safetensors", "a.safetensors")]
    {
        let (model, out) = (folder.path(first), folder.path(&format!("out-{first}")));
        write_shards(
            &model,
            &[
                (first, &[stale(), weights(up, &[32, 32])]),
                (second, &[weights(PROJECTION, &[32, 64])]),
            ],
            &[(PROJECTION, second), (up, first)],
        );
        let output = run([&"quantize", &model, &out, &"--json"]);
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success(), "{said}");
        assert!(said.contains("ignored") && said.contains(PROJECTION), "{said}");
        let summary: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(summary["input_bytes"], 2 * (32 * 64 + 32 * 32), "the stale copy is no input");
        assert_eq!(summary["counts"]["input"], 2);
        for name in [PROJECTION, up] {
            assert_eq!(codes(&out, name), codes(&expected, name), "{name}");
        }
    }
}

#[test]
fn tensors_that_no_index_names_are_part_of_the_model() {
    let folder = Folder::new();
    let (model, out) = (folder.path("model"), folder.path("out"));
    let up = "model.layers.0.mlp.o_proj.weight";
    let shard: &[Tensor] = &[weights(PROJECTION, &[32, 64]), weights(up, &[32, 32])];
    write_shards(&model, &[("a.safetensors", shard)], &[(PROJECTION, "a.safetensors")]);
    let said = notes([&"quantize", &model, &out]);
    assert!(said.contains("does not name") && said.contains(up), "{said}");
    assert!(!codes(&out, up).is_empty());
    let both: &[(&str, &[Tensor])] = &[
        ("a.safetensors", &[weights(PROJECTION, &[32, 64]), weights(up, &[32, 32])]),
        ("b.safetensors", &[weights("x", &[32]), weights(up, &[32, 32])]),
    ];
    write_shards(&model, both, &[(PROJECTION, "a.safetensors"), ("x", "b.safetensors")]);
    let said = refuse([&"quantize", &model, &folder.path("both")]);
    assert!(said.contains(up) && said.contains("no index says"), "{said}");
}

#[test]
fn diffusers_names_stay() {
    let folder = Folder::new();
    let (model, out) = (folder.path("transformer"), folder.path("out"));
    let index = "diffusion_pytorch_model.safetensors.index.json";
    let name = "transformer_blocks.0.ff.net.2.weight";
    let shards = [("s1.safetensors", &[weights(name, &[32, 64])] as &[_])];
    write_shards(&model, &shards, &[(name, "s1.safetensors")]);
    fs::write(model.join("config.json"), "{\"_class_name\": \"FluxTransformer2DModel\"}").unwrap();
    fs::rename(model.join(INDEX), model.join(index)).unwrap();
    let stale = tensor(name, "BF16", &[32, 64], weights("stale", &[32, 64]).bytes);
    let single = "diffusion_pytorch_model.safetensors";
    write_safetensors(&model.join(single), &[stale, weights("x.weight", &[32, 64])]);
    // diffusers looks for the index first.
    let said = notes([&"quantize", &model, &out, &"--include", &name]);
    assert!(said.contains("as diffusers does"), "{said}");
    assert_eq!(Checkpoint::open(&out).unwrap().tensors().count(), 3);
    assert!(out.join(single).is_file());
    fs::remove_file(model.join(index)).unwrap();
    let sharded = folder.path("sharded");
    succeed([&"quantize", &model, &sharded, &"--include", &name, &"--max-shard-size", &"1KB"]);
    let made = common::names(&sharded);
    assert!(made.iter().any(|name| name == index), "{made:?}");
    assert!(made.iter().any(|name| name == "diffusion_pytorch_model-00001-of-00002.safetensors"));
    let back = folder.path("back");
    succeed([&"dequantize", &sharded, &back]);
    assert!(back.join(single).is_file());
}

#[test]
fn variants_are_read_where_nothing_else_is() {
    let folder = Folder::new();
    let (model, out) = (folder.path("model"), folder.path("out"));
    fs::create_dir(&model).unwrap();
    write_safetensors(&model.join("model.fp16.safetensors"), &[weights(PROJECTION, &[32, 64])]);
    let said = refuse([&"quantize", &model, &out]);
    assert!(said.contains("no config.json"), "{said}");
    fs::write(model.join("config.json"), "{\"model_type\": \"llama\"}").unwrap();
    succeed([&"quantize", &model, &out]);
    assert!(out.join("model.safetensors").is_file());
    let stale = tensor(PROJECTION, "BF16", &[32, 64], weights("stale", &[32, 64]).bytes);
    write_safetensors(&model.join("model.safetensors"), &[stale]);
    let plain = folder.path("plain");
    let said = notes([&"quantize", &model, &plain]);
    assert!(said.contains("model.fp16.safetensors is not copied"), "{said}");
    assert_ne!(codes(&out, PROJECTION), codes(&plain, PROJECTION));
    // The index that was read is written anew, under the plain name if at all.
    let sharded = folder.path("sharded");
    write_shards(
        &sharded,
        &[("s1.safetensors", &[weights(PROJECTION, &[32, 64])])],
        &[(PROJECTION, "s1.safetensors")],
    );
    let variant = "model.safetensors.index.fp16.json";
    fs::rename(sharded.join(INDEX), sharded.join(variant)).unwrap();
    let again = folder.path("again");
    succeed([&"quantize", &sharded, &again]);
    let made = common::names(&again);
    assert_eq!(made, ["config.json", "fouroversix.json", "model.safetensors"]);
}

#[test]
fn configurations_keep_the_order_of_their_keys() {
    let folder = Folder::new();
    let (model, out, back) = (folder.path("model"), folder.path("out"), folder.path("back"));
    write_model(&model, 1, 32);
    let config = "{\"z\": 1, \"model_type\": \"llama\", \"torch_dtype\": \"float32\", \"b\": \
                  {\"y\": [{\"q\": 0, \"p\": 0}], \"x\": 2}, \"quantization_config\": null, \"a\": 3}";
    fs::write(model.join("config.json"), config).unwrap();
    succeed([&"quantize", &model, &out]);
    succeed([&"dequantize", &out, &back]);
    let written = |folder: &Path| {
        let text = fs::read_to_string(folder.join("config.json")).unwrap();
        text.split_whitespace().collect::<String>()
    };
    let kept = "{\"z\":1,\"model_type\":\"llama\",\"torch_dtype\":\"bfloat16\",\"b\":\
                {\"y\":[{\"q\":0,\"p\":0}],\"x\":2},\"a\":3,\"dtype\":\"bfloat16\"";
    let quantized = written(&out);
    assert!(quantized.starts_with(&format!("{kept},\"quantization_config\":{{")), "{quantized}");
    assert_eq!(written(&back), format!("{kept}}}"));
}

#[test]
fn metadata_that_are_null_are_none() {
    let folder = Folder::new();
    let input = folder.path("in.safetensors");
    let header = "{\"__metadata__\":null,\"a.weight\":{\"dtype\":\"BF16\",\"shape\":[2,16],\
                  \"data_offsets\":[0,64]}}";
    let length = (header.len() as u64).to_le_bytes();
    fs::write(&input, [&length, header.as_bytes(), &[0; 64]].concat()).unwrap();
    succeed([&"quantize", &input, &folder.path("out.safetensors")]);
}

#[test]
fn cache_entries_name_their_snapshots() {
    let folder = Folder::new();
    let entry = folder.path("hub/models--org--name");
    for revision in ["0abc", "1def"] {
        write_model(&entry.join("snapshots").join(revision), 1, 32);
    }
    fs::create_dir(entry.join("refs")).unwrap();
    fs::write(entry.join("refs/main"), "1def").unwrap();
    let out = folder.path("out");
    for place in [entry.clone(), entry.join("snapshots")] {
        let said = refuse([&"quantize", &place, &out]);
        let at = |revision: &str| said.find(&format!("snapshots/{revision}")).unwrap();
        assert!(at("1def") < at("0abc"), "{said}");
    }
    let said = refuse([&"quantize", &folder.path("hub"), &out]);
    assert!(said.contains("snapshots/REVISION"), "{said}");
    succeed([&"quantize", &entry.join("snapshots/1def"), &out]);
}

#[test]
fn adapters_are_refused() {
    let folder = Folder::new();
    let model = folder.path("model");
    fs::create_dir(&model).unwrap();
    fs::write(model.join("adapter_config.json"), "{\"peft_type\": \"LORA\"}").unwrap();
    let lora = weights("base_model.model.x.q_proj.lora_A.weight", &[16, 64]);
    write_safetensors(&model.join("adapter_model.safetensors"), &[lora]);
    let said = refuse([&"quantize", &model, &folder.path("out")]);
    assert!(said.contains("adapter") && said.contains("merge"), "{said}");
    assert_eq!(folder.names(), ["model"]);
}

#[test]
fn configurations_that_are_links_to_nothing_are_not_taken_for_none() {
    let folder = Folder::new();
    let model = folder.path("model");
    for name in ["config.json", "hf_quant_config.json", "quantize_config.json"] {
        write_model(&model, 1, 32);
        let _ = fs::remove_file(model.join(name));
        symlink("../blobs/0123", model.join(name)).unwrap();
        let said = refuse([&"quantize", &model, &folder.path("out")]);
        assert!(said.contains(name) && said.contains("link to nothing"), "{said}");
        fs::remove_file(model.join(name)).unwrap();
    }
    assert_eq!(folder.names(), ["model"]);
}

#[test]
fn odd_side_files_are_skipped_or_copied_before_hours_are_spent() {
    let folder = Folder::new();
    let (model, out) = (folder.path("model"), folder.path("out"));
    write_model(&model, 1, 32);
    symlink("nowhere", model.join("dangling.txt")).unwrap();
    symlink("itself", model.join("itself")).unwrap();
    symlink("..", model.join("extra/up")).unwrap();
    let _socket = UnixListener::bind(model.join("socket")).unwrap();
    let fifo =
        |path: PathBuf| assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
    fifo(model.join("fifo"));
    fifo(model.join("extra/pipe.safetensors"));
    let name = OsStr::from_bytes(b"caf\xe9.txt");
    fs::write(model.join(name), "kept").unwrap();
    fs::write(model.join("extra").join(name), "kept").unwrap();
    let said = notes([&"quantize", &model, &out]);
    for skipped in
        ["dangling.txt", "itself", "extra/up", "socket", "fifo", "extra/pipe.safetensors"]
    {
        assert!(said.contains(&format!("{skipped} is not copied")), "{skipped}: {said}");
        assert!(fs::symlink_metadata(out.join(skipped)).is_err(), "{skipped}");
    }
    assert_eq!(fs::read(out.join(name)).unwrap(), b"kept");
    assert_eq!(fs::read(out.join("extra").join(name)).unwrap(), b"kept");
    // Their names are known when the output is replaced.
    succeed([&"quantize", &model, &out, &"--force"]);
    // Where a shard or the config must be, a FIFO is an error, and nothing waits for it.
    for needed in ["config.json", "model-00001-of-00002.safetensors", INDEX] {
        let aside = folder.path("aside");
        fs::rename(model.join(needed), &aside).unwrap();
        fifo(model.join(needed));
        refuse([&"quantize", &model, &folder.path("other")]);
        fs::remove_file(model.join(needed)).unwrap();
        fs::rename(&aside, model.join(needed)).unwrap();
    }
    fifo(folder.path("fifo.safetensors"));
    refuse([&"quantize", &folder.path("fifo.safetensors"), &folder.path("o.safetensors")]);
}

#[test]
fn what_the_output_replaces_is_left_out_and_what_a_model_needs_is_not() {
    let folder = Folder::new();
    let (model, out) = (folder.path("model"), folder.path("out"));
    write_model(&model, 1, 32);
    let left_out = [
        "consolidated.00.pth",
        "original/consolidated.00.pth",
        "a/b/pytorch_model.bin",
        "pytorch_model-00001-of-00002.bin",
        "pytorch_model.bin.index.json",
        "onnx/model.onnx",
        "onnx/model.onnx_data",
        "gguf/q4.gguf",
        "tf_model.h5",
        "consolidated.safetensors",
        "checkpoint-10/model.safetensors",
        "checkpoint-10/config.json",
        "optimizer.pt",
        "a/large.pt",
        ".git/config",
    ];
    let copied = [
        "spk_dict.pt",
        "training_args.bin",
        "original/params.json",
        "talker/model.safetensors",
        "2_Dense/pytorch_model.bin",
        "onnx/config.json",
        "vocab.bin",
    ];
    for name in left_out.iter().chain(&copied) {
        fs::create_dir_all(model.join(name).parent().unwrap()).unwrap();
        fs::write(model.join(name), name).unwrap();
    }
    let large = fs::OpenOptions::new().write(true).open(model.join("a/large.pt")).unwrap();
    large.set_len(65 << 20).unwrap();
    fs::write(model.join("modules.json"), "[{\"path\": \"\"}, {\"path\": \"2_Dense\"}]").unwrap();
    let said = notes([&"quantize", &model, &out]);
    for name in left_out {
        assert!(!out.join(name).exists(), "{name}");
        let told = name.starts_with('.') || said.contains(name) || said.contains("checkpoint-10");
        assert!(told, "{name}: {said}");
    }
    for name in copied {
        assert_eq!(fs::read(out.join(name)).unwrap(), name.as_bytes(), "{name}");
    }
}

#[test]
fn interrupted_runs_say_how_to_go_on() {
    let folder = Folder::new();
    let (model, out) = (folder.path("model"), folder.path("out"));
    write_model(&model, 12, 512);
    let undisturbed = folder.path("undisturbed");
    succeed([&"quantize", &model, &undisturbed, &"--max-shard-size", &"300KB"]);
    for signal in ["INT", "TERM"] {
        let options = ["quantize", "--max-shard-size", "300KB"].map(Path::new);
        let run = program(&options)
            .args([&model, &out])
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let start = Instant::now();
        let journal = folder.path("out.partial/journal.jsonl");
        let finished = || fs::read_to_string(&journal).map_or(0, |text| text.lines().count());
        while finished() < 2 {
            assert!(start.elapsed() < Duration::from_secs(60), "no shard was finished");
            std::thread::sleep(Duration::from_millis(1));
        }
        let process = run.id().to_string();
        assert!(Command::new("kill").args(["-s", signal, &process]).status().unwrap().success());
        let ended = run.wait_with_output().unwrap();
        let said = String::from_utf8(ended.stderr).unwrap();
        assert_eq!(ended.status.code(), Some(130), "{said}");
        assert!(said.contains("run the same command again"), "{said}");
        assert!(said.contains("out.partial") && folder.path("out.partial").is_dir(), "{said}");
        let said = notes([&"quantize", &model, &out, &"--max-shard-size", &"300KB"]);
        assert!(said.contains("was finished before"), "{said}");
        assert!(contents(&out) == contents(&undisturbed));
        fs::remove_dir_all(&out).unwrap();
    }
}
