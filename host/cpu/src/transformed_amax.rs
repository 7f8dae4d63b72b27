//! The largest magnitude of transformed blocks (step T2), without writing them anywhere.
//!
//! Rounding keeps the order, so the largest sum is enough, and it alone is rounded. No sum is above
//! the sum of its block's magnitudes: a group in which that is below the largest sum so far is not
//! transformed. In FP32 both are off by what their additions round: four in a row, 15 in a row, so that a
//! factor of `(1 + 2^-24)^4 / (1 - 2^-24)^15 < 1 + 2^-19` covers it; sums below 2^-126 are exact.

use std::sync::atomic::{AtomicU32, Ordering};

use crate::elements::{Columns, Elements, Rows, Steps};
use crate::group::Load;
use crate::path::Path;
use crate::simd::dispatch::on_path;
use crate::simd::vector::{Vector, Vectorized, Work, outlined};
use crate::strip::Source;
use crate::tasks;
use crate::transform::{Transform, rounded, sums};

/// Elements a task reads.
const CHUNK: usize = 1 << 17;

/// Of all elements of a source, each block transformed; NaN is ignored, and 0 is the largest of none.
pub(crate) fn transformed<T: Load>(
    path: Path,
    source: &Source<'_, T>,
    transform: &Transform,
) -> f32 {
    let Source { input, lines, length, stride, columns, .. } = *source;
    if lines == 0 || length == 0 {
        return 0.0;
    }
    let largest = Largest { path, transform, sum: AtomicU32::new(0) };
    let sum = if columns {
        let rows = |i| &input[16 * stride * i..];
        tasks::max(length / 16, &|i| largest.columns(rows(i), source))
    } else if source.is_contiguous() {
        let blocks = |i| &input[CHUNK * i..input.len().min(CHUNK * (i + 1))];
        tasks::max(input.len().div_ceil(CHUNK), &|i| largest.line(blocks(i)))
    } else {
        tasks::max(lines, &|line| largest.line(source.lines(line, 1)))
    };
    rounded::<T>(sum)
}

/// The largest sum so far, of any task.
struct Largest<'a> {
    path: Path,
    transform: &'a Transform,
    /// Bits of a magnitude: their order is that of magnitudes.
    sum: AtomicU32,
}

impl Largest<'_> {
    /// Consecutive blocks.
    fn line<T: Load>(&self, blocks: &[T]) -> f32 {
        let lanes = self.path.lanes();
        let (groups, rest) = blocks.split_at(blocks.len() / (16 * lanes) * (16 * lanes));
        let steps = Steps::of(16 * lanes);
        let rows = |from: &[T]| Rows { from: from.as_ptr(), stride: 16, steps };
        // SAFETY: whole groups are in the slice.
        let sum = unsafe { self.groups(&rows(groups), groups.len() / (16 * lanes)) };
        if rest.is_empty() {
            return sum;
        }
        // Zeros change no maximum.
        let mut last = [T::from_f32(0.0); 256];
        last[..rest.len()].copy_from_slice(rest);
        // SAFETY: a group has 16 blocks at most.
        unsafe { self.groups(&rows(&last), 1) }
    }

    /// 16 rows, whose columns are blocks.
    fn columns<T: Load>(&self, rows: &[T], source: &Source<'_, T>) -> f32 {
        let (lanes, stride) = (self.path.lanes(), source.stride);
        assert!(rows.len() >= 15 * stride + source.lines, "16 rows");
        let columns = Columns { from: rows.as_ptr(), stride, step: lanes, ahead: true };
        // SAFETY: as asserted; columns are a multiple of 16, and so of the lanes.
        unsafe { self.groups(&columns, source.lines / lanes) }
    }

    /// # Safety
    /// The path is available, and there are `count` groups.
    unsafe fn groups<E: Elements>(&self, elements: &E, count: usize) -> f32 {
        let largest = f32::from_bits(self.sum.load(Ordering::Relaxed));
        let search = Search { elements, count, transform: self.transform, largest };
        // SAFETY: the caller's.
        let found = unsafe {
            match self.path {
                Path::Scalar => search.one_by_one(),
                path => on_path(path, search),
            }
        };
        self.sum.fetch_max(found.to_bits(), Ordering::Relaxed);
        found
    }
}

