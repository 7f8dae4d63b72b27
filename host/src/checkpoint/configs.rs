//! The JSON that tells serving stacks how a directory is quantized.
//!
//! Fields verified against compressed-tensors 0.20 (`QuantizationConfig`), transformers 5.23
//! (`CompressedTensorsConfig`) and vLLM's `modelopt.py`.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::format::Format;
use super::select::Decision;
use super::source::Checkpoint;

pub(crate) use super::json::pretty;

/// `quantization_config` of a model's `config.json`.
pub(crate) const QUANTIZATION_CONFIG: &str = "quantization_config";

/// Model Optimizer's own file.
pub(crate) const MODELOPT_CONFIG: &str = "hf_quant_config.json";

/// Modules that stay as they are although a loader would take them for quantized Linear modules.
pub(crate) fn unquantized_modules(checkpoint: &Checkpoint, decisions: &[Decision]) -> Vec<String> {
    let mut modules = BTreeSet::new();
    for ((_, entry), decision) in checkpoint.tensors().zip(decisions) {
        let may_be_linear = !decision.quantize
            && entry.shape.len() == 2
            && entry.dtype.input_type().is_some()
            && decision.reason != "embedding";
        if let Some(module) = entry.name.strip_suffix(".weight").filter(|_| may_be_linear) {
            modules.insert(module.to_owned());
        }
    }
    // Tied to the embedding, an output head is a module without a tensor of its own.
    let generates = checkpoint
        .config()
        .and_then(|config| config.get("architectures")?.as_array())
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .any(|name| name.contains("ForCausalLM") || name.contains("ForConditionalGeneration"));
    let head_is_quantized = checkpoint
        .tensors()
        .zip(decisions)
        .any(|((_, entry), decision)| entry.name == "lm_head.weight" && decision.quantize);
    if generates && !head_is_quantized {
        modules.insert("lm_head".to_owned());
    }
    modules.into_iter().collect()
}

/// The weights' settings, common to both formats.
fn weights() -> Value {
    json!({
        "num_bits": 4,
        "type": "float",
        "strategy": "tensor_group",
        "group_size": 16,
        "symmetric": true,
        "dynamic": false,
        "scale_dtype": "torch.float8_e4m3fn",
        "zp_dtype": null,
        "observer": "memoryless_minmax",
    })
}

/// `quantization_config` for `format`, weight-only.
pub(crate) fn quantization_config(format: Format, ignore: &[String]) -> Value {
    match format {
        Format::CompressedTensors => json!({
            "quant_method": "compressed-tensors",
            "format": "nvfp4-pack-quantized",
            "quantization_status": "compressed",
            "config_groups": {
                "group_0": {
                    "targets": ["Linear"],
                    "format": "nvfp4-pack-quantized",
                    "weights": weights(),
                    "input_activations": null,
                    "output_activations": null,
                },
            },
            "ignore": ignore,
            "kv_cache_scheme": null,
            "global_compression_ratio": null,
        }),
        Format::ModelOpt => json!({
            "quant_method": "modelopt",
            "quant_algo": "W4A16_NVFP4",
            "group_size": 16,
            "kv_cache_scheme": null,
            "config_groups": {
                "group_0": {
                    "targets": ["Linear"],
                    "weights": {"num_bits": 4, "type": "float", "group_size": 16, "dynamic": false},
                },
            },
            "ignore": ignore,
            "producer": producer(),
        }),
    }
}

/// `hf_quant_config.json`.
pub(crate) fn modelopt_config(exclude: &[String]) -> Value {
    json!({
        "producer": producer(),
        "quantization": {
            "quant_algo": "W4A16_NVFP4",
            "kv_cache_quant_algo": null,
            "group_size": 16,
            "exclude_modules": exclude,
        },
    })
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
    config.remove(QUANTIZATION_CONFIG);
    if let Some(section) = section {
        config.insert(QUANTIZATION_CONFIG.to_owned(), section);
    }
    config
}
