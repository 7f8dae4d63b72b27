//! Which tensors are quantized, and why each is or isn't.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use fouroversix_core::Scaling;

use super::decision::Decision;
use super::error::CheckpointError;
use super::families::Families;
use super::fuse::{Fuse, fused_group, loaded_whole};
use super::glob::Glob;
use super::header::TensorEntry;
use super::kind::Kind;
use super::linear;
use super::source::Checkpoint;
use super::whole::refuse_split;

/// Why a 3-D tensor of experts stays.
pub(crate) const STACK: &str = "experts in one 3-D tensor";

/// What to quantize.
#[derive(Clone, Debug, Default)]
pub struct Selection {
    /// When not empty, only tensors that one of these matches; instead of the default.
    pub include: Vec<Glob>,
    /// When not empty, of the Linear weights only those that one of these matches.
    pub linear: Vec<Glob>,
    /// Tensors to leave alone, whatever else holds.
    pub exclude: Vec<Glob>,
    /// Linear weights that become FP8, whatever [`Selection::include`] says.
    pub fp8: Vec<Glob>,
}

impl Selection {
    /// Decides for every tensor of `checkpoint`, in the order of [`Checkpoint::tensors`].
    ///
    /// In a directory the default is the weights of Linear modules, and parts that serving stacks
    /// fuse are quantized all or not at all; in a single file it is every tensor that can be.
    ///
    /// # Errors
    /// [`CheckpointError::Unquantizable`] when a pattern without wildcards names a tensor that
    /// can't be quantized, [`CheckpointError::NoMatch`] when a pattern matches nothing,
    /// [`CheckpointError::NothingSelected`] when nothing is left to do, [`CheckpointError::Option`]
    /// when parts that serving stacks load as one module would be of two kinds, or a pattern for Linears
    /// names no weight that can be.
    pub fn decide(
        &self,
        checkpoint: &Checkpoint,
        scaling: Scaling,
        fuse: Fuse,
    ) -> Result<Vec<Decision>, CheckpointError> {
        self.check_patterns(checkpoint)?;
        self.judge(checkpoint, scaling, fuse)
    }

    /// [`Selection::decide`], whether or not every pattern matches something.
    pub(crate) fn judge(
        &self,
        checkpoint: &Checkpoint,
        scaling: Scaling,
        fuse: Fuse,
    ) -> Result<Vec<Decision>, CheckpointError> {
        let families = Families::of_checkpoint(checkpoint);
        let known = checkpoint.is_dir().then_some(&families);
        let mut decisions = Vec::new();
        for (_, entry) in checkpoint.tensors() {
            let stored = checkpoint.made_of(&entry.name);
            let mut decision = self.decide_one(entry, stored, known, scaling)?;
            if checkpoint.is_dir() && !decision.becomes(Kind::Fp8) {
                decision.group = fused_group(&entry.name, &families, fuse);
            }
            decisions.push(decision);
        }
        self.check_linear(checkpoint, &decisions)?;
        if checkpoint.is_dir() {
            refuse_split(checkpoint, &families, &decisions)?;
            keep_broken_groups(checkpoint, &families, fuse, &mut decisions);
        }
        if decisions.iter().all(|decision| !decision.quantize) {
            return Err(nothing_selected(checkpoint, &decisions));
        }
        Ok(decisions)
    }

    fn check_patterns(&self, checkpoint: &Checkpoint) -> Result<(), CheckpointError> {
        let patterns = [&self.include, &self.linear, &self.fp8]
            .into_iter()
            .flatten()
            .map(|glob| (false, glob));
        for (exclude, glob) in patterns.chain(self.exclude.iter().map(|glob| (true, glob))) {
            let meets = |name: &str| {
                glob.matches(name) || checkpoint.made_of(name).is_some_and(|it| glob.matches(it))
            };
            if !checkpoint.tensors().any(|(_, entry)| meets(&entry.name)) {
                return Err(CheckpointError::NoMatch {
                    pattern: glob.as_str().to_owned(),
                    exclude,
                    path: checkpoint.root().to_owned(),
                });
            }
        }
        Ok(())
    }

