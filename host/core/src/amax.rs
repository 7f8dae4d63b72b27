//! A global amax from the caller.

use std::fmt;

use crate::debug::Few;

/// A global amax that the caller supplies in place of the one computed from the input.
///
/// It is used as it is: with a value below the input's own maximum elements saturate at ±6 times
/// the largest block scale.
#[derive(Clone, Copy, PartialEq)]
pub enum Amax<'a> {
    /// For [`Scaling::Tensor`](crate::Scaling::Tensor) and [`Scaling::Tile`](crate::Scaling::Tile).
    Tensor(f32),
    /// As [`Amax::Tensor`], one for each output: with a transform their values differ, and each amax
    /// is that of the output's transformed values. One of an output that is not asked for is not
    /// looked at.
    Outputs {
        /// For the rowwise output.
        rowwise: f32,
        /// For the columnwise output.
        columnwise: f32,
    },
    /// For [`Scaling::Row`](crate::Scaling::Row) with rowwise output: one for each row of the input.
    Rows(&'a [f32]),
    /// For [`Scaling::Row`](crate::Scaling::Row) with a columnwise output (plain rule only): one for each row of the
    /// input and one for each column. The rows' are not looked at unless rowwise output is asked
    /// for too.
    RowsAndColumns {
        /// One for each row.
        rows: &'a [f32],
        /// One for each column.
        columns: &'a [f32],
    },
}

impl fmt::Debug for Amax<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tensor(amax) => f.debug_tuple("Tensor").field(amax).finish(),
            Self::Outputs { rowwise, columnwise } => f
                .debug_struct("Outputs")
                .field("rowwise", rowwise)
                .field("columnwise", columnwise)
                .finish(),
            Self::Rows(rows) => f.debug_tuple("Rows").field(&Few(rows)).finish(),
            Self::RowsAndColumns { rows, columns } => f
                .debug_struct("RowsAndColumns")
                .field("rows", &Few(rows))
                .field("columns", &Few(columns))
                .finish(),
        }
    }
}
