//! What each tensor of a checkpoint is to quantization, and what that means for a run.

use std::collections::{HashMap, HashSet};

use super::declared::{Declaration, Scope, declarations};
use super::encoded::EncodedName;
use super::error::CheckpointError;
use super::foreign::{Method, NO_SCALE, ORPHAN, few_bits, foreign, is_minifloat};
use super::header::TensorEntry;
use super::nvfp4::StoredName;
use super::source::Checkpoint;

/// What a tensor is to quantization.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Role {
    /// Nothing: it holds its own values.
    Plain,
    /// The codes of an NVFP4 tensor.
    Codes(StoredName),
    /// The codes of an FP8 or MXFP4 tensor, which is read as floats.
    Encoded(EncodedName),
    /// A scale of the quantized tensor of that name.
    Part(String),
    /// A scale of a layer's input, which means nothing to weights.
    InputScale,
    /// A scale of the KV cache, which means nothing to weights.
    CacheScale,
    /// It belongs to something that is recognized and not read.
    Foreign(&'static Method),
}

/// How a checkpoint is quantized already: what it declares and what its tensors show.
#[derive(Clone, Debug)]
pub struct Quantization {
    /// Every place that declares it.
    pub declarations: Vec<Declaration>,
    /// One for each tensor, in the order of [`Checkpoint::tensors`].
    pub roles: Vec<Role>,
}

/// What can be turned into floats.
const READ: &str = "NVFP4 of compressed-tensors and ModelOpt, FP8 (E4M3 with a scale for each tensor, row \
                    or block) and MXFP4 as gpt-oss, DeepSeek-V4 and compressed-tensors have it";

/// Names of KV cache scales, after the attention module or its projections.
const CACHE_SCALES: [&str; 9] = [
    ".k_scale",
    ".v_scale",
    ".q_scale",
    ".kv_scale",
    ".prob_output_scale",
    ".k_proj.output_scale",
    ".v_proj.output_scale",
    ".k_zero_point",
    ".v_zero_point",
];

/// Names of input scales, after the module or the tensor.
const INPUT_SCALES: [&str; 6] = [
    ".input_scale",
    ".input_global_scale",
    ".activation_scale",
    "_input_scale",
    "_input_global_scale",
    "_activation_scale",
];

/// Names that only scales of weights have.
const WEIGHT_SCALES: [&str; 4] =
    [".weight_scale", ".weight_scale_2", ".weight_global_scale", ".weight_scales"];

impl Quantization {
    /// Looks at what `checkpoint` declares and at the names, types and shapes of its tensors.
    ///
    /// # Errors
    /// Those of [`declarations`].
    pub fn of(checkpoint: &Checkpoint) -> Result<Self, CheckpointError> {
        let declarations = declarations(checkpoint)?;
        let mut known: HashMap<String, Role> = HashMap::new();
        let mut stored = HashSet::new();
        for (_, entry) in checkpoint.tensors() {
            if let Some(name) = checkpoint.stored_name(&entry.name) {
                let parts = name.format.part_names(&name.tensor);
                for part in [parts.scales, parts.global] {
                    known.insert(part, Role::Part(name.tensor.clone()));
                }
                stored.insert(name.tensor.clone());
                known.insert(entry.name.clone(), Role::Codes(name));
            } else if let Some(encoded) = checkpoint.encoded(entry) {
                let name = encoded.name;
                known.insert(name.scales.clone(), Role::Part(name.tensor.clone()));
                stored.insert(name.tensor.clone());
                known.insert(entry.name.clone(), Role::Encoded(name));
            }
        }
        let mut alone = Vec::new();
        for (_, entry) in checkpoint.tensors() {
            match foreign(checkpoint, entry).filter(|_| !known.contains_key(&entry.name)) {
                Some((method, parts)) if parts.is_empty() => alone.push((&entry.name, method)),
                Some((method, parts)) => {
                    for part in parts.into_iter().chain([entry.name.clone()]) {
                        known.entry(part).or_insert(Role::Foreign(method));
                    }
                }
                None => {}
            }
        }
        // What codes claim as theirs says less by itself.
        for (name, method) in alone {
            known.entry(name.clone()).or_insert(Role::Foreign(method));
        }
        let orphan = |entry: &TensorEntry| {
            if is_scale_of_weights(entry) { Role::Foreign(&ORPHAN) } else { Role::Plain }
        };
        let mut roles: Vec<Role> = checkpoint
            .tensors()
            .map(|(_, entry)| known.remove(&entry.name).unwrap_or_else(|| orphan(entry)))
            .collect();
        if !declarations.is_empty() || roles.iter().any(|role| *role != Role::Plain) {
            for ((_, entry), role) in checkpoint.tensors().zip(&mut roles) {
                if *role == Role::Plain {
                    *role = among_quantized(entry, &stored);
                }
            }
        }
        Ok(Self { declarations, roles })
    }

