//! Largest magnitudes. A maximum is exact, so its order is free.

use rayon::prelude::*;

use super::Path;
use crate::element::Element;

/// Elements a task reads: large enough to be worth a task, small enough to balance.
const CHUNK: usize = 1 << 18;

pub(super) fn tensor<T: Element>(_path: Path, input: &[T]) -> f32 {
    input.par_chunks(CHUNK).map(slice).reduce(|| 0.0, f32::max)
}

pub(super) fn rows<T: Element>(_path: Path, input: &[T], cols: usize, out: &mut [f32]) {
    if cols == 0 {
        out.fill(0.0);
        return;
    }
    input.par_chunks(cols).zip(out).for_each(|(row, out)| *out = slice(row));
}

/// NaN is dropped by `f32::max`.
pub(super) fn slice<T: Element>(input: &[T]) -> f32 {
    input.iter().fold(0.0, |max, x| f32::max(max, x.to_f32().abs()))
}
