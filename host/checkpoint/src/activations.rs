//! The largest inputs of a model's modules, by which stacks quantize activations to NVFP4 too (W4A4).

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use serde_json::Value;
use xxhash_rust::xxh3::xxh3_128;

use super::decision::Decision;
use super::error::CheckpointError;
use super::families::Families;
use super::format::Format;
use super::fuse::{Fuse, fused_group};
use super::json::read_object;
use super::kind::Kind;
use super::names::module;
use super::source::Checkpoint;

/// 6·448: what the largest input becomes, code times block scale.
const FULL: f32 = 2688.0;

/// Names that an error spells out.
const NAMED: usize = 3;

/// The largest magnitude of each module's input, over some text.
#[derive(Clone, Debug, PartialEq)]
pub struct Activations {
    amaxes: BTreeMap<String, f32>,
}

impl Activations {
    /// Of a JSON file: an object with a number for each module, by the module's name in the model's
    /// files (`model.layers.0.mlp.down_proj`).
    ///
    /// # Errors
    /// [`CheckpointError::Read`]; [`CheckpointError::Malformed`] names the first entry that is not a
    /// positive number which the scale of a format can hold.
    pub fn read(path: &Path) -> Result<Self, CheckpointError> {
        let Some(object) = read_object(path)? else {
            let missing = std::io::Error::from(std::io::ErrorKind::NotFound);
            return Err(CheckpointError::read(path, missing));
        };
        let mut amaxes = BTreeMap::new();
        for (module, value) in &object {
            let amax = number(value).ok_or_else(|| {
                let value = value.to_string();
                let problem = format!(
                    "the amax of {module} is {value}, which is no number: collect it again"
                );
                CheckpointError::malformed(path, problem)
            })?;
            if !is_usable(amax) {
                let problem = format!(
                    "the amax of {module} is {amax}, and an input's amax is positive, finite and not \
                     below 1e-35: collect it again with more text, or keep that module"
                );
                return Err(CheckpointError::malformed(path, problem));
            }
            amaxes.insert(module.clone(), amax);
        }
        if amaxes.is_empty() {
            return Err(CheckpointError::malformed(path, "it names no module: collect it again"));
        }
        Ok(Self { amaxes })
    }

    /// A number that changes with any of them.
    pub(crate) fn digest(&self) -> String {
        let mut bytes = Vec::new();
        for (module, amax) in &self.amaxes {
            bytes.extend(module.as_bytes());
            bytes.push(0);
            bytes.extend(amax.to_le_bytes());
        }
        format!("{:032x}", xxh3_128(&bytes))
    }

    /// The amax of each tensor that becomes NVFP4, by the tensor's name; parts that stacks load as one
    /// matrix have the largest among them.
    ///
    /// # Errors
    /// [`CheckpointError::Option`] names modules that are not in the model, and modules of the model
    /// that have no amax.
    pub(crate) fn of_tensors(
        &self,
        checkpoint: &Checkpoint,
        decisions: &[Decision],
        families: &Families,
    ) -> Result<HashMap<String, f32>, CheckpointError> {
        let named = |name: &String| {
            checkpoint.get(&format!("{name}.weight")).is_some() || checkpoint.get(name).is_some()
        };
        let unknown: Vec<&str> =
            self.amaxes.keys().filter(|name| !named(name)).map(String::as_str).collect();
        if !unknown.is_empty() {
            return Err(refused(
                "activations are given of",
                &unknown,
                "which the model does not \
                hold: collect them from this model, and name modules as its files do",
            ));
        }
        let quantized = checkpoint.tensors().zip(decisions);
        let quantized: Vec<&str> = quantized
            .filter(|(_, decision)| decision.becomes(Kind::Nvfp4))
            .map(|((_, entry), _)| entry.name.as_str())
            .collect();
        let missing: Vec<&str> = quantized
            .iter()
            .map(|name| module(name))
            .filter(|name| !self.amaxes.contains_key(*name))
            .collect();
        if !missing.is_empty() {
            return Err(refused(
                "no activations are given of",
                &missing,
                "which become NVFP4: \
                collect them with more text, or keep these modules",
            ));
        }
        let group = |name: &str| fused_group(name, families, Fuse::Linear);
        let mut largest: HashMap<String, f32> = HashMap::new();
        for name in &quantized {
            let Some(group) = group(name) else { continue };
            let amax = largest.entry(group).or_default();
            *amax = amax.max(self.amaxes[module(name)]);
        }
        let of = |name: &str| {
            group(name).map_or_else(|| self.amaxes[module(name)], |group| largest[&group])
        };
        Ok(quantized.into_iter().map(|name| (name.to_owned(), of(name))).collect())
    }
}

/// A number as JSON or Python has it.
fn number(value: &Value) -> Option<f32> {
    match value {
        // The nearest; of a number that was an f32, itself.
        Value::Number(number) => number.as_f64().map(|number| number as f32),
        // Words and numbers that would be written otherwise, marked.
        Value::String(text) => {
            let mut characters = text.chars();
            let marked = characters.next().is_some_and(|c| c == super::json::MARK);
            characters.as_str().parse().ok().filter(|_| marked)
        }
        _ => None,
    }
}

fn is_usable(amax: f32) -> bool {
    amax.is_finite() && amax >= 1e-35
}

/// The stored scale of an input of magnitude `amax`: a divisor `fl(2688/amax)` in compressed-tensors, a
/// multiplier `fl(amax/2688)` in ModelOpt's format.
pub(crate) fn input_scale(format: Format, amax: f32) -> f32 {
    match format {
        Format::CompressedTensors => FULL / amax,
        Format::ModelOpt => amax / FULL,
    }
}

/// What that scale of the tensor called `tensor` is called.
pub(crate) fn input_scale_name(format: Format, tensor: &str) -> String {
    let module = module(tensor);
    match format {
        Format::CompressedTensors => format!("{module}.input_global_scale"),
        Format::ModelOpt => format!("{module}.input_scale"),
    }
}

fn refused(what: &str, names: &[&str], remedy: &str) -> CheckpointError {
    let shown = &names[..names.len().min(NAMED)];
    let more = match names.len().saturating_sub(NAMED) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    CheckpointError::Option { problem: format!("{what} {}{more}, {remedy}", shown.join(", ")) }
}
