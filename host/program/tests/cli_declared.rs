//! Checkpoints that are quantized already: seen wherever it is said or shown, and refused with
//! advice that works.

use std::fs;
use std::path::PathBuf;

use serde_json::{Value, json};

use crate::common::{
    Folder, Tensor, refuse, run, succeed, tensor, weights, write_model, write_safetensors,
};

/// A model directory of floats whose `config.json` also has `fields`.
fn model(folder: &Folder, fields: &Value) -> PathBuf {
    let model = folder.path("model");
    if !model.exists() {
        write_model(&model, 1, 32);
    }
    let mut config = json!({"architectures": ["LlamaForCausalLM"], "model_type": "llama"});
    for (key, value) in fields.as_object().unwrap() {
        config[key] = value.clone();
    }
    fs::write(model.join("config.json"), config.to_string()).unwrap();
    model
}

fn scales(name: &str, shape: &[usize], byte: u8) -> Tensor {
    tensor(name, "F8_E4M3", shape, vec![byte; shape.iter().product()])
}

fn float(name: &str, shape: &[usize], value: f32) -> Tensor {
    tensor(name, "F32", shape, value.to_le_bytes().repeat(shape.iter().product()))
}

fn bytes(name: &str, dtype: &str, shape: &[usize], width: usize) -> Tensor {
    tensor(name, dtype, shape, vec![1; width * shape.iter().product::<usize>()])
}

#[test]
fn every_declaration_is_found_where_it_is() {
    let folder = Folder::new();
    let fp8 = json!({"quant_method": "fp8", "fmt": "e4m3"});
    for (fields, place, method) in [
        (json!({"quantization_config": fp8}), "config.json: quantization_config", "fp8 (e4m3)"),
        (json!({"compression_config": fp8}), "config.json: compression_config", "fp8"),
        (
            json!({"text_config": {"quantization_config": {"quant_method": "gptq", "bits": 4}}}),
            "config.json: text_config.quantization_config",
            "gptq (4 bits)",
        ),
        (
            json!({"thinker_config": {"text_config": {"quantization_config": fp8}}}),
            "config.json: thinker_config.text_config.quantization_config",
            "fp8",
        ),
        (
            json!({"quantization_config": null, "llm_config": {"quantization_config": fp8}}),
            "config.json: llm_config.quantization_config",
            "fp8",
        ),
        (
            json!({"quantization": {"group_size": 64, "bits": 4}}),
            "config.json: quantization",
            "4 bits",
        ),
        (json!({"quantization_config": {}}), "config.json: quantization_config", "unnamed"),
    ] {
        let model = model(&folder, &fields);
        let output = folder.path("out");
        let said = refuse([&"quantize", &model, &output]);
        assert!(said.contains(method) && said.contains(place), "{said}");
        assert!(said.contains("remove that from config.json"), "{said}");
        assert!(!said.contains("dequantize"), "that would not help: {said}");
        let said = refuse([&"dequantize", &model, &output]);
        assert!(said.contains(place) && said.contains("no quantized tensor"), "{said}");
        let said = succeed([&"inspect", &model]);
        assert!(said.contains(&format!("{place} declares")), "{said}");
        assert_eq!(folder.names(), ["model"]);
    }
}

#[test]
fn every_side_file_is_looked_at() {
    let folder = Folder::new();
    let model = model(&folder, &json!({}));
    for (file, text, method) in [
        (
            "hf_quant_config.json",
            json!({"producer": {"name": "modelopt"}, "quantization": {"quant_algo": "FP8"}}),
            "modelopt (FP8) in hf_quant_config.json: quantization",
        ),
        (
            "quantize_config.json",
            json!({"bits": 4, "group_size": 128}),
            "gptq (4 bits) in quantize_config.json",
        ),
        (
            "quant_config.json",
            json!({"zero_point": true, "w_bit": 4}),
            "awq (4 bits) in quant_config.json",
        ),
    ] {
        fs::write(model.join(file), text.to_string()).unwrap();
        let said = refuse([&"quantize", &model, &folder.path("out")]);
        assert!(said.contains(method), "{said}");
        assert!(said.contains(&format!("remove that from {file}")), "{said}");
        fs::remove_file(model.join(file)).unwrap();
    }
    let none = json!({"quantization": {"quant_algo": null, "kv_cache_quant_algo": null}});
    fs::write(model.join("hf_quant_config.json"), none.to_string()).unwrap();
    succeed([&"quantize", &model, &folder.path("out"), &"--dry-run"]);
}

