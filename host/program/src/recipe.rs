//! Recipes: what is done to a model, as TOML.

use std::fs;
use std::path::{Path, PathBuf};

use fouroversix::checkpoint::{Format, Fuse, ModelOptQuantizer, NonFinite, RecipeRecord};
use fouroversix::{E4m3Max, ErrorPath, Scaling};
use serde::Deserialize;

use super::args::{RULES, RuleArgs};
use super::error::CliError;

/// Recipes that come with the program.
pub(crate) const PRESETS: [&str; 4] =
    ["all-linear", "experts", "experts-fp8-attention", "modelopt-4o6"];

/// The rule of recipes that options don't have: Model-Optimizer's own 4/6.
const MODELOPT: &str = "modelopt-4o6";

const TEXTS: [&str; PRESETS.len()] = [
    include_str!("presets/all-linear.toml"),
    include_str!("presets/experts.toml"),
    include_str!("presets/experts-fp8-attention.toml"),
    include_str!("presets/modelopt-4o6.toml"),
];

/// A recipe, and what the output keeps of it; nothing said where there is none.
#[derive(Debug, Default)]
pub(crate) struct Recipe {
    pub(crate) said: Said,
    pub(crate) record: Option<RecipeRecord>,
}

/// The keys of a recipe. Each stands for the option of its name; lists are patterns for names of
/// tensors.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Said {
    rule: Option<String>,
    error_path: Option<ErrorPath>,
    e4m3_max: Option<u32>,
    scaling: Option<Scaling>,
    pub(crate) format: Option<Format>,
    pub(crate) fuse: Option<Fuse>,
    pub(crate) non_finite: Option<NonFinite>,
    /// Relative to the recipe's folder.
    pub(crate) activations: Option<PathBuf>,
    /// Linear weights that become NVFP4; all of them where it is not given.
    pub(crate) nvfp4: Option<Vec<String>>,
    pub(crate) fp8: Option<Vec<String>>,
    pub(crate) keep: Option<Vec<String>>,
}

impl Recipe {
    /// The recipe in the file at `path`.
    pub(crate) fn read(path: &Path) -> Result<Self, CliError> {
        let text = fs::read_to_string(path).map_err(|error| {
            let text = format!("cannot read {}: {error}: check the path", path.display());
            CliError::of("read", text)
        })?;
        let name = path.file_name().map(PathBuf::from).unwrap_or_default();
        let mut recipe = Self::parse(&name.display().to_string(), text)?;
        if let (Some(activations), Some(folder)) = (&mut recipe.said.activations, path.parent()) {
            *activations = folder.join(&activations);
        }
        Ok(recipe)
    }

    /// One of [`PRESETS`].
    pub(crate) fn preset(name: &str) -> Result<Self, CliError> {
        let index = PRESETS.iter().position(|preset| *preset == name);
        let text = TEXTS[index.expect("a preset's name")];
        Self::parse(name, text.to_owned())
    }

    fn parse(name: &str, text: String) -> Result<Self, CliError> {
        let said: Said = toml::from_str(&text).map_err(|error| {
            let line = error.span().map_or(0, |span| text[..span.start].matches('\n').count() + 1);
            let told = error.message().replace('\n', "; ");
            CliError::said(format!("{name}, line {line}: {told}: mend the recipe"))
        })?;
        let empty = [("nvfp4", &said.nvfp4), ("fp8", &said.fp8), ("keep", &said.keep)];
        if let Some((key, _)) =
            empty.iter().find(|(_, list)| list.as_ref().is_some_and(Vec::is_empty))
        {
            return Err(CliError::said(format!(
                "{name}: {key} has no pattern: leave the key out, or name tensors, as in {key} = \
                 [\"*.mlp.*\"]"
            )));
        }
        let record = Some(RecipeRecord { name: name.to_owned(), text });
        Ok(Self { said, record })
    }
}

impl Said {
    /// Puts what is said here where `rule` says nothing; whether that is ModelOpt's rule.
    ///
    /// Options of a rule belong to it: where the command line names another rule, those of the recipe's
    /// are not taken.
    pub(crate) fn fill_rule(&self, rule: &mut RuleArgs) -> Result<bool, CliError> {
        rule.scaling = rule.scaling.or(self.scaling);
        if rule.rule.is_some() {
            return Ok(false);
        }
        rule.error_path = rule.error_path.or(self.error_path);
        rule.e4m3_max = match (rule.e4m3_max, self.e4m3_max) {
            (None, Some(bound)) => Some(e4m3_max(bound)?),
            (given, _) => given,
        };
        match self.rule.as_deref() {
            Some(MODELOPT) => rule.rule = Some(ModelOptQuantizer::RULE),
            Some(name) if RULES.contains(&name) => {
                rule.rule = Some(name.parse().expect("a rule's name"));
            }
            Some(name) => {
                return Err(CliError::said(format!(
                    "the recipe's rule is {name:?}: use one of {}, {MODELOPT}",
                    RULES.join(", ")
                )));
            }
            None => {}
        }
        Ok(self.rule.as_deref() == Some(MODELOPT))
    }
}

fn e4m3_max(bound: u32) -> Result<E4m3Max, CliError> {
    bound
        .to_string()
        .parse()
        .map_err(|error| CliError::said(format!("the recipe's e4m3-max: {error}")))
}
