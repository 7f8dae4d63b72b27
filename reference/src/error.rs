//! What is refused.

use std::fmt;

use crate::rule::Scaling;

/// Why a tensor can't be quantized as asked.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// A dimension is not a multiple of what the block shape needs.
    Dimension {
        /// `"rows"` or `"columns"`, of the input.
        dimension: &'static str,
        /// Its length.
        length: usize,
        /// What it must be a multiple of.
        multiple: usize,
    },
    /// A slice's length does not match the shape.
    Length {
        /// Which slice.
        slice: &'static str,
        /// Its length.
        actual: usize,
        /// The length the shape asks for.
        expected: usize,
    },
    /// A supplied amax is NaN or negative: no tensor has such a largest magnitude.
    Amax {
        /// Its place among those supplied.
        index: usize,
        /// Its bits; NaN would not be equal to itself.
        bits: u32,
    },
    /// Four Over Six with an amax for each row has no columnwise form.
    RowScaledFourOverSixColumnwise,
    /// Scale search with an amax for each row has no columnwise form.
    RowScaledSearchColumnwise,
    /// A transform with 16x16 blocks, or with an amax for each row.
    Transform {
        /// The scaling asked for.
        scaling: Scaling,
    },
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dimension { dimension, length, multiple } => write!(
                f,
                "the tensor has {length} {dimension}, which is not a multiple of {multiple}: pad it"
            ),
            Self::Length { slice, actual, expected } => write!(
                f,
                "{slice} has {actual} elements but the shape asks for {expected}: pass exactly that \
                 many"
            ),
            Self::Amax { index, bits } => write!(
                f,
                "amax {index} is {}, but a largest magnitude is 0 or more: pass that of the values \
                 that are quantized",
                f32::from_bits(*bits)
            ),
            Self::RowScaledSearchColumnwise => write!(
                f,
                "row scaling with scale search has rowwise output only: use tensor or tile scaling, \
                 or the plain rule"
            ),
            Self::Transform { scaling } => write!(
                f,
                "a transform goes with blocks of 1x16 and one amax for the tensor, but {scaling:?} \
                 scaling was asked for: use tensor scaling, or no transform"
            ),
            Self::RowScaledFourOverSixColumnwise => write!(
                f,
                "row scaling with four over six has rowwise output only: use tensor or tile \
                 scaling, or the plain rule"
            ),
        }
    }
}

impl std::error::Error for Error {}
