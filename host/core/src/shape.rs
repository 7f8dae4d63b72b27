//! Shapes and the lengths of buffers: what is refused.

use std::fmt;

/// A shape that is not one of NVFP4, or that a buffer or a launch does not suit. `Display` names
/// the offending value and the remedy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ShapeError {
    /// A dimension is not a multiple of what the block shape needs.
    Dimension {
        /// `"rows"` or `"columns"`; of a panel also its place.
        dimension: &'static str,
        /// Its length.
        length: usize,
        /// What it must be a multiple of.
        multiple: usize,
    },
    /// A buffer's length does not match its shape.
    Length {
        /// Which buffer.
        buffer: &'static str,
        /// Its length in elements.
        actual: usize,
        /// The length that the shape asks for.
        expected: usize,
    },
    /// More elements than memory or one launch can index.
    TooLarge {
        /// Rows.
        rows: usize,
        /// Columns.
        cols: usize,
    },
    /// A panel that is not within its tensor.
    Panel {
        /// Rows above it.
        first_row: usize,
        /// Its rows.
        rows: usize,
        /// Rows of the whole tensor.
        whole: usize,
    },
    /// Rows that overlap or whose elements are not next to each other.
    Stride {
        /// The strides passed, in elements.
        strides: [usize; 2],
        /// The strides that work; a larger first one does too where gaps are allowed.
        expected: [usize; 2],
    },
}

impl fmt::Display for ShapeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dimension { dimension, length, multiple } => write!(
                f,
                "the tensor has {length} {dimension}, which is not a multiple of {multiple}: pad it \
                 or leave it unquantized"
            ),
            Self::Length { buffer, actual, expected } => write!(
                f,
                "{buffer} holds {actual} elements but its shape asks for {expected}: pass a buffer \
                 of exactly that length"
            ),
            Self::TooLarge { rows, cols } => write!(
                f,
                "a tensor of {rows} x {cols} is more than one launch can index: split it along its \
                 longer side"
            ),
            Self::Panel { first_row, rows, whole } => write!(
                f,
                "a panel of {rows} rows from row {first_row} on is not within the {whole} rows of its \
                 tensor: pass its place and the rows of the whole"
            ),
            Self::Stride { strides, expected } => write!(
                f,
                "the input has strides {strides:?} in elements, but {expected:?} is needed: make it \
                 contiguous and row-major"
            ),
        }
    }
}

impl std::error::Error for ShapeError {}

/// Checks that a dimension, `"rows"` or `"columns"`, is made of whole blocks.
///
/// # Errors
/// [`ShapeError::Dimension`] unless `length` is a multiple of 16.
pub const fn check_dimension(dimension: &'static str, length: usize) -> Result<(), ShapeError> {
    if length.is_multiple_of(16) {
        Ok(())
    } else {
        Err(ShapeError::Dimension { dimension, length, multiple: 16 })
    }
}

/// Checks that a buffer has as many elements as expected.
///
/// # Errors
/// [`ShapeError::Length`] unless `actual` is `expected`.
pub const fn expect_length(
    buffer: &'static str,
    actual: usize,
    expected: usize,
) -> Result<(), ShapeError> {
    if actual == expected { Ok(()) } else { Err(ShapeError::Length { buffer, actual, expected }) }
}
