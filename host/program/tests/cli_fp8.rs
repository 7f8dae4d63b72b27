//! `--fp8`: weights with an E4M3 code for each element and a scale for each row, beside NVFP4.

use std::fs;
use std::path::Path;

use fouroversix::checkpoint::{Checkpoint, Format};
use half::bf16;
use serde_json::{Value, json};

use crate::common::{
    Folder, contents, refuse, run, succeed, tensor, weights, write_model, write_safetensors,
};

const ATTENTION: &str = "*self_attn*";

/// E4M3 as the format defines it: bias 7, three bits of fraction.
fn e4m3_value(code: u8) -> f64 {
    let (exponent, fraction) = (i32::from(code >> 3 & 15), f64::from(code & 7));
    let magnitude = match exponent {
        0 => fraction * 2.0_f64.powi(-9),
        _ => (1.0 + fraction / 8.0) * 2.0_f64.powi(exponent - 7),
    };
    if code & 0x80 == 0 { magnitude } else { -magnitude }
}

/// The code of the nearest number, of two the even one; `value` is within ±448 but for rounding.
fn nearest(value: f32) -> u8 {
    let sign = if value.is_sign_negative() { 0x80 } else { 0 };
    let distance = |code: &u8| (e4m3_value(*code) - f64::from(value.abs())).abs();
    let by_distance =
        |a: &u8, b: &u8| distance(a).total_cmp(&distance(b)).then((a & 1).cmp(&(b & 1)));
    sign | (0..0x7F).min_by(by_distance).unwrap()
}

/// Codes and scales of a BF16 matrix, computed here.
fn expected(bytes: &[u8], cols: usize) -> (Vec<u8>, Vec<u8>) {
    let values: Vec<f32> = bytes
        .chunks_exact(2)
        .map(|pair| bf16::from_le_bytes([pair[0], pair[1]]).to_f32())
        .collect();
    let (mut codes, mut scales) = (Vec::new(), Vec::new());
    for row in values.chunks_exact(cols) {
        let scale = row.iter().fold(0.0_f32, |amax, value| amax.max(value.abs())) / 448.0;
        scales.extend(scale.to_le_bytes());
        codes.extend(row.iter().map(|value| nearest(value / scale)));
    }
    (codes, scales)
}

#[track_caller]
fn bytes_of<'a>(checkpoint: &'a Checkpoint, name: &str, dtype: &str, shape: &[usize]) -> &'a [u8] {
    let (file, entry) = checkpoint.get(name).unwrap_or_else(|| panic!("no {name}"));
    assert_eq!((entry.dtype.name(), entry.shape.as_slice()), (dtype, shape), "{name}");
    file.bytes(entry)
}

