//! Every block scaled by map4: what Four Over Six would be without its choice.
//!
//! No configuration asks for it; the error study shows it beside the others.

use fouroversix_core::shape::expect_length;
use fouroversix_core::{
    E4m3Max, Element, Error, Nvfp4Tensor, ScaleLayout, Scaling, ShapeError, Values,
};

use crate::amax;
use crate::formats::e2m1;
use crate::path::Path;
use crate::scale::GlobalScale;
use crate::tasks::{self, Part};
use crate::values::with_values;

/// Quantizes `[rows, cols]` rowwise with the map4 candidate of the contract for every block.
///
/// # Errors
/// [`ShapeError::Dimension`] and [`ShapeError::Length`] as [`crate::quantize_outputs`].
pub fn map4<T: Element>(
    input: &[T],
    shape: [usize; 2],
    scaling: Scaling,
    bound: E4m3Max,
) -> Result<Nvfp4Tensor, Error> {
    run(T::values(input), shape, scaling, bound)
}

fn run(
    input: Values<'_>,
    shape: [usize; 2],
    scaling: Scaling,
    bound: E4m3Max,
) -> Result<Nvfp4Tensor, Error> {
    with_values!(input, |input| map4_values(input, shape, scaling, bound))
}

fn map4_values<T: Element>(
    input: &[T],
    shape: [usize; 2],
    scaling: Scaling,
    bound: E4m3Max,
) -> Result<Nvfp4Tensor, Error> {
    let [rows, cols] = shape;
    let block_rows = if scaling == Scaling::Tile { 16 } else { 1 };
    for (dimension, length, multiple) in [("rows", rows, block_rows), ("columns", cols, 16)] {
        if !length.is_multiple_of(multiple) {
            return Err(ShapeError::Dimension { dimension, length, multiple }.into());
        }
    }
    expect_length("the input", input.len(), rows * cols)?;
    let mut global_amax = vec![amax::tensor(Path::Scalar, input, shape.into())];
    if scaling == Scaling::Row {
        global_amax = vec![0.0; rows];
        amax::rows(Path::Scalar, input, shape.into(), &mut global_amax);
    }
    let mut codes = vec![0; rows * cols / 2];
    let mut scales = vec![0; rows * cols / 16];
    let band = (block_rows * cols).max(1);
    let outputs = codes.chunks_mut((band / 2).max(1)).zip(scales.chunks_mut((band / 16).max(1)));
    let parts = outputs.enumerate();
    let parts = parts.map(|(index, (codes, scales))| Part { index, codes, scales, amax: &mut [] });
    tasks::sum(parts.collect(), &|Part { index, codes, scales, .. }| {
        let amax = global_amax[index % global_amax.len()];
        let input = &input[index * band..][..band];
        quantize_band(input, cols, &GlobalScale::new(amax, bound), (codes, scales));
        0
    });
    Ok(Nvfp4Tensor::from_parts(codes, scales, global_amax, shape, ScaleLayout::Linear, bound)?)
}

