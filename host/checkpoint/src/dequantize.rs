//! A quantized checkpoint in, floats out: what is turned, kept and left out.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;

use serde_json::{Map, Value};

use super::configs;
use super::counts::Counts;
use super::declared::remove_sections;
use super::error::CheckpointError;
use super::execute::Job;
use super::families::Families;
use super::format::Format;
use super::header::{Dtype, TensorEntry};
use super::join::{Joined, What, joined};
use super::json::pretty;
use super::nvfp4::StoredName;
use super::options::DequantizeOptions;
use super::plan::{Draft, Layout, Plan, Work};
use super::planned::layout;
use super::quantizer::CpuQuantizer;
use super::roles::{Quantization, Role};
use super::run::Runner;
use super::settings::{NonFinite, Observer, Settings};
use super::source::Checkpoint;
use super::summary::Summary;
use super::view::Views;
use fouroversix_core::{InputType, Rule, Scaling};

/// Keys of `config.json` that name the type of a model's weights.
const DTYPE_KEYS: [&str; 2] = ["dtype", "torch_dtype"];

/// Writes the weights that a quantized `checkpoint` stands for, as floats of the type that `options`
/// name.
///
/// NVFP4 tensors are computed as [`super::StoredTensor::dequantize`] does. Tensors that were never
/// quantized are copied as they are, in their type. Scales of inputs and of the KV cache are left
/// out: they say nothing about weights. `config.json` loses every quantization section and names
/// that type.
///
/// # Errors
/// [`CheckpointError::Malformed`] names the tensor or the declaration that is in the way: nothing
/// quantized, another method than NVFP4, parts that don't fit together, a global scale that is not
/// positive and finite, a block scale that is NaN or negative, a weight beyond the range of
/// that type. [`CheckpointError::Exists`] and [`CheckpointError::Write`].
pub fn dequantize_checkpoint(
    checkpoint: &Checkpoint,
    output: &Path,
    options: &DequantizeOptions,
    observer: &mut dyn Observer,
) -> Result<Summary, CheckpointError> {
    let DequantizeOptions { output_type: element, max_shard_bytes, force } = *options;
    let quantization = Quantization::of(checkpoint)?;
    quantization.readable(checkpoint)?;
    let metadata = BTreeMap::from([
        ("format".to_owned(), "pt".to_owned()),
        ("fouroversix.dequantized".to_owned(), element.to_string()),
    ]);
    let layout = layout(output, checkpoint, max_shard_bytes, metadata);
    let read = floats_of(checkpoint, &quantization.roles, element);
    let plan = plan(&read, checkpoint, &quantization, element, &layout)?;
    let settings = Settings {
        rule: Rule::Plain,
        scaling: Scaling::Tensor,
        format: Format::CompressedTensors,
        non_finite: NonFinite::Error,
        figures: false,
        output: element,
    };
    let extra: Vec<_> = checkpoint
        .config()
        .map(|config| ("config.json", pretty(&float_config(config, &Dtype::from(element)))))
        .into_iter()
        .collect();
    let job = Job { checkpoint, output, plan: &plan, force, extra: &extra };
    let mut summary = Summary {
        producer: configs::producer(),
        format: "dequantized".to_owned(),
        options: BTreeMap::from([("dtype".to_owned(), element.to_string())]),
        recipe: None,
        counts: Counts::of_dequantization(checkpoint, &quantization.roles),
        notes: Vec::new(),
        sources: Vec::new(),
        tensors: Vec::new(),
        kept: BTreeMap::new(),
        left_out: BTreeMap::new(),
        input_bytes: checkpoint.tensors().map(|(_, entry)| entry.bytes()).sum(),
        output_bytes: 0,
        shards: Vec::new(),
        files: Vec::new(),
    };
    let mut others = BTreeMap::<&str, usize>::new();
    for ((_, entry), role) in checkpoint.tensors().zip(&quantization.roles) {
        match role {
            Role::Plain => {
                let own = entry.dtype.input_type().filter(|own| *own != element);
                if own.is_some() {
                    *others.entry(entry.dtype.name()).or_default() += 1;
                }
                summary.kept.insert(entry.name.clone(), role.describe());
            }
            Role::InputScale | Role::CacheScale => {
                summary.left_out.insert(entry.name.clone(), role.describe());
            }
            _ => {}
        }
    }
    for (dtype, count) in others {
        observer.note(&format!("{count} tensors that were not quantized stay {dtype}"));
    }
    if let Some((name, role)) = summary.left_out.first_key_value() {
        let count = summary.left_out.len();
        observer.note(&format!("{count} scales are left out, the first is {name} ({role})"));
    }
    for note in rounding(&quantization.roles, element) {
        observer.note(&note);
    }
    let mut cpu = CpuQuantizer;
    job.run(&mut Runner::new(&read, &plan, settings, &mut cpu, observer), summary)
}

