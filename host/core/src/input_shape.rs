//! Where the elements of an input lie.

use crate::config::{Config, Panel, Scaling};
use crate::shape::{ShapeError, check_dimension, expect_length};

/// The shape of an input, and where its rows start.
///
/// An input is rows of elements. Made from an array it is contiguous; leading dimensions are
/// flattened: `[batch, tokens, features]` is `[batch · tokens, features]`. With a row stride there
/// may be gaps between rows, as in a slice of columns of a wider matrix.
///
/// # Examples
/// ```
/// use fouroversix_core::InputShape;
///
/// assert_eq!(InputShape::from([2, 3, 64]).matrix(), [6, 64]);
/// // The first 64 of 80 columns.
/// let part = InputShape::from([6, 64]).with_row_stride(80);
/// assert_eq!(part.row_stride(), 80);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct InputShape {
    rows: usize,
    cols: usize,
    row_stride: usize,
}

impl<const N: usize> From<[usize; N]> for InputShape {
    /// Contiguous. No dimensions are one element.
    fn from(dimensions: [usize; N]) -> Self {
        Self::from(dimensions.as_slice())
    }
}

impl From<&[usize]> for InputShape {
    /// Contiguous. No dimensions are one element.
    fn from(dimensions: &[usize]) -> Self {
        let (cols, leading) = dimensions.split_last().map_or((1, dimensions), |(k, m)| (*k, m));
        // Beyond memory: no input has such a length.
        let rows = leading.iter().fold(1, |rows: usize, m| rows.saturating_mul(*m));
        Self { rows, cols, row_stride: cols }
    }
}

impl InputShape {
    /// The same with `row_stride` elements from the start of a row to that of the next: as many as
    /// a row has, or more.
    #[must_use]
    pub const fn with_row_stride(self, row_stride: usize) -> Self {
        Self { row_stride, ..self }
    }

    /// `[rows, cols]`, in elements.
    #[must_use]
    pub const fn matrix(self) -> [usize; 2] {
        [self.rows, self.cols]
    }

    /// Elements from the start of a row to that of the next.
    #[must_use]
    pub const fn row_stride(self) -> usize {
        self.row_stride
    }

    /// Whether rows lie next to each other.
    #[must_use]
    pub const fn is_contiguous(self) -> bool {
        self.row_stride == self.cols || self.rows <= 1
    }

    /// Elements from the first to the last, gaps between them included: what is read of a slice.
    #[must_use]
    pub const fn extent(self) -> usize {
        let Self { rows, cols, row_stride } = self;
        match rows {
            0 => 0,
            _ => (rows - 1).saturating_mul(row_stride).saturating_add(cols),
        }
    }

    /// Checks that rows do not overlap and that a slice of `length` elements is these rows. A gap
    /// after the last row may be there or not.
    ///
    /// # Errors
    /// [`ShapeError::Stride`] for a row stride below the number of columns, [`ShapeError::Length`]
    /// for a slice that is shorter or longer.
    pub fn check(self, length: usize) -> Result<(), ShapeError> {
        let Self { rows, cols, row_stride } = self;
        let (extent, whole) = (self.extent(), rows.saturating_mul(row_stride));
        if row_stride < cols {
            let (strides, expected) = ([row_stride, 1], [cols, 1]);
            Err(ShapeError::Stride { strides, expected })
        } else if extent <= length && length <= whole {
            Ok(())
        } else {
            expect_length("the input", length, extent)
        }
    }
}

/// Checks the shape of an input of `length` elements against what `config` needs.
///
/// # Errors
/// [`ShapeError::Dimension`] when columns are not a multiple of 16, or rows are not and the scaling
/// is by tile or a columnwise output is asked for (of a panel also its place); [`ShapeError::Panel`] for
/// a panel that is not within its tensor; as [`InputShape::check`].
pub fn check_shape(length: usize, shape: InputShape, config: &Config) -> Result<(), ShapeError> {
    let [rows, cols] = shape.matrix();
    check_dimension("columns", cols)?;
    if config.scaling() == Scaling::Tile || config.outputs().columnwise() {
        check_dimension("rows", rows)?;
    }
    if let Some(Panel { first_row, rows: whole }) = config.panel() {
        if config.outputs().columnwise() {
            check_dimension("rows above the panel", first_row)?;
            check_dimension("rows in the whole tensor", whole)?;
        }
        if first_row > whole || whole - first_row < rows {
            return Err(ShapeError::Panel { first_row, rows, whole });
        }
    }
    shape.check(length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leading_dimensions_are_flattened() {
        assert_eq!(InputShape::from([4, 32]).matrix(), [4, 32]);
        assert_eq!(InputShape::from([2, 3, 4, 32]).matrix(), [24, 32]);
        assert_eq!(InputShape::from([32]).matrix(), [1, 32]);
        assert_eq!(InputShape::from([2, 0, 32]).matrix(), [0, 32]);
        assert_eq!(InputShape::from([0usize; 0]).matrix(), [1, 1]);
        assert_eq!(InputShape::from([usize::MAX, 2, 16]).matrix(), [usize::MAX, 16]);
    }

    #[test]
    fn lengths_and_strides_are_checked() {
        let wide = InputShape::from([3, 16]).with_row_stride(20);
        for (length, fits) in [(55, false), (56, true), (60, true), (61, false)] {
            assert_eq!(wide.check(length).is_ok(), fits, "{length}");
        }
        let overlapping = InputShape::from([3, 16]).with_row_stride(15);
        let refused = ShapeError::Stride { strides: [15, 1], expected: [16, 1] };
        assert_eq!(overlapping.check(48), Err(refused));
        let one = InputShape::from([1, 16]).with_row_stride(20);
        for (length, fits) in [(15, false), (16, true), (20, true), (21, false)] {
            assert_eq!(one.check(length).is_ok(), fits, "{length}");
        }
        assert_eq!(InputShape::from([0, 16]).with_row_stride(20).check(0), Ok(()));
        assert!(InputShape::from([2, 16]).check(33).is_err());
        assert!(InputShape::from([usize::MAX, 2, 16]).check(64).is_err());
    }
}