    /// Whether nothing says or shows that the checkpoint is quantized.
    #[must_use]
    pub fn is_none(&self) -> bool {
        self.declarations.is_empty() && !self.shows()
    }

    /// Whether some tensor shows it.
    fn shows(&self) -> bool {
        self.roles.iter().any(|role| *role != Role::Plain)
    }

    /// The first tensor with a role that `wanted` accepts.
    fn first<'a>(
        &self,
        checkpoint: &'a Checkpoint,
        wanted: impl Fn(&Role) -> bool,
    ) -> Option<(&'a str, &Role)> {
        let mut tensors = checkpoint.tensors().zip(&self.roles);
        tensors.find(|(_, role)| wanted(role)).map(|((_, entry), role)| (entry.name.as_str(), role))
    }

    /// The first tensor that is not read: codes rather than their scales.
    fn first_foreign<'a>(&self, checkpoint: &'a Checkpoint) -> Option<(&'a str, &Role)> {
        let foreign = |role: &Role| matches!(role, Role::Foreign(_));
        let mut tensors = checkpoint.tensors().zip(&self.roles);
        tensors
            .find(|((_, entry), role)| foreign(role) && few_bits(entry.dtype.name()))
            .map(|((_, entry), role)| (entry.name.as_str(), role))
            .or_else(|| self.first(checkpoint, foreign))
    }

    /// Which method, and where: the first declaration and the first tensor that shows it.
    fn evidence(&self, checkpoint: &Checkpoint) -> String {
        let told: Vec<String> =
            self.declarations.iter().map(|d| format!("{} in {}", d.method, d.place)).collect();
        let shown = self
            .first_foreign(checkpoint)
            .or_else(|| self.first(checkpoint, |role| matches!(role, Role::Codes(_))))
            .or_else(|| self.first(checkpoint, |role| matches!(role, Role::Encoded(_))))
            .or_else(|| self.first(checkpoint, |role| *role != Role::Plain))
            .map(|(name, role)| format!("{name} is {}", role.describe()));
        told.into_iter().chain(shown).collect::<Vec<_>>().join("; ")
    }

    /// Whether it is FP8 or MXFP4 and floats, and nothing is in the way of reading them.
    fn is_source(&self, checkpoint: &Checkpoint) -> Result<bool, CheckpointError> {
        let is_encoded = |role: &Role| matches!(role, Role::Encoded(_));
        let other = |role: &Role| matches!(role, Role::Codes(_) | Role::Foreign(_));
        if self.roles.iter().any(other) || !self.roles.iter().any(is_encoded) {
            return Ok(false);
        }
        self.readable(checkpoint).map(|()| true)
    }

    /// Refuses to quantize `checkpoint` if it is NVFP4 already, or quantized by a method that is not
    /// read.
    ///
    /// # Errors
    /// [`CheckpointError::Malformed`] when it is: by which method, where that is seen, and what to do
    /// instead.
    pub(crate) fn refuse(&self, checkpoint: &Checkpoint) -> Result<(), CheckpointError> {
        if self.is_none() || self.is_source(checkpoint)? {
            return Ok(());
        }
        let foreign = self.first_foreign(checkpoint);
        let advice = if let Some((_, Role::Foreign(method))) = foreign {
            format!("{} (what `fouroversix dequantize` reads is {READ})", method.remedy)
        } else if !self.shows() && !self.only_cache() {
            format!(
                "no tensor shows it, so remove that from {} if the weights are floats, or pass the \
                 model that it was made from",
                self.declarations[0].file()
            )
        } else {
            match self.readable(checkpoint) {
                Ok(()) => "pass the model that it was made from, or the output of `fouroversix \
                           dequantize`, which reads this one"
                    .to_owned(),
                Err(problem) => problem.problem(),
            }
        };
        let problem = format!("it is quantized already ({}): {advice}", self.evidence(checkpoint));
        Err(CheckpointError::malformed(checkpoint.root(), problem))
    }

    /// Whether nothing but the KV cache is quantized, by what is declared and shown.
    fn only_cache(&self) -> bool {
        let cache = |role: &Role| matches!(role, Role::Plain | Role::CacheScale);
        !self.is_none()
            && self.declarations.iter().all(|declared| declared.scope == Scope::KvCache)
            && self.roles.iter().all(cache)
    }

    /// Whether all of it can be turned into floats.
    ///
    /// # Errors
    /// [`CheckpointError::Malformed`] names the tensor or declaration in the way.
    pub(crate) fn readable(&self, checkpoint: &Checkpoint) -> Result<(), CheckpointError> {
        let refuse = |problem: String| Err(CheckpointError::malformed(checkpoint.root(), problem));
        if self.is_none() {
            return refuse(
                "it holds no quantized tensor and its configuration declares none: its weights are \
                 floats already"
                    .to_owned(),
            );
        }
        if let Some((name, Role::Foreign(method))) = self.first_foreign(checkpoint) {
            return refuse(format!(
                "{name} is {}, and what can be dequantized is {READ}: {}",
                method.label, method.remedy
            ));
        }
        let obstacle = self.declarations.iter().find_map(|d| Some((d, d.obstacle?)));
        if let Some((declared, obstacle)) = obstacle {
            return refuse(format!(
                "{} declares what can't be dequantized ({obstacle}): use the BF16 model that it \
                 was made from",
                declared.place
            ));
        }
        let mut tensors = HashSet::new();
        for ((_, entry), role) in checkpoint.tensors().zip(&self.roles) {
            if let (Role::Encoded(name), Some(encoded)) = (role, checkpoint.encoded(entry)) {
                checkpoint.check_scales(&encoded)?;
                let other = entry.name != name.tensor && checkpoint.get(&name.tensor).is_some();
                if other || !tensors.insert(&name.tensor) {
                    return refuse(format!(
                        "it holds both {} and {}, two versions of one tensor: fetch it again",
                        name.tensor, entry.name
                    ));
                }
            }
            let Role::Codes(name) = role else { continue };
            checkpoint.sound(name)?;
            let codes = name.format.part_names(&name.tensor).codes;
            let other = codes != name.tensor && checkpoint.get(&name.tensor).is_some();
            if other || !tensors.insert(&name.tensor) {
                return refuse(format!(
                    "it holds both {} and {codes}, two versions of one tensor: fetch it again",
                    name.tensor
                ));
            }
        }
        if tensors.is_empty() && !self.only_cache() {
            let declared = self.declarations.iter().find(|d| d.scope != Scope::KvCache);
            let told = declared.map_or_else(String::new, |d| {
                format!(
                    " although {} declares {}: if the weights are floats, remove that from {}",
                    d.place,
                    d.method,
                    d.file()
                )
            });
            return refuse(format!("it holds no quantized tensor{told}"));
        }
        Ok(())
    }
}

