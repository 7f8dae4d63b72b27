//! Where a checkpoint says that it is quantized: sections of `config.json`, the side files of
//! quantization tools, and the metadata of safetensors files.
//!
//! What counts as none follows transformers 5.23: `null` does, bitsandbytes with neither
//! `load_in_4bit` nor `load_in_8bit` does, and ModelOpt without a `quant_algo`; `{}` does not
//! (transformers refuses to load it).

use serde_json::{Map, Value};

use super::error::CheckpointError;
use super::json::read_object;
use super::source::Checkpoint;

/// Keys of `config.json` that hold a quantization section, in whatever nested section.
const SECTIONS: [&str; 2] = ["quantization_config", "compression_config"];

/// The same at the top of `config.json` only, as MLX and TensorRT-LLM write it.
const TOP_SECTION: &str = "quantization";

/// Side files of quantization tools, and whose they are when they don't say it.
pub(crate) const SIDE_FILES: [(&str, &str); 5] = [
    ("hf_quant_config.json", "modelopt"),
    ("quantize_config.json", "gptq"),
    ("quant_config.json", "awq"),
    ("quantization_config.json", "exl3"),
    ("quanto_qmap.json", "quanto"),
];

/// Metadata keys of safetensors files, and who writes them.
const METADATA: [(&str, &str); 2] =
    [("_quantization_metadata", "ComfyUI"), ("quantization_config", "unnamed")];

/// What a declaration is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Weights, perhaps activations and the KV cache too.
    Weights,
    /// Nothing but the KV cache.
    KvCache,
    /// It is there and names no method.
    Unnamed,
}

/// One place that says that the checkpoint is quantized.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Declaration {
    /// The method as declared, for example `modelopt (NVFP4)`.
    pub method: String,
    /// The file, and the path in its JSON.
    pub place: String,
    /// What is quantized.
    pub scope: Scope,
    /// Why its weights can't be had by reading codes and scales alone.
    pub(crate) obstacle: Option<&'static str>,
}

impl Declaration {
    /// The file that says it.
    pub(crate) fn file(&self) -> &str {
        self.place.split(": ").next().unwrap_or(&self.place)
    }
}

/// Every place that says that `checkpoint` is quantized, `config.json` first.
///
/// # Errors
/// [`CheckpointError::Read`] and [`CheckpointError::Malformed`]: a side file that can't be read or
/// is not a JSON object.
pub fn declarations(checkpoint: &Checkpoint) -> Result<Vec<Declaration>, CheckpointError> {
    let mut found = Vec::new();
    if let Some(config) = checkpoint.config() {
        walk(config, "", &mut found);
        if let Some(section) = top_section(config) {
            found.extend(declaration(section, format!("config.json: {TOP_SECTION}")));
        }
    }
    if checkpoint.is_dir() {
        for (file, owner) in SIDE_FILES {
            if let Some(object) = read_object(&checkpoint.root().join(file))? {
                found.extend(side_file(file, owner, object));
            }
        }
    }
    for file in checkpoint.files() {
        for (key, owner) in METADATA {
            let text = file.header().metadata.get(key).map_or("null", String::as_str);
            if !["null", "{}", ""].contains(&text.trim()) {
                let name = file.path().file_name().unwrap_or_default().to_string_lossy();
                found.push(Declaration {
                    method: owner.to_owned(),
                    place: format!("{name}: __metadata__.{key}"),
                    scope: Scope::Weights,
                    obstacle: (owner == "ComfyUI").then_some(
                        "ComfyUI stores block scales in the order of tensor cores, which is not \
                         told from rows by their shape",
                    ),
                });
            }
        }
    }
    Ok(found)
}