    /// Refuses a pattern for Linear weights, as NVFP4 or FP8, by which nothing becomes that.
    fn check_linear(
        &self,
        checkpoint: &Checkpoint,
        decisions: &[Decision],
    ) -> Result<(), CheckpointError> {
        let fp8 = self.fp8.iter().map(|glob| (glob, Kind::Fp8));
        for (glob, kind) in self.linear.iter().map(|glob| (glob, Kind::Nvfp4)).chain(fp8) {
            let matched = || {
                let all = checkpoint.tensors().zip(decisions);
                all.filter(|((_, entry), _)| {
                    let stored = checkpoint.made_of(&entry.name);
                    glob.matches(&entry.name) || stored.is_some_and(|name| glob.matches(name))
                })
            };
            if matched().any(|(_, decision)| decision.quantize && decision.kind >= kind) {
                continue;
            }
            let Some(((_, entry), decision)) = matched().next() else { continue };
            let problem = format!(
                "no tensor that {:?} matches becomes {} (the first, {}: {}): use a pattern that \
                 Linear weights match",
                glob.as_str(),
                if kind == Kind::Fp8 { "FP8" } else { "NVFP4" },
                entry.name,
                decision.reason
            );
            return Err(CheckpointError::Option { problem });
        }
        Ok(())
    }

    /// `stored` is the tensor that a view is made of: a pattern may mean either.
    fn decide_one(
        &self,
        entry: &TensorEntry,
        stored: Option<&str>,
        families: Option<&Families>,
        scaling: Scaling,
    ) -> Result<Decision, CheckpointError> {
        let meets = |glob: &&Glob| {
            glob.matches(&entry.name) || stored.is_some_and(|name| glob.matches(name))
        };
        if let Some(glob) = self.exclude.iter().find(meets) {
            return Ok(Decision::keep(format!("excluded by {}", glob.as_str())));
        }
        if let Some(glob) = self.fp8.iter().find(meets) {
            return decide_fp8(entry, families, glob);
        }
        let included = self.include.iter().find(meets);
        if included.is_none() && !self.include.is_empty() {
            return Ok(Decision::keep("not included"));
        }
        let linear = self.linear.iter().find(meets);
        if linear.is_none() && !self.linear.is_empty() {
            return Ok(Decision::keep("not in the recipe"));
        }
        if let Some(obstacle) = obstacle(entry, scaling) {
            return match included.or(linear) {
                Some(glob) if glob.is_literal() => Err(CheckpointError::Unquantizable {
                    tensor: entry.name.clone(),
                    reason: obstacle.into_owned(),
                }),
                _ => Ok(Decision::keep(obstacle)),
            };
        }
        if let Some(glob) = included {
            return Ok(Decision::quantize(format!("included by {}", glob.as_str())));
        }
        let Some(families) = families else {
            return Ok(Decision::quantize(format!("2-D {}", entry.dtype)));
        };
        Ok(not_linear(&entry.name, families)
            .map_or_else(|| Decision::quantize("Linear weight"), Decision::keep))
    }
}

/// What becomes of a tensor that a pattern for FP8 matches: Linear weights alone become that.
fn decide_fp8(
    entry: &TensorEntry,
    families: Option<&Families>,
    glob: &Glob,
) -> Result<Decision, CheckpointError> {
    let other = || families.and_then(|families| not_linear(&entry.name, families));
    let Some(reason) = obstacle(entry, Scaling::Tensor).or_else(other) else {
        return Ok(Decision::fp8(glob));
    };
    if glob.is_literal() {
        let (tensor, reason) = (entry.name.clone(), reason.into_owned());
        return Err(CheckpointError::Unquantizable { tensor, reason });
    }
    Ok(Decision::keep(reason))
}

/// Why a tensor can't be quantized at all.
fn obstacle(entry: &TensorEntry, scaling: Scaling) -> Option<Cow<'static, str>> {
    if entry.dtype.input_type().is_none() {
        return Some(format!("{} is not BF16, F16 or F32", entry.dtype).into());
    }
    if entry.shape.len() == 3 && linear::expert_stack(&entry.name).is_some() {
        return Some(STACK.into());
    }
    let &[rows, cols] = entry.shape.as_slice() else {
        let plural = if entry.shape.len() == 1 { "" } else { "s" };
        return Some(format!("{} dimension{plural}, not 2", entry.shape.len()).into());
    };
    if rows == 0 || cols == 0 {
        return Some("it is empty".into());
    }
    if cols % 16 != 0 {
        return Some(format!("{cols} columns, not a multiple of 16").into());
    }
    if scaling == Scaling::Tile && rows % 16 != 0 {
        return Some(format!("{rows} rows, not a multiple of 16 as tile scaling needs").into());
    }
    None
}

