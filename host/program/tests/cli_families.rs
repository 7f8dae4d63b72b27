//! Model types: which modules the program quantizes, and whether consumers find the others by the
//! names that the modules have when the model runs.

use std::fs;
use std::path::Path;

use fouroversix::checkpoint::{Checkpoint, Format};
use serde_json::{Value, json};

use crate::common::{Folder, Tensor, run, succeed, tensor, weights, write_safetensors};

/// Writes a model of `tensors` with this `config.json`.
fn model(folder: &Path, config: &Value, tensors: &[Tensor]) {
    fs::create_dir_all(folder).unwrap();
    fs::write(folder.join("config.json"), config.to_string()).unwrap();
    write_safetensors(&folder.join("model.safetensors"), tensors);
}

/// Square weights of these modules.
fn linears(modules: &[&str]) -> Vec<Tensor> {
    modules.iter().map(|module| weights(&format!("{module}.weight"), &[64, 64])).collect()
}

fn json_of(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

fn strings(value: &Value) -> Vec<String> {
    value.as_array().unwrap().iter().map(|item| item.as_str().unwrap().to_owned()).collect()
}

/// compressed-tensors 0.20 `utils/match.py` `match_name`, and vLLM 0.33 likewise.
fn ignored(ignore: &[String], module: &str) -> bool {
    ignore.iter().any(|entry| match entry.strip_prefix("re:") {
        // Python's re.match begins at the start.
        Some(pattern) => {
            regex_lite::Regex::new(&format!("^(?:{pattern})")).unwrap().is_match(module)
        }
        None => entry == module,
    })
}

/// vLLM 0.33 `layers/quantization/modelopt.py` `is_layer_excluded`, after `apply_vllm_mapper` has
/// cut patterns that end in a star in two.
fn excluded(patterns: &[String], module: &str) -> bool {
    let wild = |pattern: &str| {
        let body = regex_lite::escape(pattern)
            .replace(r"\*", ".*")
            .replace(r"\[", "[")
            .replace(r"\]", "]");
        regex_lite::Regex::new(&format!("^(?:{body})$")).unwrap().is_match(module)
    };
    let mut cut = Vec::new();
    for pattern in patterns {
        match pattern.strip_suffix('*').filter(|rest| !rest.is_empty() && !rest.ends_with('.')) {
            Some(rest) => cut.extend([rest.to_owned(), format!("{rest}.*")]),
            None => cut.push(pattern.clone()),
        }
    }
    cut.iter().any(|pattern| {
        let experts = module.contains("experts") && pattern.contains("experts");
        pattern == module
            || module.contains(pattern.as_str())
            || wild(pattern)
            || (experts && pattern.contains(module))
    })
}

/// Quantizes in both formats and checks that consumers keep `kept` and quantize `quantized`, both
/// under the names of running models.
#[track_caller]
fn check(config: &Value, tensors: &[Tensor], kept: &[&str], quantized: &[&str]) -> Folder {
    let folder = Folder::new();
    model(&folder.path("in"), config, tensors);
    succeed([&"quantize", &folder.path("in"), &folder.path("ct"), &"-q"]);
    succeed([&"quantize", &folder.path("in"), &folder.path("mo"), &"--format", &"modelopt", &"-q"]);
    let section = json_of(&folder.path("ct/config.json"))["quantization_config"].take();
    let ignore = strings(&section["ignore"]);
    let exclude = strings(
        &json_of(&folder.path("mo/hf_quant_config.json"))["quantization"]["exclude_modules"],
    );
    for module in kept {
        assert!(ignored(&ignore, module), "{module} is not in {ignore:?}");
        assert!(excluded(&exclude, module), "{module} is not in {exclude:?}");
    }
    for module in quantized {
        assert!(!ignored(&ignore, module), "{module} is in {ignore:?}");
        assert!(!excluded(&exclude, module), "{module} is in {exclude:?}");
    }
    folder
}

/// The modules that are quantized in a directory.
fn stored(folder: &Path) -> Vec<String> {
    let checkpoint = Checkpoint::open(folder).unwrap();
    let mut names: Vec<String> = checkpoint
        .stored_names()
        .into_iter()
        .map(|name| name.tensor.trim_end_matches(".weight").to_owned())
        .collect();
    names.sort();
    names
}

#[test]
fn kept_linears_of_any_type_are_named() {
    for (dtype, bytes) in [("F64", 8), ("I8", 1), ("F16", 2)] {
        let mut tensors = linears(&["model.layers.0.self_attn.o_proj", "lm_head"]);
        // 40 columns can't be quantized, other types neither.
        let cols = if dtype == "F16" { 40 } else { 64 };
        tensors.push(tensor(
            "model.layers.0.mlp.down_proj.weight",
            dtype,
            &[64, cols],
            vec![0; 64 * cols * bytes],
        ));
        let config = json!({"model_type": "llama", "architectures": ["LlamaForCausalLM"]});
        let kept = ["model.layers.0.mlp.down_proj", "lm_head"];
        check(&config, &tensors, &kept, &["model.layers.0.self_attn.o_proj"]);
    }
}

#[test]
fn towers_are_found_under_every_consumers_prefix() {
    for (kind, tower, kept) in [
        ("qwen2_5_vl", "visual.blocks.0.attn.proj", "model.visual.blocks.0.attn.proj"),
        ("gemma3", "vision_tower.encoder.layers.0.fc1", "model.vision_tower.encoder.layers.0.fc1"),
        ("qwen2_audio", "audio_tower.layers.0.fc1", "model.audio_tower.layers.0.fc1"),
        ("llava", "multi_modal_projector.linear_1", "model.multi_modal_projector.linear_1"),
        ("internvl_chat", "mlp1.1", "model.multi_modal_projector.linear_1"),
        (
            "phi4mm",
            "model.embed_tokens_extend.image_embed.img_projection.0",
            "model.embed_tokens_extend.image_embed.img_projection.0",
        ),
        ("paddleocr_vl", "mlp_AR.linear_1", "model.projector.linear_1"),
        (
            "ernie4_5_vl_moe",
            "model.vision_model.blocks.0.attn.proj",
            "model.vision_tower.blocks.0.attn.proj",
        ),
        ("granite_speech", "encoder.layers.0.attn.to_q", "model.encoder.layers.0.attn.to_q"),
        ("ovis", "vte", "vte"),
        ("brand_new", "perceiver.layers.0.fc1", "model.perceiver.layers.0.fc1"),
        ("brand_new", "my_vision_thing.layers.0.fc1", "model.my_vision_thing.layers.0.fc1"),
    ] {
        let text = "language_model.model.layers.0.self_attn.o_proj";
        let tensors = linears(&[tower, text, "language_model.lm_head"]);
        let config = json!({"model_type": kind, "text_config": {"model_type": "llama"}});
        let kept = [tower, kept, "lm_head", "language_model.lm_head"];
        let running = "model.language_model.layers.0.self_attn.o_proj";
        let folder = check(&config, &tensors, &kept, &[text, running]);
        assert_eq!(stored(&folder.path("ct")), [text], "{kind}");
    }
}

#[test]
fn what_only_looks_like_a_linear_stays() {
    let attention = "model.layers.0.self_attn.o_proj";
    for (kind, kept, running) in [
        // Linears whose names speak of embeddings.
        ("albert", "albert.encoder.embedding_hidden_mapping_in", ""),
        ("unheard_of", "embeddings.patch_embedding", ""),
        // Embeddings and heads whose names don't.
        ("ctrl", "transformer.w", ""),
        ("molmo", "model.transformer.ff_out", "lm_head"),
        ("unheard_of", "classifier.out_proj", ""),
        // Heads without a tensor.
        ("t5gemma", "model.encoder.norm_in", "lm_head.out_proj"),
        ("biogpt", "score", "output_projection"),
        // A batch of matrices, and an adapter inside of a model.
        ("deepseek_v4", "layers.0.attn.wo_a", "model.layers.0.attn.wo_a"),
        (
            "deepseek_v4",
            "layers.0.attn.compressor.wkv",
            "model.layers.0.self_attn.compressor.kv_proj",
        ),
        ("phi4mm", "model.layers.0.mlp.down_proj.lora_B.speech", ""),
        ("llama", "fc", ""),
    ] {
        let config = json!({"model_type": kind, "architectures": ["XForCausalLM"]});
        let kept_too = [kept, if running.is_empty() { kept } else { running }];
        let folder = check(&config, &linears(&[attention, kept]), &kept_too, &[attention]);
        assert_eq!(stored(&folder.path("ct")), [attention], "{kind}");
    }
}

#[test]
fn conv1d_weights_are_known_by_their_shape() {
    let mut tensors = linears(&["transformer.h.0.attn.c_proj", "transformer.h.0.mlp.up_proj"]);
    tensors.push(weights("transformer.h.0.attn.c_attn.weight", &[64, 192]));
    let config = json!({"model_type": "unheard_of"});
    let kept = ["transformer.h.0.attn.c_attn", "transformer.h.0.attn.c_proj"];
    check(&config, &tensors, &kept, &["transformer.h.0.mlp.up_proj"]);
    // As a Linear it has the other shape.
    tensors.pop();
    tensors.push(weights("transformer.h.0.attn.c_attn.weight", &[192, 64]));
    check(&config, &tensors, &[], &kept);
}

#[test]
fn experts_in_one_tensor_are_excluded_by_pattern_and_said() {
    for (kind, stack, shapes, running) in [
        ("gpt_oss", "model.layers.0.mlp.experts", ["gate_up_proj", "down_proj"], "mlp.experts"),
        (
            "llama4",
            "model.layers.0.feed_forward.experts",
            ["gate_up_proj", "down_proj"],
            "feed_forward.experts",
        ),
        (
            "qwen3_5_moe",
            "model.language_model.layers.0.mlp.experts",
            ["gate_up_proj", "down_proj"],
            "mlp.experts",
        ),
        (
            "granitemoe",
            "model.layers.0.block_sparse_moe",
            ["input_linear.weight", "output_linear.weight"],
            "block_sparse_moe.experts",
        ),
    ] {
        let (before, _) = stack.split_once(".0.").unwrap();
        let attention = &*format!("{before}.0.self_attn.o_proj");
        let mut tensors = linears(&[attention, "lm_head"]);
        tensors.extend(shapes.map(|leaf| weights(&format!("{stack}.{leaf}"), &[4, 64, 64])));
        let config = json!({"model_type": kind, "architectures": ["XForCausalLM"]});
        // vLLM asks for the first expert's matrices; Qwen's text model is nested.
        let kept = ["model.layers.0", "language_model.model.layers.0"].map(|layer| {
            ["", ".0.gate_proj", ".0.down_proj"].map(|end| format!("{layer}.{running}{end}"))
        });
        let kept: Vec<&str> = kept.iter().flatten().map(String::as_str).collect();
        let folder = check(&config, &tensors, &kept, &[attention]);
        let said = succeed([&"quantize", &folder.path("in"), &"x", &"--dry-run"]);
        assert!(said.contains("note: 2 3-D tensors of experts (0.1 MB) stay"), "{kind}: {said}");
        let summary = json_of(&folder.path("ct/fouroversix.json"));
        assert_eq!(summary["notes"].as_array().unwrap().len(), 1, "{kind}");
        assert!(summary["sources"][0].as_str().unwrap().contains("vLLM"));
    }
}

#[test]
fn tied_heads_have_names_though_no_tensors() {
    for (kind, architecture, head) in [
        ("whisper", "WhisperForConditionalGeneration", "proj_out"),
        ("bert", "BertForMaskedLM", "cls.predictions.decoder"),
        ("roberta", "RobertaForMaskedLM", "lm_head.decoder"),
        ("gpt_neox", "GPTNeoXForCausalLM", "embed_out"),
        ("electra", "ElectraForMaskedLM", "generator_lm_head"),
        ("modernbert", "ModernBertForMaskedLM", "decoder"),
        ("never_seen", "NeverSeenForMaskedLM", "cls.predictions.decoder"),
    ] {
        let linear = "model.decoder.layers.0.fc1";
        let config = json!({"model_type": kind, "architectures": [architecture]});
        check(&config, &linears(&[linear]), &[head], &[linear]);
    }
}

#[test]
fn modules_that_stacks_keep_are_kept() {
    for (kind, kept, quantized) in [
        (
            "glm4_moe",
            &["model.layers.1.eh_proj", "model.layers.1.shared_head.head"][..],
            "model.layers.1.self_attn.o_proj",
        ),
        (
            "glm_moe_dsa",
            &[
                "model.layers.0.self_attn.indexer.wk",
                "model.layers.0.self_attn.indexer.weights_proj",
            ],
            "model.layers.0.self_attn.indexer.wq_b",
        ),
        ("hunyuan_v1_moe", &["model.layers.0.mlp.gate.wg"], "model.layers.0.self_attn.o_proj"),
        ("internvl_chat", &["mlp1.1", "mlp1.3"], "language_model.model.layers.0.mlp.down_proj"),
        ("deepseek_v4", &["head", "embed"], "layers.0.attn.wq_b"),
        (
            "chatglm",
            &["transformer.output_layer"],
            "transformer.encoder.layers.0.self_attention.query_key_value",
        ),
        ("bart", &["model.shared"], "model.decoder.layers.0.fc1"),
        (
            "t5",
            &["encoder.block.0.layer.0.SelfAttention.relative_attention_bias"],
            "encoder.block.0.layer.0.SelfAttention.o",
        ),
        ("jamba", &["model.layers.0.mamba.in_proj"], "model.layers.1.feed_forward.down_proj"),
        (
            "a_new_type",
            &["model.layers.9.eh_proj", "model.layers.0.mlp.gate", "score"],
            "model.layers.0.mlp.gate_proj",
        ),
    ] {
        let names: Vec<&str> = kept.iter().copied().chain([quantized]).collect();
        let folder = Folder::new();
        model(&folder.path("in"), &json!({"model_type": kind}), &linears(&names));
        let said = succeed([&"quantize", &folder.path("in"), &folder.path("out")]);
        assert_eq!(stored(&folder.path("out")), [quantized], "{kind}");
        let fallback = said.contains("note: model type a_new_type is not in the table");
        assert_eq!(fallback, kind == "a_new_type", "{said}");
    }
}

/// The global scale of a stored tensor.
fn global(folder: &Path, module: &str) -> f32 {
    let checkpoint = Checkpoint::open(folder).unwrap();
    let name = checkpoint
        .stored_names()
        .into_iter()
        .find(|name| name.tensor == format!("{module}.weight"))
        .unwrap();
    assert_eq!(name.format, Format::CompressedTensors);
    checkpoint.stored(&name).unwrap().global.values()[0]
}

#[test]
fn packed_parts_share_a_global_scale_and_experts_do_not() {
    for (kind, parts, shared) in [
        ("exaone", ["h.0.mlp.c_fc_0", "h.0.mlp.c_fc_1"], true),
        ("WanTransformer3DModel", ["blocks.0.attn1.to_q", "blocks.0.attn1.to_v"], true),
        ("deepseek_v4", ["layers.0.attn.wq_a", "layers.0.attn.wkv"], true),
        ("qwen", ["transformer.h.0.mlp.w1", "transformer.h.0.mlp.w2"], true),
        ("mixtral", ["m.layers.0.mlp.experts.0.w1", "m.layers.0.mlp.experts.0.w3"], true),
        ("mixtral", ["m.layers.0.mlp.experts.0.w1", "m.layers.0.mlp.experts.1.w1"], false),
        ("mixtral", ["m.layers.0.mlp.experts.0.w2", "m.layers.0.mlp.experts.1.w2"], false),
    ] {
        let folder = Folder::new();
        let key = if kind.ends_with("Model") { "_class_name" } else { "model_type" };
        let mut tensors = linears(&parts);
        // Shares show only where the largest values differ.
        tensors[1].bytes[..2].copy_from_slice(&half::bf16::from_f32(3.0).to_le_bytes());
        model(&folder.path("in"), &json!({key: kind}), &tensors);
        succeed([&"quantize", &folder.path("in"), &folder.path("out"), &"-q"]);
        let scales = parts.map(|part| global(&folder.path("out"), part));
        assert_eq!(scales[0] == scales[1], shared, "{kind} {parts:?} {scales:?}");
    }
}

#[test]
fn one_kept_expert_keeps_its_layer() {
    let folder = Folder::new();
    let name = |layer: usize, expert: usize, leaf: &str| {
        format!("model.layers.{layer}.mlp.experts.{expert}.{leaf}")
    };
    let mut modules = Vec::new();
    for (layer, expert) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
        modules.extend(["gate_proj", "up_proj", "down_proj"].map(|leaf| name(layer, expert, leaf)));
    }
    let modules: Vec<&str> = modules.iter().map(String::as_str).collect();
    model(&folder.path("in"), &json!({"model_type": "qwen3_moe"}), &linears(&modules));
    let one = "model.layers.0.mlp.experts.1.down_proj.weight";
    succeed([&"quantize", &folder.path("in"), &folder.path("out"), &"--exclude", &one, &"-q"]);
    assert_eq!(stored(&folder.path("out")).len(), 6);
    let config = json_of(&folder.path("out/config.json"));
    let ignore = strings(&config["quantization_config"]["ignore"]);
    assert!(ignored(&ignore, &name(0, 0, "gate_proj")));
    assert!(!ignored(&ignore, &name(1, 0, "gate_proj")));
}

#[test]
fn the_type_of_elements_is_named_for_loaders() {
    let folder = Folder::new();
    let config = json!({
        "model_type": "llava",
        "torch_dtype": "float32",
        "text_config": {"model_type": "llama", "torch_dtype": "float32"},
    });
    model(&folder.path("in"), &config, &linears(&["language_model.model.layers.0.mlp.down_proj"]));
    succeed([&"quantize", &folder.path("in"), &folder.path("out"), &"-q"]);
    let config = json_of(&folder.path("out/config.json"));
    for value in [&config["dtype"], &config["torch_dtype"], &config["text_config"]["torch_dtype"]] {
        assert_eq!(value, "bfloat16");
    }
}

#[test]
fn transposed_weights_are_refused_with_the_reason() {
    let folder = Folder::new();
    model(&folder.path("in"), &json!({"model_type": "gpt2"}), &linears(&["h.0.attn.c_attn"]));
    let output = run([&"quantize", &folder.path("in"), &folder.path("out")]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(said.contains("stored transposed (Conv1D)"), "{said}");
}