fn side_file(file: &str, owner: &str, object: Map<String, Value>) -> Option<Declaration> {
    let place = match object.get(TOP_SECTION) {
        Some(_) => format!("{file}: {TOP_SECTION}"),
        None => file.to_owned(),
    };
    let names_itself = object.contains_key("quant_method");
    let mut declared = declaration(&Value::Object(object), place)?;
    match declared.scope {
        Scope::KvCache => {}
        Scope::Weights if names_itself => {}
        Scope::Weights => declared.method = format!("{owner} ({})", declared.method),
        // A file of such a general name that says nothing of bits may be about something else.
        Scope::Unnamed if ["modelopt", "quanto"].contains(&owner) => {
            owner.clone_into(&mut declared.method);
            declared.scope = Scope::Weights;
        }
        Scope::Unnamed => return None,
    }
    Some(declared)
}

/// The section at the top that MLX and TensorRT-LLM write, where it says something.
fn top_section(config: &Map<String, Value>) -> Option<&Value> {
    let section = config.get(TOP_SECTION).filter(|section| section.is_object())?;
    judge(section).filter(|(_, scope)| *scope != Scope::Unnamed).map(|_| section)
}

fn walk(object: &Map<String, Value>, path: &str, found: &mut Vec<Declaration>) {
    for (key, value) in object {
        let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
        if SECTIONS.contains(&key.as_str()) {
            found.extend(declaration(value, format!("config.json: {path}")));
        } else {
            each_object(value, &path, &mut |object, path| walk(object, path, found));
        }
    }
}

/// The objects that `value` is or holds as a list.
fn each_object(value: &Value, path: &str, act: &mut dyn FnMut(&Map<String, Value>, &str)) {
    match value {
        Value::Object(object) => act(object, path),
        Value::Array(items) => {
            for (i, item) in items.iter().enumerate() {
                each_object(item, &format!("{path}[{i}]"), act);
            }
        }
        _ => {}
    }
}

fn declaration(section: &Value, place: String) -> Option<Declaration> {
    let (method, scope) = judge(section)?;
    let groups = section.pointer("/transform_config/config_groups").and_then(Value::as_object);
    let obstacle = groups.is_some_and(|groups| !groups.is_empty()).then_some(
        "its transform_config rotates weights and activations, and weights alone are another model",
    );
    Some(Declaration { method, place, scope, obstacle })
}

/// The method that a section names and what it is about; nothing when it says "not quantized".
fn judge(section: &Value) -> Option<(String, Scope)> {
    let Value::Object(object) = section else {
        return (!section.is_null()).then(|| ("unnamed".to_owned(), Scope::Unnamed));
    };
    let text = |key: &str| object.get(key).and_then(Value::as_str);
    let says = |key: &str| object.get(key).is_some_and(|value| !value.is_null());
    let is_true = |key: &str| object.get(key).and_then(Value::as_bool) == Some(true);
    let empty = |key: &str| object.get(key).and_then(Value::as_object).is_some_and(Map::is_empty);
    let kv_cache = || says("kv_cache_quant_algo") || says("kv_cache_scheme");
    let only_cache =
        |method: &str| kv_cache().then(|| (format!("{method} (KV cache only)"), Scope::KvCache));
    let method = text("quant_method");
    if method.is_none() && object.get(TOP_SECTION).is_some_and(Value::is_object) {
        return judge(&object[TOP_SECTION]);
    }
    if is_true("load_in_4bit") || is_true("load_in_8bit") {
        return Some(("bitsandbytes".to_owned(), Scope::Weights));
    }
    match method {
        Some("bitsandbytes") => return None,
        Some("compressed-tensors") if empty("config_groups") && !says("sparsity_config") => {
            return only_cache("compressed-tensors");
        }
        None | Some("modelopt") if object.contains_key("quant_algo") && !says("quant_algo") => {
            return only_cache("modelopt");
        }
        _ => {}
    }
    let detail = ["format", "quant_algo", "qformat_weight", "fmt"].iter().find_map(|key| text(key));
    let bits = ["bits", "w_bit"].iter().find_map(|key| object.get(*key)?.as_u64());
    let detail = detail.map(str::to_owned).or_else(|| bits.map(|bits| format!("{bits} bits")));
    Some(match (method, detail) {
        (Some(method), Some(detail)) => (format!("{method} ({detail})"), Scope::Weights),
        (Some(method), None) => (method.to_owned(), Scope::Weights),
        (None, Some(detail)) => (detail, Scope::Weights),
        (None, None) => ("unnamed".to_owned(), Scope::Unnamed),
    })
}

