//! Inputs with gaps between rows, and with more than two dimensions: the bits of a contiguous copy.

use fouroversix_core::{
    Config, Element, Error, InputShape, Outputs, Rule, ScaleLayout, Scaling, ShapeError,
};
use fouroversix_cpu::{Path, quantize_outputs, row_amax};
use half::{bf16, f16};

/// Elements of many magnitudes, none of them special.
fn elements<T: Element>(count: usize) -> Vec<T> {
    let value = |i: usize| ((i as f32) * 0.37).sin() * (1.0 + (i % 53) as f32);
    (0..count).map(|i| T::from_f32(value(i))).collect()
}

/// Rows `stride` apart, and between them values that would show in every maximum.
fn with_gaps<T: Element>(input: &[T], [rows, cols]: [usize; 2], stride: usize) -> Vec<T> {
    let gap = |i: usize| T::from_f32(if i.is_multiple_of(2) { 1e4 } else { f32::NAN });
    let mut wide: Vec<T> = (0..rows * stride).map(gap).collect();
    for (to, from) in wide.chunks_mut(stride).zip(input.chunks(cols)) {
        to[..cols].copy_from_slice(from);
    }
    wide
}

fn configs() -> Vec<Config> {
    let mut configs = Vec::new();
    for rule in [Rule::Plain, Rule::MAE, Rule::MSE_FAST] {
        for scaling in Scaling::ALL {
            for outputs in Outputs::ALL {
                let defined = |layout| Config::new(rule, scaling, outputs, layout).ok();
                configs.extend(ScaleLayout::ALL.into_iter().filter_map(defined));
            }
        }
    }
    configs
}

fn assert_strided_is_contiguous<T: Element>(path: Path, shape: [usize; 2]) {
    let [rows, cols] = shape;
    let input = elements::<T>(rows * cols);
    for stride in [cols + 1, cols + 16, 3 * cols] {
        let wide = with_gaps(&input, shape, stride);
        let strided = InputShape::from(shape).with_row_stride(stride);
        let context = format!("{path:?} {:?} {shape:?} stride {stride}", T::TYPE);
        for config in configs() {
            let expected = quantize_outputs(path, &input, shape, &config, None).unwrap();
            // With the gap after the last row and without.
            for end in [rows * stride, strided.extent()] {
                let found = quantize_outputs(path, &wide[..end], strided, &config, None);
                assert!(found.unwrap() == expected, "{context} {config:?}");
            }
        }
        let (mut expected, mut found) = (vec![0.0; rows], vec![0.0; rows]);
        row_amax(path, &input, shape, &mut expected).unwrap();
        row_amax(path, &wide, strided, &mut found).unwrap();
        assert_eq!(found, expected, "{context}");
    }
}

#[test]
fn rows_with_gaps_give_the_bits_of_rows_without() {
    for path in Path::available() {
        // More than a strip of 128 lines either way, one block, and nothing.
        for shape in [[144, 176], [16, 16], [0, 32]] {
            assert_strided_is_contiguous::<bf16>(path, shape);
        }
        assert_strided_is_contiguous::<f16>(path, [32, 48]);
        assert_strided_is_contiguous::<f32>(path, [32, 48]);
    }
}

#[test]
fn a_row_alone_may_have_a_gap_after_it() {
    let input = elements::<f32>(80);
    let config = Config::default();
    let strided = InputShape::from([1, 64]).with_row_stride(80);
    for path in Path::available() {
        let expected = quantize_outputs(path, &input[..64], [1, 64], &config, None).unwrap();
        assert_eq!(quantize_outputs(path, &input, strided, &config, None).unwrap(), expected);
    }
}

#[test]
fn leading_dimensions_are_rows() {
    let input = elements::<bf16>(2 * 3 * 16 * 32);
    let config = Config::builder().scaling(Scaling::Tile).outputs(Outputs::Both).build().unwrap();
    let path = Path::best();
    let expected = quantize_outputs(path, &input, [96, 32], &config, None).unwrap();
    let batched = quantize_outputs(path, &input, [2, 3, 16, 32], &config, None).unwrap();
    assert_eq!(batched, expected);
    let dimensions: &[usize] = &[6, 16, 32];
    assert_eq!(quantize_outputs(path, &input, dimensions, &config, None).unwrap(), expected);
}

#[test]
fn overlapping_rows_and_wrong_lengths_are_refused() {
    let input = elements::<f32>(100);
    let refuse = |shape: InputShape| {
        let config = Config::default();
        match quantize_outputs(Path::best(), &input, shape, &config, None) {
            Err(Error::Shape(error)) => error,
            other => panic!("{other:?}"),
        }
    };
    let shape = InputShape::from([4, 32]);
    let expected = ShapeError::Stride { strides: [16, 1], expected: [32, 1] };
    assert_eq!(refuse(shape.with_row_stride(16)), expected);
    let length = |expected| ShapeError::Length { buffer: "the input", actual: 100, expected };
    assert_eq!(refuse(shape), length(128));
    assert_eq!(refuse(InputShape::from([2, 32]).with_row_stride(40)), length(72));
    assert_eq!(refuse(InputShape::from([2, 32]).with_row_stride(80)), length(112));
}