#[test]
fn what_means_none_is_quantized() {
    let folder = Folder::new();
    for (i, section) in [
        json!(null),
        json!({"quant_method": "bitsandbytes", "load_in_4bit": false, "load_in_8bit": false}),
        json!({"quant_method": "modelopt", "quant_algo": null}),
    ]
    .into_iter()
    .enumerate()
    {
        let model = model(&folder, &json!({"quantization_config": section}));
        let output = folder.path(&format!("out{i}"));
        succeed([&"quantize", &model, &output, &"--no-figures"]);
        let config: Value =
            serde_json::from_slice(&fs::read(output.join("config.json")).unwrap()).unwrap();
        assert_eq!(config["quantization_config"]["format"], "nvfp4-pack-quantized");
        let said = refuse([&"dequantize", &model, &folder.path("back")]);
        assert!(said.contains("floats already"), "{said}");
    }
}

/// What other tools store, and what it is called here.
fn foreign() -> Vec<(&'static str, Vec<Tensor>)> {
    let weight = |dtype| bytes("a.weight", dtype, &[32, 32], 1);
    vec![
        (
            "FP8 with a scale for each block",
            vec![weight("F8_E4M3"), float("a.weight_scale_inv", &[3, 1], 0.5)],
        ),
        ("is FP8", vec![weight("F8_E4M3"), float("a.weight_scale", &[3], 0.5)]),
        ("is FP8 in E5M2", vec![weight("F8_E5M2"), float("a.scale", &[1, 1], 0.5)]),
        (
            "MXFP4",
            vec![
                bytes("a.experts.down_proj_blocks", "U8", &[2, 32, 1, 16], 1),
                bytes("a.experts.down_proj_scales", "U8", &[2, 32, 2], 1),
            ],
        ),
        (
            "scales are not NVFP4's",
            vec![
                bytes("a.weight_packed", "U8", &[32, 16], 1),
                bytes("a.weight_scale", "U8", &[32, 2], 1),
            ],
        ),
        (
            "scales are not NVFP4's",
            vec![
                bytes("a.weight_packed", "I32", &[32, 4], 4),
                weights("a.weight_scale", &[32, 1]),
                bytes("a.weight_shape", "I64", &[2], 8),
            ],
        ),
        (
            "GPTQ, AWQ",
            vec![
                bytes("a.qweight", "I32", &[4, 32], 4),
                bytes("a.qzeros", "I32", &[1, 4], 4),
                bytes("a.scales", "F16", &[1, 32], 2),
                bytes("a.g_idx", "I32", &[32], 4),
            ],
        ),
        ("INT8", vec![weight("I8"), weights("a.weight_scale", &[32, 1])]),
        (
            "bitsandbytes",
            vec![
                bytes("a.weight", "U8", &[512, 1], 1),
                float("a.weight.absmax", &[16], 1.0),
                float("a.weight.quant_map", &[16], 1.0),
                bytes("a.weight.quant_state.bitsandbytes__nf4", "U8", &[80], 1),
            ],
        ),
        ("bitsandbytes", vec![weight("I8"), float("a.SCB", &[32], 1.0)]),
        (
            "packed integers",
            vec![
                bytes("a.weight", "U32", &[32, 4], 4),
                weights("a.scales", &[32, 1]),
                weights("a.biases", &[32, 1]),
            ],
        ),
        (
            "ComfyUI",
            vec![
                bytes("a.weight", "U8", &[128, 32], 1),
                scales("a.weight_scale", &[128, 4], 0x38),
                float("a.weight_scale_2", &[], 0.5),
                bytes("a.comfy_quant", "U8", &[20], 1),
            ],
        ),
        (
            "AWQ",
            vec![
                bytes("a.weight", "U8", &[32, 16], 1),
                scales("a.weight_scale", &[32, 2], 0x38),
                float("a.weight_scale_2", &[], 0.5),
                weights("a.pre_quant_scale", &[32]),
            ],
        ),
        (
            "as ModelOpt packs it",
            vec![
                bytes("a.experts.down_proj", "U8", &[2, 16, 32], 1),
                scales("a.experts.down_proj_weight_scale", &[2, 2, 32], 0x38),
                float("a.experts.down_proj_weight_scale_2", &[], 0.5),
                float("a.experts.down_proj_input_scale", &[], 0.5),
            ],
        ),
        ("a scale without the codes", vec![scales("a.weight_scale", &[32, 2], 0x38)]),
    ]
}

#[test]
fn tensors_that_show_it_are_named_and_neither_advice_leads_to_the_other() {
    for (label, mut tensors) in foreign() {
        let folder = Folder::new();
        tensors.push(weights("b.weight", &[32, 32]));
        let input = folder.path("in.safetensors");
        write_safetensors(&input, &tensors);
        let output = folder.path("out.safetensors");
        let said = refuse([&"quantize", &input, &output]);
        assert!(said.contains("quantized already") && said.contains(label), "{label}: {said}");
        assert!(said.contains("BF16") || said.contains("made from"), "{label}: {said}");
        assert!(!said.contains("dequantize`, which reads"), "{label}: {said}");
        let said = refuse([&"dequantize", &input, &output]);
        assert!(said.contains(label), "{label}: {said}");
        assert!(!said.contains("quantize wrote"), "{label}: {said}");
        let said = succeed([&"inspect", &input]);
        assert!(said.contains(label.trim_start_matches("is ")), "{label}: {said}");
        let said = succeed([&"compare", &input, &input]);
        assert!(said.contains(", 0 not"), "{label}: {said}");
        assert_eq!(folder.names(), ["in.safetensors"]);
    }
}