/// A search for sums larger than the largest so far, which comes out.
struct Search<'a, E> {
    elements: &'a E,
    count: usize,
    transform: &'a Transform,
    largest: f32,
}

impl<E: Elements> Search<'_, E> {
    /// Groups of one block, all of them.
    ///
    /// # Safety
    /// The blocks exist.
    unsafe fn one_by_one(self) -> f32 {
        (0..self.count).fold(self.largest, |largest, index| {
            // SAFETY: the caller's.
            let block = unsafe { self.elements.block(index, 0) };
            largest_sum(self.transform, &block, largest)
        })
    }
}

/// `f32::max` drops NaN.
fn largest_sum(transform: &Transform, block: &[f32; 16], largest: f32) -> f32 {
    transform.block_sums(block).iter().fold(largest, |largest, sum| largest.max(sum.abs()))
}

impl<E: Elements> Vectorized for Search<'_, E> {
    type Output = f32;

    unsafe fn run_on<V: Vector>(self) -> f32 {
        // SAFETY: the caller's.
        unsafe { V::enable(self) }
    }
}

impl<V: Vector, E: Elements> Work<V> for Search<'_, E> {
    type Output = f32;

    #[inline(always)]
    unsafe fn run(self) -> f32 {
        let Self { elements, count, transform, mut largest } = self;
        // SAFETY: the caller's.
        unsafe {
            let slack = V::splat(1.0 + 1.0 / 262_144.0);
            for index in 0..count {
                let bound = elements.bound::<V>(index);
                // A NaN is not below anything.
                if !V::all(V::gt(V::splat(largest), V::mul(bound, slack))) {
                    largest = outlined::<V, _>(OfGroup { elements, index, transform, largest });
                }
            }
            largest
        }
    }
}

/// One group, transformed.
struct OfGroup<'a, E> {
    elements: &'a E,
    index: usize,
    transform: &'a Transform,
    largest: f32,
}

impl<V: Vector, E: Elements> Work<V> for OfGroup<'_, E> {
    type Output = f32;

    #[inline(always)]
    unsafe fn run(self) -> f32 {
        let Self { elements, index, transform, largest } = self;
        // SAFETY: the caller's; 16 is at least LANES.
        unsafe {
            let raw = elements.raw::<V>(index, 0);
            let sums = sums::<V>(E::Element::signed::<V>(raw, &transform.0));
            let mut max = V::splat_u(0);
            for sum in sums {
                max = V::max_u32(max, V::and(V::to_bits(sum), V::splat_u(0x7FFF_FFFF)));
            }
            let mut lanes = [0.0_f32; 16];
            V::store(V::from_bits(max), lanes.as_mut_ptr());
            let max = lanes.iter().take(V::LANES).fold(0, |max, lane| lane.to_bits().max(max));
            if max <= f32::INFINITY.to_bits() {
                return largest.max(f32::from_bits(max));
            }
            // NaN is on top: the blocks one by one.
            (0..V::LANES).fold(largest, |largest, lane| {
                largest_sum(transform, &elements.block(index, lane), largest)
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::on_every_vector;

    #[test]
    fn every_eight_lanes_are_added() {
        fn check<V: Vector>() {
            let values: Vec<f32> = (0..8 * V::LANES).map(|i| (i * i) as f32).collect();
            let mut sums = [0.0_f32; 16];
            // SAFETY: the path is available; 16 is at least LANES.
            unsafe {
                let lanes = std::array::from_fn(|k| V::load(values[k * V::LANES..].as_ptr()));
                V::store(V::sums_of_eight(lanes), sums.as_mut_ptr());
            }
            let mut sums = sums[..V::LANES].to_vec();
            sums.sort_by(f32::total_cmp);
            // They grow with the lane.
            let expected: Vec<f32> = values.chunks_exact(8).map(|c| c.iter().sum()).collect();
            assert_eq!(sums, expected);
        }
        on_every_vector!(check);
    }
}
