//! Tensors that a run makes of stored ones as it reads them: an expert's matrix out of a stack,
//! floats out of codes and scales.
//!
//! A [`View`] takes the place of what it is made of in [`super::Checkpoint::tensors`]; rows of it are
//! computed panel by panel ([`super::fill`]), so that no whole matrix is in memory.

use std::collections::HashMap;
use std::ops::Range;

use super::encoding::Encoding;
use super::header::{Dtype, TensorEntry, element_count};

/// Where the ranges of views begin: beyond any file, so that bytes are never taken from one by it.
const NOWHERE: u64 = 1 << 62;

/// Matrices of one shape as they are stored, one after the other.
#[derive(Clone, Debug)]
pub(crate) struct Base {
    /// The tensor that holds them, or their codes.
    pub(crate) codes: String,
    /// How many, their rows and their columns, in elements.
    pub(crate) shape: [usize; 3],
    pub(crate) encoding: Encoding,
}

/// Some rows or columns of some matrices of a [`Base`].
#[derive(Clone, Debug)]
pub(crate) struct Cut {
    pub(crate) matrices: Range<usize>,
    /// Whether rows of the view are columns of the matrices.
    pub(crate) transposed: bool,
    /// The first row (or column) of a matrix and how far it is to the next.
    pub(crate) first: usize,
    pub(crate) step: usize,
    /// Rows of the view that one matrix gives.
    pub(crate) lines: usize,
}

impl Cut {
    /// Whether it takes the same of its matrices.
    pub(crate) const fn same_place(&self, other: &Self) -> bool {
        self.transposed == other.transposed
            && self.first == other.first
            && self.step == other.step
            && self.lines == other.lines
    }
}

/// A tensor that is made of others.
#[derive(Clone, Debug)]
pub(crate) struct View {
    /// Its name, type and shape; of the range only the length means something: the bytes it takes of
    /// the tensor that it is made of.
    pub(crate) entry: TensorEntry,
    pub(crate) base: Base,
    pub(crate) cut: Cut,
}

/// The views of a checkpoint.
#[derive(Clone, Debug, Default)]
pub(crate) struct Views {
    /// What stands in the place of a stored tensor; nothing where it is part of another view.
    pub(crate) instead: HashMap<String, Vec<View>>,
    /// By the view's name: the stored tensor and the place in its list.
    by_name: HashMap<String, (String, usize)>,
}

impl Views {
    /// Puts `views` in the place of the stored tensor `stored`, and of what was there before.
    pub(crate) fn put(&mut self, stored: &str, views: Vec<View>) {
        for former in self.instead.remove(stored).into_iter().flatten() {
            self.by_name.remove(&former.entry.name);
        }
        for (i, view) in views.iter().enumerate() {
            self.by_name.insert(view.entry.name.clone(), (stored.to_owned(), i));
        }
        self.instead.insert(stored.to_owned(), views);
    }

    /// The view called `name`, and the stored tensor in whose place it is.
    pub(crate) fn get(&self, name: &str) -> Option<(&str, &View)> {
        let (stored, i) = self.by_name.get(name)?;
        Some((stored, &self.instead[stored][*i]))
    }
}

impl View {
    pub(crate) fn new(name: String, dtype: Dtype, shape: Vec<usize>, base: Base, cut: Cut) -> Self {
        let elements = element_count(&shape).unwrap_or(0);
        let bytes = elements * base.encoding.bits() / 8;
        let entry = TensorEntry { name, dtype, shape, range: NOWHERE..NOWHERE + bytes };
        Self { entry, base, cut }
    }

    /// Rows of all its matrices, and columns.
    pub(crate) fn rows_and_cols(&self) -> [usize; 2] {
        let [_, rows, cols] = self.base.shape;
        let length = if self.cut.transposed { rows } else { cols };
        [self.cut.matrices.len() * self.cut.lines, length]
    }

    /// The encoding that it is read from, if that is none of floats.
    pub(crate) const fn label(&self) -> Option<&'static str> {
        match self.base.encoding {
            Encoding::Floats(_) => None,
            Encoding::Fp8 { .. } => Some("FP8"),
            Encoding::Mxfp4 { .. } => Some("MXFP4"),
        }
    }

    /// The bytes of the stored tensor that `rows` of the view stand for, as progress has them.
    pub(crate) fn progress(&self, rows: &Range<usize>) -> u64 {
        let all = self.rows_and_cols()[0].max(1) as u128;
        let upto = |row: usize| (u128::from(self.entry.bytes()) * row as u128 / all) as u64;
        upto(rows.end) - upto(rows.start)
    }
}
