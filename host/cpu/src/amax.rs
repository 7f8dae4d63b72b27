//! Largest magnitudes (step 1). A maximum is exact, so its order is free.

use fouroversix_core::{Element, InputShape, Values};
use half::slice::HalfFloatSliceExt;
use half::{bf16, f16};

use crate::path::Path;
use crate::simd::dispatch::on_path;
use crate::simd::vector::{Vector, Vectorized, Work};
use crate::tasks;

/// Elements a task reads: large enough to be worth a task, small enough to balance.
const CHUNK: usize = 1 << 17;

/// Columns that a task reads.
const COLUMNS: usize = 128;

/// Of all elements of the rows, NaN ignored; 0 of none. What lies between rows does not count.
pub(crate) fn tensor<T: Element>(path: Path, input: &[T], shape: InputShape) -> f32 {
    if !shape.is_contiguous() {
        let [rows, cols] = shape.matrix();
        return tasks::max(rows, &|row| slice(path, &input[row * shape.row_stride()..][..cols]));
    }
    let chunk = |i| &input[i * CHUNK..input.len().min((i + 1) * CHUNK)];
    tasks::max(input.len().div_ceil(CHUNK), &|i| slice(path, chunk(i)))
}

/// Of each row.
pub(crate) fn rows<T: Element>(path: Path, input: &[T], shape: InputShape, out: &mut [f32]) {
    let [_, cols] = shape.matrix();
    if cols == 0 {
        out.fill(0.0);
        return;
    }
    tasks::fill(out, &|row| slice(path, &input[row * shape.row_stride()..][..cols]));
}

/// [`tensor`] in one task.
pub(crate) fn slice<T: Element>(path: Path, input: &[T]) -> f32 {
    // SAFETY (all three): the path is available.
    match T::values(input) {
        Values::Bf16(input) => {
            let (bits, infinity) = (input.reinterpret_cast(), bf16::INFINITY.to_bits());
            // SAFETY: as above.
            bf16::from_bits(unsafe { on_path(path, OfU16 { bits, infinity }) }).to_f32()
        }
        Values::F16(input) => {
            let (bits, infinity) = (input.reinterpret_cast(), f16::INFINITY.to_bits());
            // SAFETY: as above.
            f16::from_bits(unsafe { on_path(path, OfU16 { bits, infinity }) }).to_f32()
        }
        // SAFETY: as above.
        Values::F32(input) => unsafe { on_path(path, OfF32(input)) },
    }
}

/// The largest magnitude among the bits of 16-bit floats whose infinity is `infinity`. As integers
/// magnitudes have their own order, with NaN on top; only where there is one it is sorted out.
struct OfU16<'a> {
    bits: &'a [u16],
    infinity: u16,
}

impl Vectorized for OfU16<'_> {
    type Output = u16;

    unsafe fn run_on<V: Vector>(self) -> u16 {
        // SAFETY: the caller's.
        unsafe { V::enable(self) }
    }
}

impl<V: Vector> Work<V> for OfU16<'_> {
    type Output = u16;

    #[inline(always)]
    unsafe fn run(self) -> u16 {
        let Self { bits, infinity } = self;
        let (words, rest) = (bits.len() / 2, bits.len() % 2);
        // SAFETY: the caller's; these words are in the slice.
        let max = unsafe { largest::<V>(bits.as_ptr().cast(), words, 0x7FFF_7FFF, V::max_u16) };
        let max =
            max.into_iter().fold(0, |max, pair| max.max(pair as u16).max((pair >> 16) as u16));
        let max = bits[bits.len() - rest..].iter().fold(max, |max, bits| max.max(bits & 0x7FFF));
        if max <= infinity {
            return max;
        }
        let numbers = bits.iter().map(|bits| bits & 0x7FFF).filter(|bits| *bits <= infinity);
        numbers.max().unwrap_or(0)
    }
}

/// [`OfU16`] for FP32.
struct OfF32<'a>(&'a [f32]);

impl Vectorized for OfF32<'_> {
    type Output = f32;

    unsafe fn run_on<V: Vector>(self) -> f32 {
        // SAFETY: the caller's.
        unsafe { V::enable(self) }
    }
}

impl<V: Vector> Work<V> for OfF32<'_> {
    type Output = f32;

    #[inline(always)]
    unsafe fn run(self) -> f32 {
        let infinity = f32::INFINITY.to_bits();
        let (from, words) = (self.0.as_ptr().cast(), self.0.len());
        // SAFETY: the caller's; these words are in the slice.
        let max = unsafe { largest::<V>(from, words, 0x7FFF_FFFF, V::max_u32) };
        let max = max.into_iter().fold(0, u32::max);
        let bits = |x: &f32| x.to_bits() & 0x7FFF_FFFF;
        if max <= infinity {
            return f32::from_bits(max);
        }
        let numbers = self.0.iter().map(bits).filter(|bits| *bits <= infinity);
        f32::from_bits(numbers.max().unwrap_or(0))
    }
}

/// Lanes with the largest of `count` masked words, in any order, and zeros. Eight places are read in turns: a
/// core foresees more of what it will read, and waits less for memory.
///
/// # Safety
/// As [`Vector`]; the words are readable, at any alignment.
#[inline(always)]
unsafe fn largest<V: Vector>(
    from: *const u32,
    count: usize,
    mask: u32,
    larger: unsafe fn(V::U, V::U) -> V::U,
) -> [u32; 16] {
    // SAFETY: the caller's; 16 is at least LANES.
    unsafe {
        let mask_all = V::splat_u(mask);
        let mut max = [V::splat_u(0); 4];
        let runs = count / (8 * 4 * V::LANES);
        for run in 0..runs {
            for part in 0..8 {
                let from = from.add((part * runs + run) * 4 * V::LANES);
                for (k, max) in max.iter_mut().enumerate() {
                    let words = V::load_u32(from.add(k * V::LANES));
                    *max = larger(*max, V::and(words, mask_all));
                }
            }
        }
        let [a, b, c, d] = max;
        let mut max = larger(larger(a, b), larger(c, d));
        for i in runs * 8 * 4 * V::LANES..count {
            max = larger(max, V::splat_u(from.add(i).read_unaligned() & mask));
        }
        let mut lanes = [0.0_f32; 16];
        V::store(V::from_bits(max), lanes.as_mut_ptr());
        lanes.map(f32::to_bits)
    }
}

/// Of each column, of rows `stride` apart.
pub(crate) fn columns<T: Element>(input: &[T], stride: usize, out: &mut [f32]) {
    tasks::fill_parts(out, COLUMNS, &|part, out| {
        out.fill(0.0);
        for row in input.chunks(stride) {
            for (max, x) in out.iter_mut().zip(&row[COLUMNS * part..]) {
                *max = max.max(x.to_f32().abs());
            }
        }
    });
}
