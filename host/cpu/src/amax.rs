//! Largest magnitudes. A maximum is exact, so its order is free.

use rayon::prelude::*;

use super::Path;
use crate::element::CpuElement;

/// Elements a task reads: large enough to be worth a task, small enough to balance.
const CHUNK: usize = 1 << 17;

pub(super) fn tensor<T: CpuElement>(path: Path, input: &[T]) -> f32 {
    input.par_chunks(CHUNK).map(|chunk| slice(path, chunk)).reduce(|| 0.0, f32::max)
}

pub(super) fn rows<T: CpuElement>(path: Path, input: &[T], cols: usize, out: &mut [f32]) {
    if cols == 0 {
        out.fill(0.0);
        return;
    }
    input.par_chunks(cols).zip(out).for_each(|(row, out)| *out = slice(path, row));
}

pub(super) fn slice<T: CpuElement>(path: Path, input: &[T]) -> f32 {
    // SAFETY: the path is available.
    unsafe { T::amax(path, input) }
}

/// The largest magnitude among the bits of 16-bit floats whose infinity is `infinity`. As integers
/// magnitudes have their own order, with NaN on top; only where there is one it is sorted out.
#[inline(always)]
pub(super) fn of_u16(bits: &[u16], infinity: u16) -> u16 {
    let max = bits.iter().fold(0, |max, bits| max.max(bits & 0x7FFF));
    if max <= infinity {
        return max;
    }
    let numbers = bits.iter().map(|bits| bits & 0x7FFF).filter(|bits| *bits <= infinity);
    numbers.max().unwrap_or(0)
}

/// [`of_u16`] for FP32.
#[inline(always)]
pub(super) fn of_f32(input: &[f32]) -> f32 {
    let infinity = f32::INFINITY.to_bits();
    let bits = |x: &f32| x.to_bits() & 0x7FFF_FFFF;
    let max = input.iter().fold(0, |max, x| bits(x).max(max));
    if max <= infinity {
        return f32::from_bits(max);
    }
    let numbers = input.iter().map(bits).filter(|bits| *bits <= infinity);
    f32::from_bits(numbers.max().unwrap_or(0))
}

/// Of the columns from `first` on, one for each element of `out`, of rows of `cols`.
pub(super) fn columns<T: CpuElement>(
    _path: Path,
    input: &[T],
    cols: usize,
    first: usize,
    out: &mut [f32],
) {
    out.fill(0.0);
    for row in input.chunks_exact(cols) {
        for (max, x) in out.iter_mut().zip(&row[first..]) {
            *max = max.max(x.to_f32().abs());
        }
    }
}
