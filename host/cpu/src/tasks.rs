//! Tasks on rayon's pool. What a task does is behind a pointer: rayon's adapters are compiled here, once,
//! and not for each element type.

use rayon::prelude::*;

/// Threads that tasks run on.
pub(crate) fn threads() -> usize {
    rayon::current_num_threads()
}

/// What one task writes.
pub(crate) struct Part<'a> {
    /// Which of all parts.
    pub(crate) index: usize,
    /// Its codes.
    pub(crate) codes: &'a mut [u8],
    /// Its scales.
    pub(crate) scales: &'a mut [u8],
    /// The amax of its lines, where each has one.
    pub(crate) amax: &'a mut [f32],
}

/// The sum of what `run` returns. Backwards: an amax pass goes forwards, and leaves the end of the input
/// in the cache.
pub(crate) fn sum(parts: Vec<Part<'_>>, run: &(dyn Fn(Part<'_>) -> u64 + Sync)) -> u64 {
    parts.into_par_iter().rev().map(run).sum()
}

/// The sum of `run(0)` to `run(count - 1)`, backwards as [`sum`].
pub(crate) fn count(count: usize, run: &(dyn Fn(usize) -> u64 + Sync)) -> u64 {
    (0..count).into_par_iter().rev().map(run).sum()
}

/// The largest of `run(0)` to `run(count - 1)`, and of 0.
pub(crate) fn max(count: usize, run: &(dyn Fn(usize) -> f32 + Sync)) -> f32 {
    (0..count).into_par_iter().map(run).reduce(|| 0.0, f32::max)
}

/// `run(i, part)` for each part of as many elements.
pub(crate) fn fill_parts(out: &mut [f32], part: usize, run: &(dyn Fn(usize, &mut [f32]) + Sync)) {
    out.par_chunks_mut(part).enumerate().for_each(|(i, part)| run(i, part));
}

/// `run(i)` for each element `i`.
pub(crate) fn fill(out: &mut [f32], run: &(dyn Fn(usize) -> f32 + Sync)) {
    out.par_iter_mut().enumerate().for_each(|(i, out)| *out = run(i));
}
