//! The vocabulary of the library: what can be asked of a quantizer.
//!
//! Plain data, shared by the host library (which re-exports it) and the launch contract. The terms
//! are those of TransformerEngine's NVFP4 recipe (PR 2972 and PR 3068).

use core::fmt;

pub use crate::feature::Feature;
pub use crate::training::{Panel, RandomState, Rounding, SignMask, Transforms};

/// How the two candidates of a block are compared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Metric {
    /// Sum of absolute differences. The default of TransformerEngine's recipe.
    Mae,
    /// Sum of squared differences, every square rounded before it is added. The default: it leaves
    /// the smaller relative MSE.
    #[default]
    Mse,
}

impl Metric {
    /// `mae` or `mse`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Mae => "mae",
            Self::Mse => "mse",
        }
    }
}

/// Where the two candidates of a block are compared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum ErrorPath {
    /// In the input domain, in FP32: `q·s·amax/(6·A) − x`. The default, as in TransformerEngine.
    #[default]
    Strict,
    /// In the scaled domain: the FP16 product `q·s` against `x·S_enc`.
    Fast,
}

impl ErrorPath {
    /// `strict` or `fast`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Strict => "strict",
            Self::Fast => "fast",
        }
    }
}

/// The bound `A` that block scales are made to fill: the global scale is `6·A / amax`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum E4m3Max {
    /// 448, the largest finite E4M3 value. Plain NVFP4 always uses it.
    M448,
    /// 256, which leaves the map-to-4 candidate (a scale 1.5 times larger) room below 448. The
    /// default of Four Over Six, as in TransformerEngine.
    #[default]
    M256,
}

impl E4m3Max {
    /// `448` or `256`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::M448 => "448",
            Self::M256 => "256",
        }
    }

    /// The bound as a number.
    #[must_use]
    pub const fn value(self) -> f32 {
        match self {
            Self::M448 => 448.0,
            Self::M256 => 256.0,
        }
    }
}

/// How a block's E4M3 scale is chosen. The default is [`Rule::MSE`].
///
/// As text it is `plain`, or metric, error path and bound (`mse-strict-256`), or `search`, metric and
/// bound (`search-mse-256`). Read from text, what is left out at the end is as in [`Rule::MAE`] and
/// [`Rule::MSE`], and spaces may stand for hyphens.
///
/// # Examples
/// ```
/// use fouroversix_core::Rule;
///
/// assert_eq!("mse".parse(), Ok(Rule::MSE));
/// assert_eq!("mae-fast".parse(), Ok(Rule::MAE_FAST));
/// assert_eq!(Rule::MSE.to_string(), "mse-strict-256");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Rule {
    /// NVFP4 as it is: the block maximum maps to 6.
    Plain,
    /// Four Over Six: the block maximum maps to 6 or to 4, whichever has the lower error.
    FourOverSix {
        /// Absolute or squared error.
        metric: Metric,
        /// Input-domain or scaled-domain comparison.
        error_path: ErrorPath,
        /// The E4M3 bound.
        e4m3_max: E4m3Max,
    },
    /// Scale search: the block scale with the lowest fast error, of 13 around that of map6 (from
    /// about two thirds of it to twice it; both scales of Four Over Six are among them).
    Search {
        /// Absolute or squared error.
        metric: Metric,
        /// The E4M3 bound.
        e4m3_max: E4m3Max,
    },
}

impl Default for Rule {
    fn default() -> Self {
        Self::MSE
    }
}

impl Rule {
    /// Four Over Six by absolute error, strict, A = 256: the default of TransformerEngine's recipe
    /// (`NVTE_NVFP4_4OVER6_ERR_MODE`, `…_E4M3_USE_256`, `…_ERR_USE_FAST_MATH` unset).
    pub const MAE: Self = Self::FourOverSix {
        metric: Metric::Mae,
        error_path: ErrorPath::Strict,
        e4m3_max: E4m3Max::M256,
    };

    /// Four Over Six by squared error, strict, A = 256: the default here, and of the program.
    pub const MSE: Self = Self::FourOverSix {
        metric: Metric::Mse,
        error_path: ErrorPath::Strict,
        e4m3_max: E4m3Max::M256,
    };

    /// [`Rule::MAE`] with the fast error path.
    pub const MAE_FAST: Self = Self::FourOverSix {
        metric: Metric::Mae,
        error_path: ErrorPath::Fast,
        e4m3_max: E4m3Max::M256,
    };

