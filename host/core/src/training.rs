//! What training asks for besides a rule: stochastic rounding, and a transform before it.

use core::fmt;

/// How elements are rounded to E2M1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Rounding {
    /// To nearest, ties to even.
    #[default]
    Nearest,
    /// Up or down in magnitude, with the probability that makes the mean right. Scales are those of
    /// nearest rounding. Goes with every rule, scaling and output.
    Stochastic(RandomState),
}

/// Where the random bytes of a quantization begin.
///
/// A block of 16 elements draws once, from Philox4x32-10 with the seed as key and the block's place,
/// the offset and the output as counter. So the same state gives the same codes on every backend,
/// whatever else is quantized with it. Count the offset up by one for each quantization.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RandomState {
    /// Which sequences; one seed for a run.
    pub seed: u64,
    /// Which of them. Its top bit is not seen.
    pub offset: u64,
}

impl RandomState {
    /// The state of tensor `index` of a group, counted from 0 with the empty ones: the offset moves
    /// on by as much, mod 2^64.
    #[must_use]
    pub const fn of_tensor(self, index: u64) -> Self {
        Self { seed: self.seed, offset: self.offset.wrapping_add(index) }
    }
}

/// Which elements of a group of 16 change their sign before a Hadamard transform: bit i is element
/// i's.
///
/// No bit set is a transform too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SignMask(pub u16);

impl SignMask {
    /// The signs that TransformerEngine uses unless told otherwise.
    pub const TRANSFORMER_ENGINE: Self = Self(0xD7E8);
}

impl fmt::Display for SignMask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#06x}", self.0)
    }
}

/// The Hadamard transform of each output, or none: of 16 consecutive elements along the output's
/// rows, in FP32, rounded once to the input's type.
///
/// Amax, scales and codes are then those of the transformed values, so that the two outputs may have
/// different amaxes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Transforms {
    /// Of the rowwise output.
    pub rowwise: Option<SignMask>,
    /// Of the columnwise output.
    pub columnwise: Option<SignMask>,
}

impl Transforms {
    /// No output has one.
    pub const NONE: Self = Self { rowwise: None, columnwise: None };

    /// Whether no output has one.
    #[must_use]
    pub const fn is_none(self) -> bool {
        self.rowwise.is_none() && self.columnwise.is_none()
    }
}

/// Where an input lies in the tensor that it is a panel of: some of its rows.
///
/// Random bytes go by a block's place in the whole tensor, so that panels give the bytes of the whole.
/// Nearest rounding needs no place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Panel {
    /// Rows of the tensor above the panel; a multiple of 16 for a columnwise output.
    pub first_row: usize,
    /// Rows of the whole tensor; likewise.
    pub rows: usize,
}