/// Why a quantizable tensor of a model is not the weight of a Linear module that is worth it.
fn not_linear(name: &str, families: &Families) -> Option<Cow<'static, str>> {
    let Some(module) = name.strip_suffix(".weight") else {
        return Some("the name does not end in .weight".into());
    };
    let outside = || families.tower(module).map(|(_, reason)| reason);
    families.kept(module).or_else(|| linear::kept(module)).or_else(outside).map(Cow::from)
}

/// What a reader of the summary should know of `decisions`, one for each tensor of `checkpoint`.
#[must_use]
pub fn notes(checkpoint: &Checkpoint, decisions: &[Decision]) -> Vec<String> {
    let mut notes = Vec::new();
    if !checkpoint.is_dir() {
        return notes;
    }
    let families = Families::of_checkpoint(checkpoint);
    if !families.known() {
        let named = match &families.named {
            Some(named) => format!("model type {named} is not in the table of families"),
            None => "config.json names no model type".to_owned(),
        };
        notes.push(format!("{named}: general rules for names decided: look at the reasons"));
    }
    let stacks = checkpoint.tensors().zip(decisions).filter(|(_, d)| d.reason.starts_with(STACK));
    let (count, bytes) = stacks
        .fold((0_usize, 0), |(count, bytes), ((_, entry), _)| (count + 1, bytes + entry.bytes()));
    if count > 0 {
        notes.push(format!(
            "{count} 3-D tensors of experts ({:.1} MB) stay as they are and are excluded by pattern",
            // For display only.
            bytes as f64 / 1e6
        ));
    }
    let matrices = checkpoint.tensors().zip(decisions).filter(|(_, d)| d.quantize);
    let cut: Vec<&str> =
        matrices.filter_map(|((_, entry), _)| checkpoint.made_of(&entry.name)).collect();
    if let Some(table) = families.stacks.filter(|_| !cut.is_empty()) {
        let stacks: HashSet<&&str> = cut.iter().collect();
        notes.push(format!(
            "{} stacks of experts are written as {} matrices, {}.N.gate_proj, up_proj and down_proj",
            stacks.len(),
            cut.len(),
            table.experts
        ));
        notes.extend(table.warning.map(str::to_owned));
    }
    notes
}

/// Serving stacks load fused parts, and a layer's experts, as one: quantized all or not at all.
fn keep_broken_groups(
    checkpoint: &Checkpoint,
    families: &Families,
    fuse: Fuse,
    decisions: &mut [Decision],
) {
    let whole = |entry: &TensorEntry| loaded_whole(&entry.name, families, fuse);
    let mut broken: HashMap<String, String> = HashMap::new();
    for ((_, entry), decision) in checkpoint.tensors().zip(decisions.iter()) {
        if let Some(group) = whole(entry).filter(|_| !decision.quantize) {
            broken.entry(group).or_insert_with(|| entry.name.clone());
        }
    }
    for ((_, entry), decision) in checkpoint.tensors().zip(decisions.iter_mut()) {
        let kept = whole(entry).and_then(|group| broken.get(&group));
        if let Some(kept) = kept.filter(|_| decision.quantize) {
            *decision = Decision::keep(format!("fused with {kept}, which is kept"));
        }
    }
}

fn nothing_selected(checkpoint: &Checkpoint, decisions: &[Decision]) -> CheckpointError {
    let mut seen = HashSet::new();
    let reasons: Vec<String> = checkpoint
        .tensors()
        .zip(decisions)
        .filter(|(_, decision)| seen.insert(decision.reason.clone()))
        .take(3)
        .map(|((_, entry), decision)| format!("{}: {}", entry.name, decision.reason))
        .collect();
    let reason = if reasons.is_empty() { "it is empty".to_owned() } else { reasons.join("; ") };
    CheckpointError::NothingSelected { path: checkpoint.root().to_owned(), reason }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_type_decides_before_general_names() {
        let reason = |kind: &str, name: &str| {
            not_linear(name, &Families::of_types(&[kind])).map(Cow::into_owned)
        };
        assert_eq!(reason("llama", "model.layers.0.self_attn.q_proj.weight"), None);
        assert_eq!(
            reason("gpt2", "h.0.attn.c_attn.weight").as_deref(),
            Some("stored transposed (Conv1D)")
        );
        assert_eq!(
            reason("qwen3_vl_moe", "model.layers.0.mlp.experts.gate_up_proj").as_deref(),
            Some("the name does not end in .weight")
        );
        assert!(reason("unheard_of", "model.layers.1.eh_proj.weight").is_some());
    }
}