/// Takes every quantization section out of a model's `config.json`.
pub(crate) fn remove_sections(config: &mut Map<String, Value>) {
    fn clean(object: &mut Map<String, Value>) {
        object.retain(|key, _| !SECTIONS.contains(&key.as_str()));
        object.values_mut().for_each(descend);
    }
    fn descend(value: &mut Value) {
        match value {
            Value::Object(object) => clean(object),
            Value::Array(items) => items.iter_mut().for_each(descend),
            _ => {}
        }
    }
    if top_section(config).is_some() {
        config.shift_remove(TOP_SECTION);
    }
    clean(config);
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn sections_are_judged_as_transformers_does() {
        let judged = |section| judge(&section).map(|(method, scope)| format!("{method} {scope:?}"));
        for none in [
            json!(null),
            json!({"quant_method": "bitsandbytes", "load_in_4bit": false, "load_in_8bit": false}),
            json!({"quant_method": "modelopt", "quant_algo": null}),
            json!({"quantization": {"quant_algo": null, "kv_cache_quant_algo": null}}),
            json!({"quant_method": "compressed-tensors", "config_groups": {}}),
        ] {
            assert_eq!(judged(none.clone()), None, "{none}");
        }
        for (section, expected) in [
            (json!({}), "unnamed Unnamed"),
            (json!({"quant_method": null}), "unnamed Unnamed"),
            (json!("fp8"), "unnamed Unnamed"),
            (json!({"quant_method": "fp8", "fmt": "e4m3"}), "fp8 (e4m3) Weights"),
            (json!({"quant_method": "gptq", "bits": 4}), "gptq (4 bits) Weights"),
            (json!({"load_in_4bit": true}), "bitsandbytes Weights"),
            (json!({"quantization": {"quant_algo": "NVFP4"}}), "NVFP4 Weights"),
            (
                json!({"quant_algo": null, "kv_cache_quant_algo": "FP8"}),
                "modelopt (KV cache only) KvCache",
            ),
            (
                json!({"quant_method": "compressed-tensors", "config_groups": {},
                       "kv_cache_scheme": {"num_bits": 8}}),
                "compressed-tensors (KV cache only) KvCache",
            ),
            (
                json!({"quant_method": "compressed-tensors", "format": "mixed-precision"}),
                "compressed-tensors (mixed-precision) Weights",
            ),
        ] {
            assert_eq!(judged(section.clone()).as_deref(), Some(expected), "{section}");
        }
    }

    #[test]
    fn sections_are_found_and_removed_wherever_they_are() {
        let Value::Object(mut config) = json!({
            "model_type": "x",
            "thinker_config": {"text_config": {"compression_config": {"quant_method": "awq"}}},
            "parts": [{"quantization_config": {"quant_method": "fp8"}}, {"kept": 1}],
            "quantization": {"group_size": 64, "bits": 4},
        }) else {
            unreachable!("an object")
        };
        let mut found = Vec::new();
        walk(&config, "", &mut found);
        let mut places: Vec<_> = found.iter().map(|found| found.place.as_str()).collect();
        places.sort_unstable();
        assert_eq!(
            places,
            [
                "config.json: parts[0].quantization_config",
                "config.json: thinker_config.text_config.compression_config",
            ]
        );
        assert!(top_section(&config).is_some());
        remove_sections(&mut config);
        assert_eq!(
            Value::Object(config),
            json!({
                "model_type": "x",
                "thinker_config": {"text_config": {}},
                "parts": [{}, {"kept": 1}],
            })
        );
    }
}
