//! Which modules are of which kind, in patterns that consumers match the names of running models with.
//!
//! compressed-tensors 0.20 (`utils/match.py`) and vLLM 0.33 (`compressed_tensors/utils.py`
//! `find_matched_target`) try a group's targets on a module's name, on the names of its fused parts
//! (all must match), and then on its class. A layer's experts are asked for as
//! `<stack>.0.gate_proj` and its like. So where two kinds meet, targets are names and no class.

use std::collections::{BTreeSet, HashMap};

use super::decision::Decision;
use super::families::Families;
use super::kind::Kind;
use super::names::{common_end, escaped, module};
use super::source::Checkpoint;

/// The quantized modules of a checkpoint, by kind.
#[derive(Clone, Debug, Default)]
pub(crate) struct Groups {
    /// Names of modules, sorted.
    pub(crate) nvfp4: Vec<String>,
    /// As `nvfp4`.
    pub(crate) fp8: Vec<String>,
    /// `nvfp4` and `fp8` as targets, where both are there; otherwise every Linear is meant.
    targets: Option<[Vec<String>; 2]>,
    /// Whether inputs of NVFP4 modules are quantized too.
    pub(crate) inputs: bool,
}

impl Groups {
    pub(crate) fn of(
        checkpoint: &Checkpoint,
        decisions: &[Decision],
        families: &Families,
        inputs: bool,
    ) -> Self {
        let of_kind = |kind: Kind| {
            let tensors = checkpoint.tensors().zip(decisions);
            let quantized = tensors.filter(|(_, decision)| decision.becomes(kind));
            let names: BTreeSet<&str> =
                quantized.map(|((_, entry), _)| module(&entry.name)).collect();
            names.into_iter().map(str::to_owned).collect::<Vec<String>>()
        };
        let (nvfp4, fp8) = (of_kind(Kind::Nvfp4), of_kind(Kind::Fp8));
        let targets = (!nvfp4.is_empty() && !fp8.is_empty())
            .then(|| [targets(&nvfp4, &fp8, families), targets(&fp8, &nvfp4, families)]);
        Self { nvfp4, fp8, targets, inputs }
    }

    /// Targets of the modules of `kind`.
    pub(crate) fn targets(&self, kind: Kind) -> Vec<String> {
        match (&self.targets, kind) {
            (None, _) => vec!["Linear".to_owned()],
            (Some([nvfp4, _]), Kind::Nvfp4) => nvfp4.clone(),
            (Some([_, fp8]), Kind::Fp8) => fp8.clone(),
        }
    }

    /// Whether there are modules of both kinds.
    pub(crate) fn mixed(&self) -> bool {
        self.targets.is_some()
    }
}

/// A pattern for names of modules: how they end, name part by name part.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Ending<'a> {
    /// `None` for any number.
    parts: Vec<Option<&'a str>>,
}

impl<'a> Ending<'a> {
    /// Of the names that end as `end` does, whatever its numbers are if `any_number`.
    fn of(end: &'a str, any_number: bool) -> Self {
        let part = |part: &'a str| (!any_number || !is_number(part)).then_some(part);
        Self { parts: end.split('.').map(part).collect() }
    }

    fn matches(&self, name: &str) -> bool {
        let mut names = name.rsplit('.');
        self.parts.iter().rev().all(|part| match (part, names.next()) {
            (_, None) => false,
            (None, Some(name)) => is_number(name),
            (Some(part), Some(name)) => *part == name,
        })
    }

    fn text(&self) -> String {
        let parts = self.parts.iter().map(|part| part.map_or(r"\d+".to_owned(), escaped));
        format!(r"re:^(.*\.)?{}$", parts.collect::<Vec<_>>().join(r"\."))
    }
}

/// Targets that match `modules` by the names they have when the model runs, and none of `others`.
fn targets(modules: &[String], others: &[String], families: &Families) -> Vec<String> {
    let mut found: BTreeSet<Ending<'_>> = BTreeSet::new();
    let mut names: Vec<String> = Vec::new();
    // Asked of the same ending once for each layer.
    let mut asked: HashMap<Ending<'_>, bool> = HashMap::new();
    for module in modules {
        let end = common_end(module);
        let ways = [(end, true), (module.as_str(), true), (end, false)];
        let ending = ways.into_iter().map(|(end, any)| Ending::of(end, any)).find(|ending| {
            let free = || !others.iter().any(|other| ending.matches(other));
            *asked.entry(ending.clone()).or_insert_with(free)
        });
        match ending {
            Some(ending) => _ = found.insert(ending),
            None => {
                names.push(module.clone());
                names.extend(families.running(module));
            }
        }
    }
    found.iter().map(Ending::text).chain(names).collect()
}

fn is_number(part: &str) -> bool {
    !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|&name| name.to_owned()).collect()
    }

    #[track_caller]
    fn check(modules: &[&str], others: &[&str], expected: &[&str]) {
        let families = Families::of_types(&["llama"]);
        assert_eq!(targets(&names(modules), &names(others), &families), names(expected));
    }

    #[test]
    fn targets_are_as_general_as_the_other_kind_allows() {
        check(
            &["model.layers.0.self_attn.q_proj", "model.layers.11.self_attn.q_proj"],
            &["model.layers.0.mlp.experts.0.up_proj"],
            &[r"re:^(.*\.)?layers\.\d+\.self_attn\.q_proj$"],
        );
        check(
            &["model.layers.0.mlp.experts.7.w1"],
            &["model.layers.1.mlp.w1"],
            &[r"re:^(.*\.)?layers\.\d+\.mlp\.experts\.\d+\.w1$"],
        );
        // Encoder and decoder have layers of the same names.
        check(
            &["encoder.layers.0.fc1", "encoder.layers.1.fc1"],
            &["decoder.layers.0.fc1"],
            &[r"re:^(.*\.)?encoder\.layers\.\d+\.fc1$"],
        );
        // One layer and not the others.
        check(
            &["model.layers.0.mlp.fc1"],
            &["model.layers.10.mlp.fc1"],
            &[r"re:^(.*\.)?layers\.0\.mlp\.fc1$"],
        );
        check(&["layers.0.fc1"], &["encoder.layers.0.fc1"], &["layers.0.fc1"]);
    }
}
