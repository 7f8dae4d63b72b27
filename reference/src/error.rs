//! What is refused.

use std::fmt;

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
    /// Four Over Six with an amax for each row has no columnwise form.
    RowScaledFourOverSixColumnwise,
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
            Self::RowScaledFourOverSixColumnwise => write!(
                f,
                "row scaling with four over six has rowwise output only: use tensor or tile \
                 scaling, or the plain rule"
            ),
        }
    }
}

impl std::error::Error for Error {}
