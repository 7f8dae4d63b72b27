//! The JSON that tells serving stacks how a directory is quantized.
//!
//! Fields verified against compressed-tensors 0.20 (`QuantizationConfig`), transformers 5.23
//! (`CompressedTensorsConfig`) and vLLM's `modelopt.py`.

use serde_json::{Map, Value, json};

use super::declared::remove_sections;
use super::format::Format;
use super::groups::Groups;
use super::kind::Kind;

pub(crate) use super::json::pretty;

/// `quantization_config` of a model's `config.json`.
pub(crate) const QUANTIZATION_CONFIG: &str = "quantization_config";

/// Model Optimizer's own file.
pub(crate) const MODELOPT_CONFIG: &str = "hf_quant_config.json";

/// What quantizes numbers of `kind`, common to both formats.
fn weights(kind: Kind) -> Value {
    match kind {
        Kind::Nvfp4 => json!({
            "num_bits": 4,
            "type": "float",
            "strategy": "tensor_group",
            "group_size": 16,
            "symmetric": true,
            "dynamic": false,
            "scale_dtype": "torch.float8_e4m3fn",
            "zp_dtype": null,
            "observer": "memoryless_minmax",
        }),
        Kind::Fp8 => json!({
            "num_bits": 8,
            "type": "float",
            "strategy": "channel",
            "symmetric": true,
            "dynamic": false,
            "scale_dtype": "torch.float32",
            "zp_dtype": null,
            "observer": "memoryless_minmax",
        }),
    }
}

/// How inputs of modules of `kind` are quantized, if they are.
fn inputs(kind: Kind, groups: &Groups) -> Value {
    match kind {
        Kind::Nvfp4 if groups.inputs => json!({
            "num_bits": 4,
            "type": "float",
            "strategy": "tensor_group",
            "group_size": 16,
            "symmetric": true,
            "dynamic": "local",
            "scale_dtype": "torch.float8_e4m3fn",
            "zp_dtype": null,
            "observer": "static_minmax",
        }),
        Kind::Nvfp4 => Value::Null,
        Kind::Fp8 => json!({
            "num_bits": 8,
            "type": "float",
            "strategy": "token",
            "symmetric": true,
            "dynamic": true,
            "observer": null,
        }),
    }
}

/// The kinds that are there, NVFP4 first.
fn kinds(groups: &Groups) -> Vec<Kind> {
    let there = |kind: &Kind| match kind {
        Kind::Nvfp4 => !groups.nvfp4.is_empty() || groups.fp8.is_empty(),
        Kind::Fp8 => !groups.fp8.is_empty(),
    };
    Kind::ALL.into_iter().filter(there).collect()
}

/// compressed-tensors' name for how weights of `kind` lie in a file.
const fn packing(kind: Kind) -> &'static str {
    match kind {
        Kind::Nvfp4 => "nvfp4-pack-quantized",
        Kind::Fp8 => "float-quantized",
    }
}

/// ModelOpt's name for what is done to modules of `kind`.
const fn algorithm(kind: Kind, groups: &Groups) -> &'static str {
    match kind {
        Kind::Nvfp4 if groups.inputs => "NVFP4",
        Kind::Nvfp4 => "W4A16_NVFP4",
        Kind::Fp8 => "FP8_PER_CHANNEL_PER_TOKEN",
    }
}

/// `quantization_config` for `format`.
pub(crate) fn quantization_config(format: Format, groups: &Groups, ignore: &[String]) -> Value {
    let mut config_groups = Map::new();
    for (number, kind) in kinds(groups).into_iter().enumerate() {
        let group = match format {
            Format::CompressedTensors => compressed_group(kind, groups),
            Format::ModelOpt => modelopt_group(kind, groups),
        };
        config_groups.insert(format!("group_{number}"), group);
    }
    let config_groups = Value::Object(config_groups);
    match format {
        Format::CompressedTensors => json!({
            "quant_method": "compressed-tensors",
            "format": match kinds(groups).as_slice() {
                [kind] => packing(*kind),
                _ => "mixed-precision",
            },
            "quantization_status": "compressed",
            "config_groups": config_groups,
            "ignore": ignore,
            "kv_cache_scheme": null,
            "global_compression_ratio": null,
        }),
        Format::ModelOpt => {
            let mut section = json!({
                "quant_method": "modelopt",
                "quant_algo": overall(groups),
                "group_size": 16,
                "kv_cache_scheme": null,
                "config_groups": config_groups,
                "ignore": ignore,
                "producer": producer(),
            });
            if groups.mixed() {
                section["quantized_layers"] = layers(groups);
            }
            section
        }
    }
}

