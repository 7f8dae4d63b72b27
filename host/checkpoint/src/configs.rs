//! The JSON that tells serving stacks how a directory is quantized.
//!
//! Fields verified against compressed-tensors 0.20 (`QuantizationConfig`), transformers 5.23
//! (`CompressedTensorsConfig`) and vLLM's `modelopt.py`.

use serde_json::{Map, Value, json};

use super::format::Format;

pub(crate) use super::json::pretty;

/// `quantization_config` of a model's `config.json`.
pub(crate) const QUANTIZATION_CONFIG: &str = "quantization_config";

/// Model Optimizer's own file.
pub(crate) const MODELOPT_CONFIG: &str = "hf_quant_config.json";

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
    config.shift_remove(QUANTIZATION_CONFIG);
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