impl Role {
    /// What a tensor of this role is, in a few words.
    #[must_use]
    pub fn describe(&self) -> String {
        match self {
            Self::Plain => "not quantized".to_owned(),
            Self::Codes(name) => format!("NVFP4 codes ({})", name.format),
            Self::Encoded(name) => name.label.to_owned(),
            Self::Part(of) => format!("a scale of {of}"),
            Self::InputScale => "a scale of a layer's input".to_owned(),
            Self::CacheScale => "a scale of the KV cache".to_owned(),
            Self::Foreign(method) => method.label.to_owned(),
        }
    }
}

fn ends_with_any(name: &str, endings: &[&str]) -> bool {
    endings.iter().any(|ending| name.ends_with(ending))
}

fn is_scale_of_weights(entry: &TensorEntry) -> bool {
    let is_scale_type = ["F8_E4M3", "F8_E8M0"].contains(&entry.dtype.name());
    (is_scale_type && entry.name.ends_with("_scale")) || ends_with_any(&entry.name, &WEIGHT_SCALES)
}

/// The role of a tensor that says nothing by itself, in a checkpoint that is quantized.
fn among_quantized(entry: &TensorEntry, stored: &HashSet<String>) -> Role {
    let (name, dtype) = (entry.name.as_str(), entry.dtype.name());
    if let Some(base) = INPUT_SCALES.iter().find_map(|ending| name.strip_suffix(ending)) {
        let owned = stored.contains(base) || stored.contains(&format!("{base}.weight"));
        return if owned { Role::InputScale } else { Role::Foreign(&ORPHAN) };
    }
    if ends_with_any(name, &CACHE_SCALES) && entry.shape.len() <= 1 {
        return Role::CacheScale;
    }
    let is_codes = few_bits(dtype) && name.ends_with(".weight");
    if is_codes || (is_minifloat(dtype) && entry.shape.len() > 1) {
        return Role::Foreign(&NO_SCALE);
    }
    Role::Plain
}
