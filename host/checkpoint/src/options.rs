//! How a checkpoint is quantized or dequantized.

use fouroversix_core::{InputType, Rule, Scaling};

use super::activations::Activations;
use super::format::Format;
use super::fuse::Fuse;
use super::modelopt::ModelOptQuantizer;
use super::select::Selection;
use super::settings::NonFinite;
use super::summary::RecipeRecord;

/// Bytes of tensors that a shard may hold where nothing else is asked for: 5 GB, as transformers
/// writes them.
const SHARD_BYTES: u64 = 5_000_000_000;

/// How a checkpoint is quantized.
///
/// The default is what the program does without options. Others are made from it:
///
/// ```
/// use fouroversix::Scaling;
/// use fouroversix::checkpoint::{Format, QuantizeOptions};
///
/// let options = QuantizeOptions::default().with_scaling(Scaling::Tile).with_force(true);
/// assert_eq!(options.format, Format::CompressedTensors);
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct QuantizeOptions {
    /// How block scales are chosen. Default: [`Rule::MSE`].
    pub rule: Rule,
    /// What shares a scale. A directory allows no row scaling: no serving stack's format has it.
    /// Default: [`Scaling::Tensor`].
    pub scaling: Scaling,
    /// The format written. Default: [`Format::CompressedTensors`].
    pub format: Format,
    /// Which tensors. Default: see [`Selection::decide`].
    pub selection: Selection,
    /// Which of them share a global scale. Default: [`Fuse::Linear`].
    pub fuse: Fuse,
    /// What to do with NaN and infinities. Default: [`NonFinite::Error`].
    pub non_finite: NonFinite,
    /// Whether error figures of the rule and of plain NVFP4 are taken, which takes a second
    /// quantization. Default: yes.
    pub figures: bool,
    /// Bytes of tensors that a shard of a directory may hold. Default: 5 GB.
    pub max_shard_bytes: u64,
    /// The largest input of each module that becomes NVFP4: with it activations are quantized too
    /// (W4A4). Default: none, weights alone.
    pub activations: Option<Activations>,
    /// Whether block scales are chosen as Model-Optimizer does with 4/6, by a [`ModelOptQuantizer`]
    /// whoever quantizes else; the rule is [`ModelOptQuantizer::RULE`]. Default: no.
    pub as_modelopt: bool,
    /// Whether an output that is there is replaced. Default: no.
    pub force: bool,
    /// The recipe that some of these came from, for the output's record. Default: none.
    pub recipe: Option<RecipeRecord>,
}

impl Default for QuantizeOptions {
    fn default() -> Self {
        Self {
            rule: Rule::default(),
            scaling: Scaling::default(),
            format: Format::default(),
            selection: Selection::default(),
            fuse: Fuse::default(),
            non_finite: NonFinite::default(),
            figures: true,
            max_shard_bytes: SHARD_BYTES,
            activations: None,
            as_modelopt: false,
            force: false,
            recipe: None,
        }
    }
}

impl QuantizeOptions {
    /// These options with another `rule`.
    #[must_use]
    pub fn with_rule(self, rule: Rule) -> Self {
        Self { rule, ..self }
    }

    /// These options with another `scaling`.
    #[must_use]
    pub fn with_scaling(self, scaling: Scaling) -> Self {
        Self { scaling, ..self }
    }

    /// These options with another `format`.
    #[must_use]
    pub fn with_format(self, format: Format) -> Self {
        Self { format, ..self }
    }

    /// These options with another `selection`.
    #[must_use]
    pub fn with_selection(self, selection: Selection) -> Self {
        Self { selection, ..self }
    }

    /// These options with another choice of fused parts.
    #[must_use]
    pub fn with_fuse(self, fuse: Fuse) -> Self {
        Self { fuse, ..self }
    }

    /// These options with another policy for NaN and infinities.
    #[must_use]
    pub fn with_non_finite(self, non_finite: NonFinite) -> Self {
        Self { non_finite, ..self }
    }

    /// These options with or without error figures.
    #[must_use]
    pub fn with_figures(self, figures: bool) -> Self {
        Self { figures, ..self }
    }

    /// These options with another limit on shards.
    #[must_use]
    pub fn with_max_shard_bytes(self, max_shard_bytes: u64) -> Self {
        Self { max_shard_bytes, ..self }
    }

    /// These options, replacing an output that is there or not.
    #[must_use]
    pub fn with_force(self, force: bool) -> Self {
        Self { force, ..self }
    }

    /// These options with activations quantized too.
    #[must_use]
    pub fn with_activations(self, activations: Activations) -> Self {
        Self { activations: Some(activations), ..self }
    }

    /// These options, choosing block scales as Model-Optimizer does.
    #[must_use]
    pub fn with_as_modelopt(self) -> Self {
        Self { as_modelopt: true, rule: ModelOptQuantizer::RULE, ..self }
    }

    /// These options with a recipe for the output's record.
    #[must_use]
    pub fn with_recipe(self, recipe: RecipeRecord) -> Self {
        Self { recipe: Some(recipe), ..self }
    }
}

/// How a checkpoint is dequantized. The default is what the program does without options.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct DequantizeOptions {
    /// The type that quantized weights become. Default: bfloat16.
    pub output_type: InputType,
    /// Bytes of tensors that a shard of a directory may hold. Default: 5 GB.
    pub max_shard_bytes: u64,
    /// Whether an output that is there is replaced. Default: no.
    pub force: bool,
}

impl Default for DequantizeOptions {
    fn default() -> Self {
        Self { output_type: InputType::Bf16, max_shard_bytes: SHARD_BYTES, force: false }
    }
}

impl DequantizeOptions {
    /// These options with another type for weights.
    #[must_use]
    pub fn with_output_type(self, output_type: InputType) -> Self {
        Self { output_type, ..self }
    }

    /// These options with another limit on shards.
    #[must_use]
    pub fn with_max_shard_bytes(self, max_shard_bytes: u64) -> Self {
        Self { max_shard_bytes, ..self }
    }

    /// These options, replacing an output that is there or not.
    #[must_use]
    pub fn with_force(self, force: bool) -> Self {
        Self { force, ..self }
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::{Debug, Display};
    use std::str::FromStr;

    use fouroversix_core::UnknownName;

    use super::*;

    #[track_caller]
    fn round_trip<T>(values: &[T])
    where
        T: Copy + Debug + Display + PartialEq + FromStr<Err = UnknownName>,
        T: serde::Serialize + serde::de::DeserializeOwned,
    {
        for value in values {
            assert_eq!(value.to_string().parse(), Ok(*value));
            let json = serde_json::to_string(value).unwrap();
            assert_eq!(serde_json::from_str::<T>(&json).unwrap(), *value);
        }
        let error = "nonsense".parse::<T>().unwrap_err().to_string();
        assert!(values.iter().all(|value| error.contains(&value.to_string())), "{error}");
    }

    #[test]
    fn every_option_reads_back_as_it_was_written() {
        round_trip(&Format::ALL);
        round_trip(&Fuse::ALL);
        round_trip(&NonFinite::ALL);
    }
}