/// What floats of `element` lose of FP8 and MXFP4.
fn rounding(roles: &[Role], element: InputType) -> Vec<String> {
    let count = |start: &str| {
        let is =
            |role: &&Role| matches!(role, Role::Encoded(name) if name.label.starts_with(start));
        roles.iter().filter(is).count()
    };
    let (fp8, mxfp4) = (count("FP8"), count("MXFP4"));
    let mut notes = Vec::new();
    match element {
        InputType::F32 => {}
        _ if fp8 > 0 => notes.push(format!(
            "{fp8} FP8 tensors are rounded to {element}: f32 keeps the products of codes and scales"
        )),
        _ => {}
    }
    if mxfp4 > 0 {
        notes.push(match element {
            InputType::F16 => format!("{mxfp4} MXFP4 tensors are exact in f16 from 2^-14 on"),
            _ => format!("{mxfp4} MXFP4 tensors are exact in {element}"),
        });
    }
    notes
}

/// `checkpoint` with floats in the place of FP8 and MXFP4.
fn floats_of(checkpoint: &Checkpoint, roles: &[Role], element: InputType) -> Checkpoint {
    let mut views = Views::default();
    for ((_, entry), role) in checkpoint.tensors().zip(roles) {
        let (Role::Encoded(name), Some(encoded)) = (role, checkpoint.encoded(entry)) else {
            continue;
        };
        views.put(&entry.name, vec![encoded.view(element)]);
        views.put(&name.scales, Vec::new());
    }
    checkpoint.with_views(views)
}

/// Tasks and their future shards; `read` is the checkpoint that they read.
fn plan(
    read: &Checkpoint,
    checkpoint: &Checkpoint,
    quantization: &Quantization,
    element: InputType,
    layout: &Layout,
) -> Result<Plan, CheckpointError> {
    let mut drafts = Vec::new();
    // The name of a part as floats, by the first one the tensor that it begins.
    let mut inside: HashSet<String> = HashSet::new();
    let mut begins: HashMap<String, Joined> = HashMap::new();
    let table =
        Families::of_checkpoint(checkpoint).stacks.filter(|it| it.only && checkpoint.is_dir());
    if let Some(table) = table {
        for made in joined(checkpoint, read, &quantization.roles, table, element) {
            inside.extend(made.parts.iter().cloned());
            begins.insert(made.parts[0].clone(), made);
        }
    }
    let bytes: HashMap<&str, u64> = checkpoint
        .tensors()
        .zip(&quantization.roles)
        .map(|((_, entry), role)| (float_name(entry, role), entry.bytes()))
        .collect();
    for ((_, entry), role) in checkpoint.tensors().zip(&quantization.roles) {
        let name = float_name(entry, role);
        if let Some(made) = begins.remove(name) {
            let bytes = made.parts.iter().map(|part| bytes[part.as_str()]).sum();
            let work = match made.what {
                What::Stack(join) => Work::Join(join),
                What::Biases(join) => Work::JoinBiases(join),
            };
            drafts.push(Draft::joined(entry.name.clone(), work, made.output, bytes));
        }
        if inside.contains(name) {
            continue;
        }
        match role {
            Role::Codes(name) => drafts.push(draft(checkpoint, entry, name, element)?),
            Role::Encoded(name) => {
                let (_, entry) = read.get(&name.tensor).expect("its view was put there");
                drafts.push(Draft::new(entry, Work::Copy, vec![entry.clone()]));
            }
            Role::Plain => drafts.push(Draft::new(entry, Work::Copy, vec![entry.clone()])),
            // Whatever is not read was refused before.
            Role::Part(_) | Role::InputScale | Role::CacheScale | Role::Foreign(_) => {}
        }
    }
    layout.shards(drafts)
}

/// The name that a tensor of this role has as floats.
fn float_name<'a>(entry: &'a TensorEntry, role: &'a Role) -> &'a str {
    match role {
        Role::Codes(name) => &name.tensor,
        Role::Encoded(name) => &name.tensor,
        Role::Part(_) => "",
        _ => &entry.name,
    }
}

fn draft(
    checkpoint: &Checkpoint,
    entry: &TensorEntry,
    name: &StoredName,
    element: InputType,
) -> Result<Draft, CheckpointError> {
    let output = TensorEntry {
        name: name.tensor.clone(),
        dtype: element.into(),
        shape: checkpoint.stored(name)?.dimensions(),
        range: 0..0,
    };
    Ok(Draft::new(entry, Work::Dequantize(name.clone()), vec![output]))
}

/// `config.json` of the floats: no quantization section anywhere, and their type.
///
/// A nested section that named the same type as the whole goes along; one that named another, or
/// none, keeps it.
fn float_config(config: &Map<String, Value>, dtype: &Dtype) -> Map<String, Value> {
    let name = match dtype.name() {
        "BF16" => "bfloat16",
        "F16" => "float16",
        _ => "float32",
    };
    let mut config = config.clone();
    remove_sections(&mut config);
    let former = DTYPE_KEYS.iter().find_map(|key| config.get(*key).cloned());
    if let Some(former) = former {
        rename_dtype(&mut config, &former, name);
    }
    // diffusers' configurations have no type of elements.
    if !config.contains_key("_class_name") {
        for key in DTYPE_KEYS {
            config.insert(key.to_owned(), name.into());
        }
    }
    config
}

fn rename_dtype(object: &mut Map<String, Value>, former: &Value, name: &str) {
    for (key, value) in object {
        if DTYPE_KEYS.contains(&key.as_str()) {
            if value == former {
                *value = name.into();
            }
        } else if let Value::Object(inner) = value {
            rename_dtype(inner, former, name);
        }
    }
}