    /// [`Rule::MSE`] with the fast error path.
    pub const MSE_FAST: Self = Self::FourOverSix {
        metric: Metric::Mse,
        error_path: ErrorPath::Fast,
        e4m3_max: E4m3Max::M256,
    };

    /// Scale search by squared error, A = 256: the lowest error there is.
    pub const SEARCH_MSE: Self = Self::Search { metric: Metric::Mse, e4m3_max: E4m3Max::M256 };

    /// Scale search by absolute error, A = 256.
    pub const SEARCH_MAE: Self = Self::Search { metric: Metric::Mae, e4m3_max: E4m3Max::M256 };

    /// Plain, and every Four Over Six.
    pub const ALL: [Self; 9] = {
        use {E4m3Max::*, ErrorPath::*, Metric::*};
        const fn rule(metric: Metric, error_path: ErrorPath, e4m3_max: E4m3Max) -> Rule {
            Rule::FourOverSix { metric, error_path, e4m3_max }
        }
        [
            Self::Plain,
            rule(Mae, Strict, M448),
            rule(Mae, Strict, M256),
            rule(Mae, Fast, M448),
            rule(Mae, Fast, M256),
            rule(Mse, Strict, M448),
            rule(Mse, Strict, M256),
            rule(Mse, Fast, M448),
            rule(Mse, Fast, M256),
        ]
    };

    /// Every scale search.
    pub const SEARCHES: [Self; 4] = {
        use {E4m3Max::*, Metric::*};
        const fn rule(metric: Metric, e4m3_max: E4m3Max) -> Rule {
            Rule::Search { metric, e4m3_max }
        }
        [rule(Mae, M448), rule(Mae, M256), rule(Mse, M448), rule(Mse, M256)]
    };

    /// The E4M3 bound in force: always 448 for plain NVFP4.
    #[must_use]
    pub const fn e4m3_max(self) -> E4m3Max {
        match self {
            Self::Plain => E4m3Max::M448,
            Self::FourOverSix { e4m3_max, .. } | Self::Search { e4m3_max, .. } => e4m3_max,
        }
    }
}

/// Which elements share a block scale, and which share a global amax.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Scaling {
    /// Blocks of 1x16, one amax for the tensor. The default.
    #[default]
    Tensor,
    /// Blocks of 1x16, one amax for each row.
    Row,
    /// Blocks of 16x16, one amax for the tensor. The block's scale byte repeats on its 16 rows.
    Tile,
}

impl Scaling {
    /// `tensor`, `row` or `tile`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tensor => "tensor",
            Self::Row => "row",
            Self::Tile => "tile",
        }
    }
}

/// Which quantizations of the input are produced.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Outputs {
    /// Of the input: codes `[m, k/2]`, scales `[m, k/16]`. The default.
    #[default]
    Rowwise,
    /// Of its transpose: codes `[k, m/2]`, scales `[k, m/16]`.
    Columnwise,
    /// Both.
    Both,
}

impl Outputs {
    /// `rowwise`, `columnwise` or `both`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Rowwise => "rowwise",
            Self::Columnwise => "columnwise",
            Self::Both => "both",
        }
    }

    /// Whether the input itself is quantized.
    #[must_use]
    pub const fn rowwise(self) -> bool {
        matches!(self, Self::Rowwise | Self::Both)
    }

    /// Whether the transpose is quantized.
    #[must_use]
    pub const fn columnwise(self) -> bool {
        matches!(self, Self::Columnwise | Self::Both)
    }
}

/// How block scales lie in memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum ScaleLayout {
    /// Row-major `[rows, cols/16]`, no padding: what checkpoints hold. The default.
    #[default]
    Linear,
    /// Tiles of 128 rows by 4 scales as Blackwell's tensor cores read them, padding zero-filled.
    ///
    /// With `kt = ceil(cols/16 / 4)`, the scale of row `m` and block column `s` lies at byte
    /// `((m/128)·kt + s/4)·512 + (m%32)·16 + ((m%128)/32)·4 + s%4`.
    Swizzled128x4,
}