#[test]
fn fp8_weights_are_compared_by_what_they_stand_for() {
    let folder = Folder::new();
    let (fp8, floats) = (folder.path("fp8.safetensors"), folder.path("f32.safetensors"));
    // The code 1 is 2^-9.
    write_safetensors(
        &fp8,
        &[bytes("a.weight", "F8_E4M3", &[32, 32], 1), float("a.weight_scale", &[], 0.5)],
    );
    for (value, differing, status) in [(0.5_f32.powi(10), 0, 0), (0.5_f32.powi(9), 1024, 0)] {
        write_safetensors(&floats, &[float("a.weight", &[32, 32], value)]);
        let compared = run([&"compare", &fp8, &floats]);
        assert_eq!(compared.status.code(), Some(status));
        let said = String::from_utf8(compared.stdout).unwrap();
        assert!(said.contains(&format!("{differing} of 1024 values differ")), "{said}");
    }
    let said = succeed([&"inspect", &fp8, &"--json"]);
    let report: Value = serde_json::from_str(&said).unwrap();
    let roles: Vec<&str> =
        report["others"].as_array().unwrap().iter().map(|o| o["role"].as_str().unwrap()).collect();
    // The scale is F32, which comes first in the file.
    assert_eq!(roles, ["a scale of a.weight", "FP8 with a scale for the tensor"]);
}

#[test]
fn the_advice_to_dequantize_first_works() {
    let folder = Folder::new();
    let model = model(&folder, &json!({}));
    for format in ["compressed-tensors", "modelopt"] {
        let [quantized, back, again, out] =
            ["q", "back", "again", "out"].map(|name| folder.path(&format!("{format}-{name}")));
        succeed([&"quantize", &model, &quantized, &"--format", &format, &"--no-figures"]);
        // The tensors alone show it as well.
        for keep_config in [true, false] {
            if !keep_config {
                fs::write(quantized.join("config.json"), "{\"model_type\": \"llama\"}").unwrap();
                let _ = fs::remove_file(quantized.join("hf_quant_config.json"));
            }
            let said = refuse([&"quantize", &quantized, &out]);
            assert!(said.contains("`fouroversix dequantize`, which reads this one"), "{said}");
            assert!(said.contains("NVFP4 codes"), "{said}");
        }
        succeed([&"dequantize", &quantized, &back]);
        succeed([&"quantize", &back, &again, &"--no-figures"]);
    }
}

#[test]
fn a_quantized_cache_is_refused_and_dequantize_takes_it_away() {
    let folder = Folder::new();
    let cache = json!({"quant_method": "compressed-tensors", "config_groups": {},
                       "kv_cache_scheme": {"num_bits": 8, "type": "float"}});
    let model = model(&folder, &json!({"quantization_config": cache}));
    let shard = model.join("model-00003-of-00003.safetensors");
    let name = "model.layers.0.self_attn.k_scale";
    write_safetensors(&shard, &[float(name, &[], 0.5)]);
    let index = model.join("model.safetensors.index.json");
    let mut map: Value = serde_json::from_slice(&fs::read(&index).unwrap()).unwrap();
    map["weight_map"][name] = "model-00003-of-00003.safetensors".into();
    fs::write(&index, map.to_string()).unwrap();

    let output = folder.path("out");
    let said = refuse([&"quantize", &model, &output]);
    assert!(said.contains("KV cache only") && said.contains("which reads this one"), "{said}");
    let floats = folder.path("floats");
    let said = succeed([&"dequantize", &model, &floats]);
    assert!(said.contains("0 dequantized to 0") && said.contains("1 scales left out"), "{said}");
    succeed([&"quantize", &floats, &output, &"--no-figures"]);
}

#[test]
fn names_that_only_look_like_scales_are_tensors() {
    let folder = Folder::new();
    let (input, output) = (folder.path("in.safetensors"), folder.path("out.safetensors"));
    write_safetensors(
        &input,
        &[
            weights("a.weight", &[32, 32]),
            weights("a.layer_scale", &[32]),
            float("logit_scale", &[], 4.6),
            weights("a.k_scale", &[32]),
            weights("a.W_q", &[3, 5]),
            weights("a.input_scale", &[32]),
            bytes("a.attention.bias", "U8", &[1, 1, 8, 8], 1),
            bytes("a.position_ids", "I32", &[1, 8], 4),
            bytes("a.num_blocks", "I64", &[1], 8),
        ],
    );
    let said = succeed([&"quantize", &input, &output]);
    assert!(said.contains("9 tensors: 1 quantized") && said.contains("5 kept, 3 copied"), "{said}");
}