/// One row, or the 16 rows of tiles that share scales.
fn quantize_band<T: Element>(
    band: &[T],
    cols: usize,
    global: &GlobalScale,
    (codes, scales): (&mut [u8], &mut [u8]),
) {
    for block in 0..cols / 16 {
        let rows = || band.chunks_exact(cols).map(|row| &row[16 * block..][..16]);
        let elements = rows().flatten().map(|x| x.to_f32().abs());
        let scale = global.candidates(elements.fold(0.0, f32::max)).map4;
        for (row, x) in rows().enumerate() {
            scales[row * cols / 16 + block] = scale.code;
            let out = &mut codes[(row * cols + 16 * block) / 2..][..8];
            for (out, pair) in out.iter_mut().zip(x.chunks_exact(2)) {
                let [low, high] = [pair[0], pair[1]].map(|x| e2m1(x.to_f32() * scale.encode));
                *out = low | high << 4;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{dequantize_into, quantize_outputs};
    use fouroversix_core::{Config, ErrorPath, Metric, Outputs, Rule};

    /// About normal: sums of twelve uniform numbers.
    fn normal(seed: u32, length: usize) -> Vec<f32> {
        let mut state = seed;
        let mut uniform = || {
            state ^= state << 13;
            state ^= state >> 17;
            state ^= state << 5;
            state as f32 / 4_294_967_296.0
        };
        (0..length).map(|_| (0..12).map(|_| uniform()).sum::<f32>() - 6.0).collect()
    }

    /// Squared errors of the 1x16 parts of blocks.
    fn errors(tensor: &Nvfp4Tensor, input: &[f32]) -> Vec<f64> {
        let mut values = vec![0.0_f32; input.len()];
        dequantize_into(Path::Scalar, tensor.view(), &mut values).unwrap();
        let square = |(v, x): (&f32, &f32)| (f64::from(*v) - f64::from(*x)).powi(2);
        let blocks = values.chunks_exact(16).zip(input.chunks_exact(16));
        blocks.map(|(v, x)| v.iter().zip(x).map(square).sum()).collect()
    }

    /// Where the library's choice is not map4's bytes, it is not worse; and it chose map4 only
    /// where the bytes are map4's.
    #[test]
    fn is_the_candidate_that_the_library_chooses_or_not() {
        let shape = [64, 512];
        let input = normal(9, 64 * 512);
        for bound in [E4m3Max::M256, E4m3Max::M448] {
            for scaling in [Scaling::Tensor, Scaling::Row] {
                let tensor = map4(&input, shape, scaling, bound).unwrap();
                let (metric, error_path) = (Metric::Mse, ErrorPath::Strict);
                let rule = Rule::FourOverSix { metric, error_path, e4m3_max: bound };
                let layout = ScaleLayout::Linear;
                let config = Config::new(rule, scaling, Outputs::Rowwise, layout).unwrap();
                let chosen = quantize_outputs(Path::best(), &input, shape, &config, None)
                    .unwrap()
                    .rowwise
                    .unwrap();
                let (map4_errors, errors) = (errors(&tensor, &input), errors(&chosen, &input));
                let mut same = 0;
                for block in 0..64 * 32 {
                    let codes = 8 * block..8 * block + 8;
                    if chosen.scales()[block] == tensor.scales()[block] {
                        assert_eq!(chosen.codes()[codes.clone()], tensor.codes()[codes]);
                        same += 1;
                    } else {
                        assert!(errors[block] <= map4_errors[block] * (1.0 + 1e-5), "{block}");
                    }
                }
                // About 45% take map4 with the bound that leaves it room.
                assert!(same > 64 * 32 / 5 && same < 64 * 32 * 4 / 5, "{same}");
            }
        }
    }

    #[test]
    fn a_tile_has_one_scale() {
        let input = normal(2, 32 * 64);
        let tensor = map4(&input, [32, 64], Scaling::Tile, E4m3Max::M256).unwrap();
        for tile in tensor.scales().chunks_exact(16 * 4) {
            assert!(tile.chunks_exact(4).all(|row| row == &tile[..4]));
        }
        let amax = |tile: usize| {
            let rows = (0..16).flat_map(|row| &input[row * 64 + 16 * tile..][..16]);
            rows.fold(0.0, |max: f32, x| max.max(x.abs()))
        };
        let global = GlobalScale::new(tensor.global_amax()[0], E4m3Max::M256);
        for tile in 0..4 {
            assert_eq!(tensor.scales()[tile], global.candidates(amax(tile)).map4.code);
        }
        assert!(map4(&input, [64, 32], Scaling::Tile, E4m3Max::M256).is_ok());
        assert!(map4(&input[..8 * 64], [8, 64], Scaling::Tile, E4m3Max::M256).is_err());
    }
}
