//! The modules that consumers must not take for quantized ones, in patterns that match the names
//! they have when the model runs.
//!
//! compressed-tensors 0.20 (`utils/match.py` `match_name`) and vLLM 0.33
//! (`compressed_tensors/utils.py`) compare with an entry, or match from the start what follows
//! `re:`. vLLM asks for a layer's experts under `<stack>.0.gate_proj` and its like
//! (`get_moe_method`); mistral.rs looks for the pattern anywhere, hence the `^`. ModelOpt's `exclude_modules` are wildcards; vLLM (`modelopt.py`
//! `is_layer_excluded`) also takes an entry for a substring of longer names.

use std::collections::BTreeSet;

use super::decision::Decision;
use super::families::Families;
use super::format::Format;
use super::glob::Glob;
use super::linear;
use super::names::{common_end, escaped, from_stack, module};
use super::source::Checkpoint;

/// Modules that are left out of quantization.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Exclusion {
    /// The modules of which some name parts are these, and all below.
    Under(String),
    /// The modules whose names end in these name parts.
    Suffix(String),
    /// The module of this name.
    Exact(String),
}

impl Exclusion {
    /// Whether a module called `name` is meant.
    fn covers(&self, name: &str) -> bool {
        match self {
            Self::Under(parts) => format!(".{name}.").contains(&format!(".{parts}.")),
            Self::Suffix(parts) => format!(".{name}").ends_with(&format!(".{parts}")),
            Self::Exact(exact) => name == exact,
        }
    }

    /// As `format` writes it. `quantized` must not be matched.
    fn text(&self, format: Format, quantized: &BTreeSet<&str>) -> String {
        match (format, self) {
            (Format::CompressedTensors, Self::Under(parts)) => {
                format!(r"re:^(.*\.)?{}(\..*)?$", escaped(parts))
            }
            (Format::CompressedTensors, Self::Suffix(parts)) => {
                format!(r"re:^(.*\.)?{}$", escaped(parts))
            }
            (Format::ModelOpt, Self::Under(parts)) => format!("*{parts}*"),
            (Format::ModelOpt, Self::Suffix(parts)) => format!("*{parts}"),
            (Format::CompressedTensors, Self::Exact(name)) => name.clone(),
            (Format::ModelOpt, Self::Exact(name)) => {
                // A class of one character: only wildcards match it, no substring does.
                let hidden = quantized.iter().any(|other| other.contains(name.as_str()));
                match name.char_indices().last().filter(|_| hidden) {
                    Some((at, last)) => format!("{}[{last}]", &name[..at]),
                    None => name.clone(),
                }
            }
        }
    }

    /// Whether it, as `format` writes it, leaves every quantized module alone.
    fn spares(&self, format: Format, quantized: &BTreeSet<&str>) -> bool {
        if quantized.iter().any(|name| self.covers(name)) {
            return false;
        }
        let wild = format == Format::ModelOpt && !matches!(self, Self::Exact(_));
        let glob = Glob::new(&self.text(format, quantized));
        !wild || !quantized.iter().any(|name| glob.matches(name))
    }
}

/// What `ignore` (or `exclude_modules`) of `format` lists.
pub(crate) fn excluded(
    checkpoint: &Checkpoint,
    decisions: &[Decision],
    families: &Families,
    format: Format,
) -> Vec<String> {
    let tensors = || checkpoint.tensors().zip(decisions);
    let names: BTreeSet<String> = tensors()
        .filter(|(_, decision)| decision.quantize)
        .map(|((_, entry), _)| module(&entry.name).to_owned())
        .collect();
    let quantized: BTreeSet<&str> = names.iter().map(String::as_str).collect();
    let mut chosen = Chosen { format, quantized: &quantized, families, found: BTreeSet::new() };
    for ((_, entry), _) in tensors().filter(|(_, decision)| !decision.quantize) {
        chosen.keep(&entry.name, entry.shape.len());
    }
    for head in families.heads() {
        chosen.module(head);
    }
    let found = std::mem::take(&mut chosen.found);
    found.into_iter().map(|exclusion| exclusion.text(format, &quantized)).collect()
}