impl ScaleLayout {
    /// `linear` or `swizzled-128x4`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Linear => "linear",
            Self::Swizzled128x4 => "swizzled-128x4",
        }
    }

    /// Bytes that the scales of a `[rows, cols]` tensor take; `usize::MAX`, which no buffer has, where
    /// that is more than a `usize` holds.
    #[must_use]
    pub const fn bytes(self, rows: usize, cols: usize) -> usize {
        let blocks = cols / 16;
        let (rows, blocks) = match self {
            Self::Linear => (Some(rows), blocks),
            Self::Swizzled128x4 => (rows.checked_next_multiple_of(128), blocks.next_multiple_of(4)),
        };
        match rows {
            Some(rows) => rows.saturating_mul(blocks),
            None => usize::MAX,
        }
    }

    /// Byte offset of the scale of row `row` and block column `block` (= column / 16).
    #[must_use]
    pub const fn offset(self, cols: usize, row: usize, block: usize) -> usize {
        let blocks = cols / 16;
        match self {
            Self::Linear => row * blocks + block,
            Self::Swizzled128x4 => {
                let kt = blocks.div_ceil(4);
                ((row / 128) * kt + block / 4) * 512
                    + (row % 32) * 16
                    + ((row % 128) / 32) * 4
                    + block % 4
            }
        }
    }
}

/// The element type of an input.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum InputType {
    /// bfloat16.
    Bf16,
    /// IEEE binary16.
    F16,
    /// IEEE binary32.
    F32,
}

impl InputType {
    /// As in kernel names.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Bf16 => "bf16",
            Self::F16 => "f16",
            Self::F32 => "f32",
        }
    }

    /// Bytes an element takes.
    #[must_use]
    pub const fn bytes(self) -> usize {
        match self {
            Self::Bf16 | Self::F16 => 2,
            Self::F32 => 4,
        }
    }
}

/// What to quantize and how: a combination the contract defines.
///
/// Fields are private so that a `Config` in hand is a valid one; see [`Config::builder`]. The
/// default is the default of every option: [`Rule::MSE`] on 1x16 blocks under one amax, rowwise,
/// with linear scales.
///
/// # Examples
/// ```
/// use fouroversix_core::{Config, Rule, Scaling};
///
/// let config = Config::builder().rule(Rule::MAE).scaling(Scaling::Tile).build()?;
/// assert_eq!(config.scaling(), Scaling::Tile);
/// # Ok::<(), fouroversix_core::ConfigError>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Config {
    rule: Rule,
    scaling: Scaling,
    outputs: Outputs,
    scale_layout: ScaleLayout,
    rounding: Rounding,
    transforms: Transforms,
    panel: Option<Panel>,
}

/// Options on their way to a [`Config`]: those not named are the defaults.
#[derive(Clone, Copy, Debug, Default)]
#[must_use]
pub struct ConfigBuilder {
    config: Config,
}

impl ConfigBuilder {
    /// How a block's scale is chosen.
    pub const fn rule(mut self, rule: Rule) -> Self {
        self.config.rule = rule;
        self
    }

    /// Which elements share a scale.
    pub const fn scaling(mut self, scaling: Scaling) -> Self {
        self.config.scaling = scaling;
        self
    }

    /// Which quantizations are produced.
    pub const fn outputs(mut self, outputs: Outputs) -> Self {
        self.config.outputs = outputs;
        self
    }

    /// How block scales lie in memory.
    pub const fn scale_layout(mut self, scale_layout: ScaleLayout) -> Self {
        self.config.scale_layout = scale_layout;
        self
    }

    /// How elements are rounded. Every rounding goes with every other option.
    pub const fn rounding(mut self, rounding: Rounding) -> Self {
        self.config.rounding = rounding;
        self
    }

    /// Where inputs lie in the tensor that they are panels of.
    pub const fn panel(mut self, panel: Panel) -> Self {
        self.config.panel = Some(panel);
        self
    }

    /// The transform of each output.
    pub const fn transforms(mut self, transforms: Transforms) -> Self {
        self.config.transforms = transforms;
        self
    }

    /// Checks that the options go together.
    ///
    /// # Errors
    /// [`ConfigError`] when the contract does not define the combination: Four Over Six or scale
    /// search with [`Scaling::Row`] and a columnwise output; a transform with anything but
    /// [`Scaling::Tensor`], or of an output that is not asked for.
    pub const fn build(self) -> Result<Config, ConfigError> {
        let Config { rule, scaling, outputs, transforms, .. } = self.config;
        if matches!(scaling, Scaling::Row) && outputs.columnwise() {
            match rule {
                Rule::Plain => {}
                Rule::FourOverSix { .. } => {
                    return Err(ConfigError::RowScaledFourOverSixColumnwise { outputs });
                }
                Rule::Search { .. } => {
                    return Err(ConfigError::RowScaledSearchColumnwise { outputs });
                }
            }
        }
        if !transforms.is_none() && !matches!(scaling, Scaling::Tensor) {
            return Err(ConfigError::Transform { scaling });
        }
        if transforms.rowwise.is_some() && !outputs.rowwise()
            || transforms.columnwise.is_some() && !outputs.columnwise()
        {
            return Err(ConfigError::TransformWithoutOutput { outputs });
        }
        Ok(self.config)
    }
}

