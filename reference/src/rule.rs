//! What can be asked for.

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
    /// In the input domain: the dequantized value against `x`.
    Strict,
    /// In the scaled domain: the FP16 product of code and scale against `x · S_enc`.
    Fast,
}

/// The E4M3 bound A: block scales are made to fill the range up to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum E4m3Max {
    /// 448, the largest E4M3 value. Plain NVFP4 always uses it.
    M448,
    /// 256, so that a map4 scale (1.5 times larger) is still below 448.
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

/// How a block's scale is chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Rule {
    /// NVFP4 as it is: the block's largest magnitude maps to 6.
    Plain,
    /// It maps to 6 or to 4, whichever has the lower error.
    FourOverSix {
        /// Absolute or squared error.
        metric: Metric,
        /// Input or scaled domain.
        error_path: ErrorPath,
        /// The E4M3 bound.
        e4m3_max: E4m3Max,
    },
    /// It maps to what gives the lowest fast error, of 13 neighbouring scales (step S2).
    Search {
        /// Absolute or squared error.
        metric: Metric,
        /// The E4M3 bound.
        e4m3_max: E4m3Max,
    },
}

impl Rule {
    /// The E4M3 bound in force.
    #[must_use]
    pub const fn e4m3_max(self) -> E4m3Max {
        match self {
            Self::Plain => E4m3Max::M448,
            Self::FourOverSix { e4m3_max, .. } | Self::Search { e4m3_max, .. } => e4m3_max,
        }
    }
}

/// Which elements share a block scale, and which share a global amax.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scaling {
    /// Blocks of 1x16, one amax for the tensor.
    Tensor,
    /// Blocks of 1x16, an amax for each row.
    Row,
    /// Blocks of 16x16, one amax for the tensor.
    Tile,
}