fn read_json(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

#[test]
fn attention_becomes_fp8_and_the_rest_stays_nvfp4_in_both_formats() {
    let folder = Folder::new();
    let (model, plain) = (folder.path("model"), folder.path("plain"));
    write_model(&model, 2, 64);
    for format in Format::ALL {
        let output = folder.path(format.name());
        let said = succeed([
            &"quantize",
            &model,
            &output,
            &"--format",
            &format.name(),
            &"--fp8",
            &ATTENTION,
        ]);
        assert!(said.contains("12 quantized") && said.contains("6 of them to FP8"), "{said}");
        succeed([&"quantize", &model, &plain, &"--format", &format.name(), &"--force"]);
        let [source, made, nvfp4] =
            [&model, &output, &plain].map(|path| Checkpoint::open(path).unwrap());
        for (_, entry) in source.tensors().filter(|(_, it)| it.name.contains("self_attn")) {
            let (file, _) = source.get(&entry.name).unwrap();
            let (codes, scales) = expected(file.bytes(entry), 64);
            assert_eq!(bytes_of(&made, &entry.name, "F8_E4M3", &[64, 64]), codes, "{}", entry.name);
            let shape: &[usize] = if format == Format::ModelOpt { &[64] } else { &[64, 1] };
            let name = format!("{}_scale", entry.name);
            assert_eq!(bytes_of(&made, &name, "F32", shape), scales, "{name}");
        }
        // What is not FP8 is what it is without the option.
        let others = nvfp4.tensors().filter(|(_, entry)| !entry.name.contains("self_attn"));
        for (file, entry) in others {
            let bytes = bytes_of(&made, &entry.name, entry.dtype.name(), &entry.shape);
            assert!(bytes == file.bytes(entry), "{}", entry.name);
        }
        assert_eq!(made.tensors().count(), nvfp4.tensors().count() - 6);
    }
}

#[test]
fn compressed_tensors_names_both_kinds() {
    let folder = Folder::new();
    let (model, output) = (folder.path("model"), folder.path("out"));
    write_model(&model, 2, 64);
    succeed([&"quantize", &model, &output, &"--fp8", &ATTENTION]);
    let section = &read_json(&output.join("config.json"))["quantization_config"];
    assert_eq!(section["format"], "mixed-precision");
    let groups = section["config_groups"].as_object().unwrap();
    assert_eq!(groups.keys().collect::<Vec<_>>(), ["group_0", "group_1"]);
    let (nvfp4, fp8) = (&groups["group_0"], &groups["group_1"]);
    assert_eq!(nvfp4["format"], "nvfp4-pack-quantized");
    assert_eq!(nvfp4["weights"]["num_bits"], 4);
    assert_eq!(nvfp4["input_activations"], Value::Null);
    assert_eq!(fp8["format"], "float-quantized");
    let (weights, inputs) = (&fp8["weights"], &fp8["input_activations"]);
    for (group, strategy, dynamic) in [(weights, "channel", false), (inputs, "token", true)] {
        assert_eq!(group["num_bits"], 8);
        assert_eq!(group["type"], "float");
        assert_eq!(group["symmetric"], true);
        assert_eq!(group["strategy"], strategy);
        assert_eq!(group["dynamic"], dynamic);
    }
    // Each module by one group alone, whatever stands before its name, and lm_head by none.
    let targets = |group: &Value| -> Vec<regex_lite::Regex> {
        let texts = group["targets"].as_array().unwrap().iter();
        texts
            .map(|text| text.as_str().unwrap().strip_prefix("re:").expect("a pattern"))
            .map(|text| regex_lite::Regex::new(text).unwrap())
            .collect()
    };
    let (nvfp4, fp8) = (targets(nvfp4), targets(fp8));
    let any =
        |patterns: &[regex_lite::Regex], name: &str| patterns.iter().any(|it| it.is_match(name));
    for prefix in ["model.", "language_model.model.", "model.language_model.", ""] {
        for (leaf, is_fp8) in [("self_attn.q_proj", true), ("mlp.up_proj", false)] {
            let name = format!("{prefix}layers.1.{leaf}");
            assert_eq!((any(&nvfp4, &name), any(&fp8, &name)), (!is_fp8, is_fp8), "{name}");
        }
    }
    assert!(!any(&nvfp4, "lm_head") && !any(&fp8, "lm_head"));
    assert_eq!(section["ignore"], json!(["lm_head"]));
}

#[test]
fn modelopt_names_every_module() {
    let folder = Folder::new();
    let (model, output) = (folder.path("model"), folder.path("out"));
    write_model(&model, 1, 64);
    succeed([&"quantize", &model, &output, &"--format", &"modelopt", &"--fp8", &ATTENTION]);
    let own = &read_json(&output.join("hf_quant_config.json"))["quantization"];
    let mirrored = &read_json(&output.join("config.json"))["quantization_config"];
    let module = |leaf: &str| format!("model.layers.0.{leaf}");
    let mut layers = serde_json::Map::new();
    for leaf in ["mlp.gate_proj", "mlp.up_proj", "mlp.down_proj"] {
        layers.insert(module(leaf), json!({"quant_algo": "W4A16_NVFP4", "group_size": 16}));
    }
    for leaf in ["q_proj", "k_proj", "v_proj"] {
        let name = module(&format!("self_attn.{leaf}"));
        layers.insert(name, json!({"quant_algo": "FP8_PER_CHANNEL_PER_TOKEN"}));
    }
    for section in [own, mirrored] {
        assert_eq!(section["quant_algo"], "MIXED_PRECISION");
        assert_eq!(section["quantized_layers"], Value::Object(layers.clone()));
    }
    assert_eq!(own["exclude_modules"], mirrored["ignore"]);
    assert_eq!(own["kv_cache_quant_algo"], Value::Null);
}

#[test]
fn a_model_may_be_fp8_altogether() {
    let folder = Folder::new();
    let (model, output) = (folder.path("model"), folder.path("out"));
    write_model(&model, 1, 64);
    succeed([&"quantize", &model, &output, &"--fp8", &"*"]);
    let section = &read_json(&output.join("config.json"))["quantization_config"];
    assert_eq!(section["format"], "float-quantized");
    assert_eq!(section["config_groups"]["group_0"]["targets"], json!(["Linear"]));
    assert_eq!(section["config_groups"].as_object().unwrap().len(), 1);
    // Linear weights alone: embeddings, norms and the head are as they were.
    let made = Checkpoint::open(&output).unwrap();
    bytes_of(&made, "model.embed_tokens.weight", "BF16", &[64, 64]);
    bytes_of(&made, "lm_head.weight", "BF16", &[64, 64]);
    bytes_of(&made, "model.layers.0.mlp.up_proj.weight", "F8_E4M3", &[128, 64]);
    let modelopt = folder.path("modelopt");
    succeed([&"quantize", &model, &modelopt, &"--fp8", &"*", &"--format", &"modelopt"]);
    let own = &read_json(&modelopt.join("hf_quant_config.json"))["quantization"];
    assert_eq!(own["quant_algo"], "FP8_PER_CHANNEL_PER_TOKEN");
    assert_eq!(own.get("quantized_layers"), None);
}

#[test]
fn what_stacks_load_as_one_is_not_split() {
    let folder = Folder::new();
    let (model, output) = (folder.path("model"), folder.path("out"));
    write_model(&model, 2, 64);
    let said = refuse([&"quantize", &model, &output, &"--fp8", &"*q_proj*"]);
    let named = ["layers.0.self_attn.q_proj.weight", "k_proj.weight", "become NVFP4", "all of its"];
    assert!(named.iter().all(|part| said.contains(part)), "{said}");
    let keep = "*.k_proj.weight";
    let said = refuse([&"quantize", &model, &output, &"--fp8", &ATTENTION, &"--keep", &keep]);
    assert!(said.contains("would stay (excluded by *.k_proj.weight)"), "{said}");
    let said = refuse([
        &"quantize",
        &model,
        &output,
        &"--fp8",
        &"*up_proj*",
        &"--include",
        &"*self_attn*",
    ]);
    assert!(said.contains("gate_proj.weight would stay (not included)"), "{said}");
    assert!(!output.exists());
}

/// A model with two experts.
fn write_experts(model: &Path) {
    fs::create_dir(model).unwrap();
    fs::write(model.join("config.json"), "{\"model_type\": \"mixtral\"}").unwrap();
    let name = |leaf: &str| format!("model.layers.0.{leaf}.weight");
    let mut tensors = Vec::new();
    for leaf in ["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj"] {
        tensors.push(weights(&name(leaf), &[32, 32]));
    }
    for expert in 0..2 {
        for leaf in ["w1", "w2", "w3"] {
            let leaf = format!("block_sparse_moe.experts.{expert}.{leaf}");
            tensors.push(weights(&name(&leaf), &[32, 32]));
        }
    }
    write_safetensors(&model.join("model.safetensors"), &tensors);
}

#[test]
fn experts_are_of_one_kind_and_in_modelopt_not_fp8() {
    let folder = Folder::new();
    let (model, output) = (folder.path("model"), folder.path("out"));
    write_experts(&model);
    let said = refuse([&"quantize", &model, &output, &"--fp8", &"*experts.1.*"]);
    assert!(said.contains("experts.1.") && said.contains("experts.0."), "{said}");
    let modelopt: [&dyn AsRef<Path>; 2] = [&"--format", &"modelopt"];
    let [a, b] = modelopt;
    let said = refuse([&"quantize", &model, &output, a, b, &"--fp8", &"*experts*"]);
    assert!(said.contains("--format compressed-tensors"), "{said}");
    succeed([&"quantize", &model, &output, &"--fp8", &"*experts*"]);
    let other = folder.path("modelopt");
    succeed([&"quantize", &model, &other, a, b, &"--fp8", &ATTENTION]);
}

#[test]
fn patterns_for_fp8_name_linear_weights() {
    let folder = Folder::new();
    let (model, output) = (folder.path("model"), folder.path("out"));
    write_model(&model, 1, 64);
    let said = refuse([&"quantize", &model, &output, &"--fp8", &"lm_head.weight"]);
    assert!(said.contains("lm_head.weight was asked for but can't be quantized"), "{said}");
    let said = refuse([&"quantize", &model, &output, &"--fp8", &"*embed*"]);
    assert!(said.contains("model.embed_tokens.weight: embedding"), "{said}");
    let said = refuse([&"quantize", &model, &output, &"--fp8", &"*nothing*"]);
    assert!(said.contains("matches no tensor"), "{said}");
}

#[test]
fn dry_runs_tell_the_kind() {
    let folder = Folder::new();
    let model = folder.path("model");
    write_model(&model, 1, 64);
    let out = folder.path("out");
    let said = succeed([&"quantize", &model, &out, &"--fp8", &ATTENTION, &"--dry-run"]);
    let name = "model.layers.0.self_attn.q_proj.weight";
    assert!(
        said.contains(&format!("fp8       {name} [64, 64] BF16 (FP8 by *self_attn*)")),
        "{said}"
    );
    assert!(said.contains("6 would be quantized, 3 of them to FP8"), "{said}");
    let said = succeed([&"quantize", &model, &out, &"--fp8", &ATTENTION, &"--dry-run", &"--json"]);
    let told: Value = serde_json::from_str(&said).unwrap();
    let tensors = told["tensors"].as_array().unwrap();
    let kind = |name: &str| &tensors.iter().find(|it| it["name"] == name).unwrap()["kind"];
    assert_eq!(kind(name), "fp8");
    assert_eq!(kind("model.layers.0.mlp.up_proj.weight"), "nvfp4");
    assert_eq!(*kind("lm_head.weight"), Value::Null);
}

#[test]
fn what_is_not_finite_is_an_error_or_saturates() {
    let folder = Folder::new();
    let (input, output) = (folder.path("in.safetensors"), folder.path("out.safetensors"));
    let mut values = [bf16::from_f32(1.0); 32];
    (values[3], values[18], values[19]) = (bf16::NAN, bf16::NEG_INFINITY, bf16::from_f32(-2.0));
    let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    write_safetensors(&input, &[tensor("a.weight", "BF16", &[2, 16], bytes)]);
    let said = refuse([&"quantize", &input, &output, &"--fp8", &"*"]);
    assert!(said.contains("a.weight holds NaN at [0, 3]"), "{said}");
    succeed([&"quantize", &input, &output, &"--fp8", &"*", &"--non-finite", &"saturate"]);
    let made = Checkpoint::open(&output).unwrap();
    let codes = bytes_of(&made, "a.weight", "F8_E4M3", &[2, 16]);
    // 448 is the largest finite one of each row; NaN and infinities become ±448.
    assert_eq!((codes[0], codes[3]), (0x7E, 0x7E));
    assert_eq!((codes[16], codes[18], codes[19]), (0x76, 0xFE, 0xFE));
    let scales = bytes_of(&made, "a.weight_scale", "F32", &[2, 1]);
    let expected: Vec<u8> =
        [1.0_f32 / 448.0, 2.0 / 448.0].iter().flat_map(|s| s.to_le_bytes()).collect();
    assert_eq!(scales, expected);
}

#[test]
fn parts_and_interrupted_runs_end_with_the_same_bytes() {
    let folder = Folder::new();
    let (model, whole, output) = (folder.path("model"), folder.path("whole"), folder.path("out"));
    write_model(&model, 3, 64);
    let options = ["--fp8", ATTENTION, "--max-shard-size", "20KB", "--quiet"];
    let with = |output: &Path, more: [&str; 2]| {
        let mut command = crate::common::program(&[Path::new("quantize"), &model, output]);
        command.args(options).args(more).output().unwrap()
    };
    assert!(with(&whole, ["--device", "cpu"]).status.success());
    for part in ["1/2", "2/2"] {
        assert!(with(&output, ["--part", part]).status.success());
    }
    assert!(contents(&output) == contents(&whole));
    fs::remove_dir_all(&output).unwrap();

    // A file that can't be read stops the run when all shards are finished.
    let lost = model.join("extra/lost.txt");
    std::os::unix::fs::symlink("/proc/self/mem", &lost).unwrap();
    assert!(!with(&output, ["--device", "cpu"]).status.success());
    fs::remove_file(&lost).unwrap();
    let again = run([&"quantize", &model, &output, &"--max-shard-size", &"20KB"]);
    let said = String::from_utf8(again.stderr).unwrap();
    assert!(said.contains("other options") && !said.contains("kept"), "{said}");
    fs::remove_dir_all(&output).unwrap();

    std::os::unix::fs::symlink("/proc/self/mem", &lost).unwrap();
    assert!(!with(&output, ["--device", "cpu"]).status.success());
    fs::remove_file(&lost).unwrap();
    let again = crate::common::program(&[Path::new("quantize"), &model, &output])
        .args(&options[..4])
        .output()
        .unwrap();
    let said = String::from_utf8(again.stderr).unwrap();
    assert!(again.status.success() && said.contains("finished before: kept"), "{said}");
    assert!(contents(&output) == contents(&whole));
}

#[test]
fn the_way_back_is_code_times_scale_in_both_formats() {
    let folder = Folder::new();
    let model = folder.path("model");
    write_model(&model, 1, 64);
    for format in Format::ALL {
        let [output, back] =
            ["", "-back"].map(|end| folder.path(&format!("{}{end}", format.name())));
        let name = format.name();
        succeed([&"quantize", &model, &output, &"--format", &name, &"--fp8", &ATTENTION]);
        succeed([&"dequantize", &output, &back]);
        let [made, floats] = [&output, &back].map(|path| Checkpoint::open(path).unwrap());
        let tensor = "model.layers.0.self_attn.v_proj.weight";
        let codes = bytes_of(&made, tensor, "F8_E4M3", &[64, 64]);
        let (file, entry) = made.get(&format!("{tensor}_scale")).unwrap();
        let scales: Vec<f32> = file
            .bytes(entry)
            .chunks_exact(4)
            .map(|bytes| f32::from_le_bytes(bytes.try_into().unwrap()))
            .collect();
        let expected: Vec<u8> = codes
            .chunks_exact(64)
            .zip(&scales)
            .flat_map(|(row, scale)| row.iter().map(move |&code| e4m3_value(code) as f32 * scale))
            .flat_map(|value| bf16::from_f32(value).to_le_bytes())
            .collect();
        assert!(bytes_of(&floats, tensor, "BF16", &[64, 64]) == expected, "{name}");
        let said = succeed([&"inspect", &output]);
        assert!(
            said.contains(&format!("{tensor} [64, 64] F8_E4M3 (FP8 with a scale for each row)"))
        );
        let said = succeed([&"compare", &output, &output, &"--exact"]);
        assert!(said.ends_with("tensors identical, 0 not\n"), "{said}");
        succeed([&"compare", &model, &output]);
    }
}