/// A combination of options that NVFP4 does not define.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConfigError {
    /// Four Over Six with a row amax has no columnwise form.
    RowScaledFourOverSixColumnwise {
        /// What was asked for.
        outputs: Outputs,
    },
    /// Scale search with a row amax has no columnwise form.
    RowScaledSearchColumnwise {
        /// What was asked for.
        outputs: Outputs,
    },
    /// A transform with 16x16 blocks, or with a row amax.
    Transform {
        /// What was asked for.
        scaling: Scaling,
    },
    /// A transform of an output that is not asked for.
    TransformWithoutOutput {
        /// What is asked for.
        outputs: Outputs,
    },
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::RowScaledFourOverSixColumnwise { outputs } => write!(
                f,
                "row scaling with four over six has rowwise output only, but {} was asked \
                 for: use tensor or tile scaling, or the plain rule",
                outputs.name()
            ),
            Self::RowScaledSearchColumnwise { outputs } => write!(
                f,
                "row scaling with scale search has rowwise output only, but {outputs} was asked \
                 for: use tensor or tile scaling, or the plain rule"
            ),
            Self::Transform { scaling } => write!(
                f,
                "a transform goes with 1x16 blocks and one amax for the tensor, but {scaling} \
                 scaling was asked for: use tensor scaling, or no transform"
            ),
            Self::TransformWithoutOutput { outputs } => write!(
                f,
                "a transform was given for an output that is not asked for (only {outputs} is): ask for \
                 it too, or give no transform for it"
            ),
        }
    }
}

impl core::error::Error for ConfigError {}

impl Config {
    /// Starts with the default of every option.
    pub const fn builder() -> ConfigBuilder {
        ConfigBuilder { config: Self::rowwise(Rule::MSE) }
    }

    /// Starts with the options of this configuration.
    pub const fn to_builder(self) -> ConfigBuilder {
        ConfigBuilder { config: self }
    }

    /// The four options of most callers at once; the others are the defaults.
    ///
    /// # Errors
    /// As [`ConfigBuilder::build`].
    pub const fn new(
        rule: Rule,
        scaling: Scaling,
        outputs: Outputs,
        scale_layout: ScaleLayout,
    ) -> Result<Self, ConfigError> {
        let builder = Self::builder().rule(rule).scaling(scaling).outputs(outputs);
        builder.scale_layout(scale_layout).build()
    }

    /// Rowwise output with linear scales, 1x16 blocks and one amax: defined for every rule.
    #[must_use]
    pub const fn rowwise(rule: Rule) -> Self {
        Self {
            rule,
            scaling: Scaling::Tensor,
            outputs: Outputs::Rowwise,
            scale_layout: ScaleLayout::Linear,
            rounding: Rounding::Nearest,
            transforms: Transforms::NONE,
            panel: None,
        }
    }

    /// How a block's scale is chosen.
    #[must_use]
    pub const fn rule(self) -> Rule {
        self.rule
    }

    /// Which elements share a scale.
    #[must_use]
    pub const fn scaling(self) -> Scaling {
        self.scaling
    }

    /// Which quantizations are produced.
    #[must_use]
    pub const fn outputs(self) -> Outputs {
        self.outputs
    }

    /// How block scales lie in memory.
    #[must_use]
    pub const fn scale_layout(self) -> ScaleLayout {
        self.scale_layout
    }

    /// How elements are rounded.
    #[must_use]
    pub const fn rounding(self) -> Rounding {
        self.rounding
    }

    /// The transform of each output.
    #[must_use]
    pub const fn transforms(self) -> Transforms {
        self.transforms
    }

    /// Where inputs lie in the tensor that they are panels of; none when they are whole.
    #[must_use]
    pub const fn panel(self) -> Option<Panel> {
        self.panel
    }

    /// Whether a backend needs a feature for this.
    #[must_use]
    pub const fn uses(self, feature: Feature) -> bool {
        match feature {
            Feature::Search => matches!(self.rule, Rule::Search { .. }),
            Feature::Stochastic => matches!(self.rounding, Rounding::Stochastic(_)),
            Feature::Transform => !self.transforms.is_none(),
        }
    }
}
