//! The vocabulary of the library: what can be asked of a quantizer.
//!
//! Plain data, shared by the host library (which re-exports it) and the launch contract. The terms
//! are those of TransformerEngine's NVFP4 recipe (PR 2972 and PR 3068).

use core::fmt;

/// How the two candidates of a block are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Metric {
    /// Sum of absolute differences.
    Mae,
    /// Sum of squared differences, every square rounded before it is added.
    Mse,
}

/// Where the two candidates of a block are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorPath {
    /// In the input domain, in FP32: `q·s·amax/(6·A) − x`.
    Strict,
    /// In the scaled domain: the FP16 product `q·s` against `x·S_enc`.
    Fast,
}

/// The bound `A` that block scales are made to fill: the global scale is `6·A / amax`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum E4m3Max {
    /// 448, the largest finite E4M3 value. Plain NVFP4 always uses it.
    M448,
    /// 256, which leaves the map-to-4 candidate (a scale 1.5 times larger) room below 448.
    M256,
}

impl E4m3Max {
    /// The bound as a number.
    #[must_use]
    pub const fn value(self) -> f32 {
        match self {
            Self::M448 => 448.0,
            Self::M256 => 256.0,
        }
    }
}

/// How a block's E4M3 scale is chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
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
}

impl Rule {
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

    /// The E4M3 bound in force: always 448 for plain NVFP4.
    #[must_use]
    pub const fn e4m3_max(self) -> E4m3Max {
        match self {
            Self::Plain => E4m3Max::M448,
            Self::FourOverSix { e4m3_max, .. } => e4m3_max,
        }
    }
}

/// Which elements share a block scale, and which share a global amax.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scaling {
    /// Blocks of 1x16, one amax for the tensor.
    Tensor,
    /// Blocks of 1x16, one amax for each row.
    Row,
    /// Blocks of 16x16, one amax for the tensor. The block's scale byte repeats on its 16 rows.
    Tile,
}

/// Which quantizations of the input are produced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outputs {
    /// Of the input: codes `[m, k/2]`, scales `[m, k/16]`.
    Rowwise,
    /// Of its transpose: codes `[k, m/2]`, scales `[k, m/16]`.
    Columnwise,
    /// Both.
    Both,
}

impl Outputs {
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ScaleLayout {
    /// Row-major `[rows, cols/16]`, no padding: what checkpoints hold.
    Linear,
    /// Tiles of 128 rows by 4 scales as Blackwell's tensor cores read them, padding zero-filled.
    ///
    /// With `kt = ceil(cols/16 / 4)`, the scale of row `m` and block column `s` lies at byte
    /// `((m/128)·kt + s/4)·512 + (m%32)·16 + ((m%128)/32)·4 + s%4`.
    Swizzled128x4,
}

impl ScaleLayout {
    /// Bytes that the scales of a `[rows, cols]` tensor take.
    #[must_use]
    pub const fn bytes(self, rows: usize, cols: usize) -> usize {
        let blocks = cols / 16;
        match self {
            Self::Linear => rows * blocks,
            Self::Swizzled128x4 => rows.next_multiple_of(128) * blocks.next_multiple_of(4),
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
/// Fields are private so that a `Config` in hand is a valid one; see [`Config::new`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Config {
    rule: Rule,
    scaling: Scaling,
    outputs: Outputs,
    scale_layout: ScaleLayout,
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
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::RowScaledFourOverSixColumnwise { outputs } => write!(
                f,
                "row scaling with four over six has rowwise output only, but {outputs:?} was asked \
                 for: use tensor or tile scaling, or the plain rule"
            ),
        }
    }
}

impl core::error::Error for ConfigError {}

impl Config {
    /// Checks a combination of options.
    ///
    /// # Errors
    /// [`ConfigError`] when the contract does not define the combination: Four Over Six with
    /// [`Scaling::Row`] and a columnwise output.
    pub const fn new(
        rule: Rule,
        scaling: Scaling,
        outputs: Outputs,
        scale_layout: ScaleLayout,
    ) -> Result<Self, ConfigError> {
        if matches!(rule, Rule::FourOverSix { .. })
            && matches!(scaling, Scaling::Row)
            && outputs.columnwise()
        {
            return Err(ConfigError::RowScaledFourOverSixColumnwise { outputs });
        }
        Ok(Self { rule, scaling, outputs, scale_layout })
    }

    /// Rowwise output with linear scales, 1x16 blocks and one amax: defined for every rule.
    #[must_use]
    pub const fn rowwise(rule: Rule) -> Self {
        Self {
            rule,
            scaling: Scaling::Tensor,
            outputs: Outputs::Rowwise,
            scale_layout: ScaleLayout::Linear,
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
}
