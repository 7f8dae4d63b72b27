//! Dequantization.

use rayon::prelude::*;

use super::Path;
use super::formats::{E2M1_SIGNED, E4M3};
use crate::dequantize::Deviation;
use crate::element::Element;
use crate::tensor::Nvfp4View;

pub(super) fn dequantize<T: Element>(_path: Path, tensor: &Nvfp4View<'_>, out: &mut [T]) {
    let cols = tensor.shape[1];
    if cols == 0 {
        return;
    }
    out.par_chunks_mut(cols).enumerate().for_each(|(row, out)| {
        for (block, out) in out.chunks_exact_mut(16).enumerate() {
            let values = block_values(tensor, row, block);
            for (out, value) in out.iter_mut().zip(values) {
                *out = T::from_f32(value);
            }
        }
    });
}

pub(super) fn deviation<T: Element>(tensor: &Nvfp4View<'_>, input: &[T]) -> Deviation {
    let cols = tensor.shape[1];
    if cols == 0 {
        return Deviation::default();
    }
    let row_deviation = |(row, input): (usize, &[T])| {
        let mut sum = Deviation::default();
        for (block, input) in input.chunks_exact(16).enumerate() {
            let values = block_values(tensor, row, block);
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

fn block_values(tensor: &Nvfp4View<'_>, row: usize, block: usize) -> [f32; 16] {
    let cols = tensor.shape[1];
    let scale = tensor.scales[tensor.scale_layout.offset(cols, row, block)];
    let amax = match tensor.global_amax {
        [one] => *one,
        rows => rows[row],
    };
    let full_range = 6.0 * tensor.e4m3_max.value();
    let scale = E4M3[usize::from(scale)] * amax * (1.0 / full_range);
    let start = row * (cols / 2) + block * 8;
    let codes = &tensor.codes[start..start + 8];
    std::array::from_fn(|i| {
        let code = codes[i / 2] >> (4 * (i % 2)) & 0xF;
        E2M1_SIGNED[usize::from(code)] * scale
    })
}
