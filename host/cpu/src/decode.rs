//! Dequantization (step 12).

use fouroversix_core::{Deviation, Element, Nvfp4View, ScaleLayout};
use half::slice::HalfFloatSliceExt;
use half::{bf16, f16};
use rayon::prelude::*;

use crate::formats::{E2M1_SIGNED, E4M3};
use crate::path::Path;
use crate::simd::dispatch::on_path;
use crate::simd::vector::{Vector, Vectorized, Work};

/// Elements of a task: its input and output stay in a core's cache.
const CHUNK: usize = 1 << 16;

pub(crate) fn dequantize<T: Decode>(path: Path, tensor: &Nvfp4View<'_>, out: &mut [T]) {
    let cols = tensor.shape[1];
    if cols == 0 {
        return;
    }
    let rows = (CHUNK / cols).max(1);
    out.par_chunks_mut(rows * cols).enumerate().for_each(|(chunk, out)| {
        let mut factors = vec![0.0; cols / 16];
        for (local, out) in out.chunks_exact_mut(cols).enumerate() {
            let row = chunk * rows + local;
            row_factors(tensor, row, &mut factors);
            let codes = &tensor.codes[row * (cols / 2)..][..cols / 2];
            // SAFETY: the path is available.
            unsafe { on_path(path, Blocks { codes, factors: &factors, out }) };
        }
    });
}

/// An element type as dequantization makes it.
pub(crate) trait Decode: Element {
    /// Whether it has 16 bits, and [`Decode::words`].
    const HALF: bool;

    /// Its bits for the eight magnitudes times `factor`, which is not NaN.
    fn words(factor: f32) -> [u16; 8];
}

/// The products of the eight magnitudes with `factor`.
#[inline(always)]
fn products(factor: f32) -> [f32; 8] {
    std::array::from_fn(|i| E2M1_SIGNED[i] * factor)
}

impl Decode for f32 {
    const HALF: bool = false;

    fn words(_factor: f32) -> [u16; 8] {
        [0; 8]
    }
}

impl Decode for bf16 {
    const HALF: bool = true;

    #[inline(always)]
    fn words(factor: f32) -> [u16; 8] {
        // To nearest even: carries into the exponent are right, up to infinity.
        products(factor).map(|value| {
            let bits = value.to_bits();
            ((bits + 0x7FFF + (bits >> 16 & 1)) >> 16) as u16
        })
    }
}

impl Decode for f16 {
    const HALF: bool = true;

    #[inline(always)]
    fn words(factor: f32) -> [u16; 8] {
        let mut rounded = [Self::ZERO; 8];
        rounded.convert_from_f32_slice(&products(factor));
        rounded.map(Self::to_bits)
    }
}

/// Decodes consecutive blocks. A block has eight magnitudes: those of 16-bit types are scaled and
/// rounded once, and the elements looked up.
struct Blocks<'a, T> {
    codes: &'a [u8],
    /// What each block's codes are multiplied by.
    factors: &'a [f32],
    out: &'a mut [T],
}

impl<T: Decode> Vectorized for Blocks<'_, T> {
    type Output = ();

    unsafe fn run_on<V: Vector>(self) {
        // SAFETY: the caller's.
        unsafe { V::enable(self) }
    }
}

impl<V: Vector, T: Decode> Work<V> for Blocks<'_, T> {
    type Output = ();

    #[inline(always)]
    unsafe fn run(self) {
        let (codes, _) = self.codes.as_chunks::<8>();
        let (out, _) = self.out.as_chunks_mut::<16>();
        for ((codes, factor), out) in codes.iter().zip(self.factors).zip(out) {
            // An infinite factor makes a NaN of zero, whose rounding is `from_f32`'s business.
            if T::HALF && factor.is_finite() {
                // SAFETY: the caller's; `out` has room for 16 elements of 16 bits.
                unsafe { V::look_up(T::words(*factor), codes, out.as_mut_ptr().cast()) };
            } else {
                let value = |code: u8| T::from_f32(E2M1_SIGNED[usize::from(code)] * factor);
                for (pair, code) in out.as_chunks_mut::<2>().0.iter_mut().zip(codes) {
                    *pair = [value(code & 0xF), value(code >> 4)];
                }
            }
        }
    }
}

pub(crate) fn deviation<T: Element>(tensor: &Nvfp4View<'_>, input: &[T]) -> Deviation {
    let cols = tensor.shape[1];
    if cols == 0 {
        return Deviation::default();
    }
    let row_deviation = |(row, input): (usize, &[T])| {
        let mut sum = Deviation::default();
        let mut factors = vec![0.0; cols / 16];
        row_factors(tensor, row, &mut factors);
        for (block, input) in input.chunks_exact(16).enumerate() {
            let values = block_values(tensor, row, block, factors[block]);
            for (x, value) in input.iter().zip(values) {
                let x = f64::from(x.to_f32());
                let error = f64::from(value) - x;
                sum.squared_error += error * error;
                sum.input_power += x * x;
                sum.max_error = sum.max_error.max(error.abs());
            }
        }
        sum
    };
    // Rows are added in order, so that the figures do not depend on the number of threads.
    let rows: Vec<Deviation> = input.par_chunks(cols).enumerate().map(row_deviation).collect();
    rows.into_iter().sum()
}

/// What the codes of each block of a row are multiplied by.
fn row_factors(tensor: &Nvfp4View<'_>, row: usize, factors: &mut [f32]) {
    let amax = match tensor.global_amax {
        [one] => *one,
        rows => rows[row],
    };
    let reciprocal = 1.0 / (6.0 * tensor.e4m3_max.value());
    let factor = |scale: u8| E4M3[usize::from(scale)] * amax * reciprocal;
    match tensor.scale_layout {
        ScaleLayout::Linear => {
            let scales = &tensor.scales[row * factors.len()..];
            factors.iter_mut().zip(scales).for_each(|(to, scale)| *to = factor(*scale));
        }
        ScaleLayout::Swizzled128x4 => {
            let offset = |block| tensor.scale_layout.offset(tensor.shape[1], row, block);
            let blocks = factors.iter_mut().enumerate();
            blocks.for_each(|(block, to)| *to = factor(tensor.scales[offset(block)]));
        }
    }
}

fn block_values(tensor: &Nvfp4View<'_>, row: usize, block: usize, factor: f32) -> [f32; 16] {
    let start = row * (tensor.shape[1] / 2) + block * 8;
    let codes = &tensor.codes[start..start + 8];
    std::array::from_fn(|i| {
        let code = codes[i / 2] >> (4 * (i % 2)) & 0xF;
        E2M1_SIGNED[usize::from(code)] * factor
    })
}