fn compressed_group(kind: Kind, groups: &Groups) -> Value {
    json!({
        "targets": groups.targets(kind),
        "format": packing(kind),
        "weights": weights(kind),
        "input_activations": inputs(kind, groups),
        "output_activations": null,
    })
}

/// As ModelOpt writes it: modules by their names where there are two kinds.
fn modelopt_group(kind: Kind, groups: &Groups) -> Value {
    let (bits, inputs, modules) = match kind {
        Kind::Nvfp4 => (4, groups.inputs, &groups.nvfp4),
        Kind::Fp8 => (8, true, &groups.fp8),
    };
    let mut numbers = json!({"num_bits": bits, "type": "float"});
    match kind {
        Kind::Nvfp4 => numbers["group_size"] = 16.into(),
        Kind::Fp8 => numbers["strategy"] = "channel".into(),
    }
    numbers["dynamic"] = false.into();
    let targets = if groups.mixed() { modules.clone() } else { vec!["Linear".to_owned()] };
    let mut group = json!({"targets": targets, "weights": numbers.clone()});
    if inputs {
        if kind == Kind::Fp8 {
            numbers["strategy"] = "token".into();
            numbers["dynamic"] = true.into();
        }
        group["input_activations"] = numbers;
    }
    group
}

/// ModelOpt's name for what is done to the model.
fn overall(groups: &Groups) -> &'static str {
    match kinds(groups).as_slice() {
        [kind] => algorithm(*kind, groups),
        _ => "MIXED_PRECISION",
    }
}

/// What is done to each module, by its name.
fn layers(groups: &Groups) -> Value {
    let mut layers = Map::new();
    for module in &groups.nvfp4 {
        let algorithm = algorithm(Kind::Nvfp4, groups);
        layers.insert(module.clone(), json!({"quant_algo": algorithm, "group_size": 16}));
    }
    for module in &groups.fp8 {
        layers.insert(module.clone(), json!({"quant_algo": algorithm(Kind::Fp8, groups)}));
    }
    Value::Object(layers)
}

/// `hf_quant_config.json`.
pub(crate) fn modelopt_config(groups: &Groups, exclude: &[String]) -> Value {
    let mut quantization = json!({
        "quant_algo": overall(groups),
        "kv_cache_quant_algo": null,
        "group_size": 16,
        "exclude_modules": exclude,
    });
    if groups.mixed() {
        quantization["quantized_layers"] = layers(groups);
    }
    json!({"producer": producer(), "quantization": quantization})
}

/// Who wrote it.
pub(crate) fn producer() -> Value {
    json!({"name": env!("CARGO_PKG_NAME"), "version": env!("CARGO_PKG_VERSION")})
}

/// A model's `config.json` with another quantization section, or none.
pub(crate) fn with_quantization(
    config: Option<&Map<String, Value>>,
    section: Option<Value>,
) -> Map<String, Value> {
    let mut config = config.cloned().unwrap_or_default();
    remove_sections(&mut config);
    if let Some(section) = section {
        // diffusers' configs have no type of elements.
        if !config.contains_key("_class_name") {
            config.entry("dtype").or_insert(Value::Null);
            config.entry("torch_dtype").or_insert(Value::Null);
            set_dtype(&mut config);
        }
        config.insert(QUANTIZATION_CONFIG.to_owned(), section);
    }
    config
}

/// Names BF16 wherever a type of elements is named, in nested sections too: transformers gives
/// decompressed weights that type whatever the config says (`compressed_tensors` decompresses to
/// BF16), and a model whose other weights are F32 or F16 fails at its first matrix product.
/// `torch_dtype` is the name before transformers 4.56.
fn set_dtype(section: &mut Map<String, Value>) {
    for (key, value) in section.iter_mut() {
        match value {
            Value::Object(nested) => set_dtype(nested),
            _ if key == "dtype" || key == "torch_dtype" => *value = "bfloat16".into(),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_section_names_the_type_that_weights_come_back_in() {
        let config = json!({
            "model_type": "llava",
            "torch_dtype": "float32",
            "text_config": {"dtype": "float16", "hidden_size": 64},
            "vision_config": {"hidden_size": 32},
        });
        let section = Some(json!({"quant_method": "modelopt"}));
        let written = with_quantization(config.as_object(), section);
        let expected = json!({
            "model_type": "llava",
            "dtype": "bfloat16",
            "torch_dtype": "bfloat16",
            "text_config": {"dtype": "bfloat16", "hidden_size": 64},
            "vision_config": {"hidden_size": 32},
            "quantization_config": {"quant_method": "modelopt"},
        });
        assert_eq!(Value::Object(written), expected);
        assert_eq!(with_quantization(config.as_object(), None), *config.as_object().unwrap());
    }
}