/// Exclusions as they come together.
struct Chosen<'a> {
    format: Format,
    quantized: &'a BTreeSet<&'a str>,
    families: &'a Families,
    found: BTreeSet<Exclusion>,
}

impl Chosen<'_> {
    /// Adds what a kept tensor needs.
    fn keep(&mut self, tensor: &str, dimensions: usize) {
        let stack = linear::expert_stack(tensor).filter(|stack| {
            let numbered = tensor[stack.len()..].split('.').nth(1);
            let one = numbered.is_some_and(|part| part.bytes().all(|byte| byte.is_ascii_digit()));
            dimensions >= 2 && !one
        });
        if let Some(stack) = stack {
            self.experts(stack);
            for running in self.families.running(stack) {
                self.experts(&running);
            }
            return;
        }
        if dimensions != 2 {
            return;
        }
        let module = match tensor.strip_suffix(".weight") {
            Some(module) if linear::is_table(module) => return,
            Some(module) => module,
            None => tensor.strip_suffix("_weight").unwrap_or(tensor),
        };
        if let Some((part, reason)) = self.families.tower(module)
            && self.add(Exclusion::Under(part.to_owned()))
        {
            for running in linear::running(reason) {
                self.add(Exclusion::Under((*running).to_owned()));
            }
            for running in self.families.running(module) {
                self.module(&running);
            }
            return;
        }
        self.module(module);
        for running in self.families.running(module) {
            self.module(&running);
        }
    }

    /// A stack of experts: in all layers if that meets nothing quantized, or in its own.
    fn experts(&mut self, stack: &str) {
        let end = stack.rsplitn(3, '.').take(2).map(|part| part.len() + 1).sum::<usize>();
        let everywhere = stack[stack.len().saturating_sub(end - 1)..].to_owned();
        if !self.add(Exclusion::Under(everywhere)) {
            let own = from_stack(stack).to_owned();
            if !self.add(Exclusion::Under(own)) && !self.add(Exclusion::Under(stack.to_owned())) {
                self.found.insert(Exclusion::Exact(stack.to_owned()));
            }
        }
    }

    /// One module: by its name, and by its end where running models begin names otherwise.
    fn module(&mut self, name: &str) {
        if self.quantized.contains(name) {
            return;
        }
        self.add(Exclusion::Exact(name.to_owned()));
        if self.families.renamed() {
            self.add(Exclusion::Suffix(common_end(name).to_owned()));
        }
    }

    fn add(&mut self, exclusion: Exclusion) -> bool {
        let spares = exclusion.spares(self.format, self.quantized);
        if spares {
            self.found.insert(exclusion);
        }
        spares
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exclusions_are_written_as_consumers_read_them() {
        let quantized = BTreeSet::from(["m.layers.1.mlp.gate_proj", "decoder.layers.0.fc1"]);
        let text = |exclusion: Exclusion, format| exclusion.text(format, &quantized);
        let under = || Exclusion::Under("mlp.experts".into());
        assert_eq!(text(under(), Format::CompressedTensors), r"re:^(.*\.)?mlp\.experts(\..*)?$");
        assert_eq!(text(under(), Format::ModelOpt), "*mlp.experts*");
        // vLLM takes a plain entry for a substring.
        let gate = Exclusion::Exact("m.layers.1.mlp.gate".into());
        assert_eq!(text(gate, Format::ModelOpt), "m.layers.1.mlp.gat[e]");
        assert_eq!(text(Exclusion::Exact("decoder".into()), Format::ModelOpt), "decode[r]");
        assert_eq!(text(Exclusion::Exact("lm_head".into()), Format::ModelOpt), "lm_head");
    }

    #[test]
    fn a_pattern_meets_whole_name_parts() {
        let tower = Exclusion::Under("visual".into());
        assert!(tower.covers("model.visual.blocks.0.fc1") && tower.covers("visual"));
        assert!(!tower.covers("model.visual_norm.fc"));
        let quantized = BTreeSet::from(["model.layers.0.mlp.experts.0.w1"]);
        assert!(!Exclusion::Under("mlp.experts".into()).spares(Format::ModelOpt, &quantized));
    }
}
