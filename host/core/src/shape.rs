//! Checks of shapes and of the lengths of buffers.

use crate::config::{Config, Scaling};
use crate::error::Error;

/// Checks the shape of an input of `length` elements against what `config` needs.
///
/// # Errors
/// [`Error::Dimension`] when columns are not a multiple of 16, or rows are not and the scaling is by
/// tile or a columnwise output is asked for; [`Error::Length`] when `length` is not `rows·cols`.
pub fn check_shape(length: usize, shape: [usize; 2], config: &Config) -> Result<(), Error> {
    let [rows, cols] = shape;
    if !cols.is_multiple_of(16) {
        return Err(Error::Dimension { dimension: "columns", length: cols, multiple: 16 });
    }
    let rows_in_blocks = config.scaling() == Scaling::Tile || config.outputs().columnwise();
    if rows_in_blocks && !rows.is_multiple_of(16) {
        return Err(Error::Dimension { dimension: "rows", length: rows, multiple: 16 });
    }
    expect_length("the input", length, rows.saturating_mul(cols))
}

/// Checks that a buffer has as many elements as expected.
///
/// # Errors
/// [`Error::Length`] unless `actual` is `expected`.
pub fn expect_length(buffer: &'static str, actual: usize, expected: usize) -> Result<(), Error> {
    if actual == expected { Ok(()) } else { Err(Error::Length { buffer, actual, expected }) }
}
