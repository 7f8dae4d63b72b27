//! The contract's sentences, one test each, on inputs worked out by hand.

use fouroversix_reference::candidate::tile_error;
use fouroversix_reference::layout::{swizzle, swizzled_bytes, swizzled_offset, unswizzle};
use fouroversix_reference::scale::{GlobalScale, amax, block_encode_scale};
use fouroversix_reference::{
    E4m3, E4m3Max, Error, ErrorPath, Metric, Rule, Scaling, dequantize, explain, quantize,
    quantize_columnwise, transpose,
};

const fn four_over_six(metric: Metric, error_path: ErrorPath, e4m3_max: E4m3Max) -> Rule {
    Rule::FourOverSix { metric, error_path, e4m3_max }
}

const MAE: Rule = four_over_six(Metric::Mae, ErrorPath::Strict, E4m3Max::M448);
const MSE256: Rule = four_over_six(Metric::Mse, ErrorPath::Strict, E4m3Max::M256);

fn every_rule() -> Vec<Rule> {
    let mut rules = vec![Rule::Plain];
    for metric in [Metric::Mae, Metric::Mse] {
        for error_path in [ErrorPath::Strict, ErrorPath::Fast] {
            for e4m3_max in [E4m3Max::M448, E4m3Max::M256] {
                rules.push(four_over_six(metric, error_path, e4m3_max));
            }
        }
    }
    rules
}

#[test]
fn global_scale_of_zero_infinite_and_tiny_amax() {
    for e4m3_max in [E4m3Max::M448, E4m3Max::M256] {
        assert_eq!(GlobalScale::new(0.0, e4m3_max).encode, 1.0);
        assert_eq!(GlobalScale::new(f32::INFINITY, e4m3_max).encode, 1.0);
        assert_eq!(GlobalScale::new(f32::from_bits(1), e4m3_max).encode, f32::MAX);
    }
    // 2688 / FMAX is between these two.
    assert_eq!(GlobalScale::new(7.89e-36, E4m3Max::M448).encode, f32::MAX);
    assert!(GlobalScale::new(7.91e-36, E4m3Max::M448).encode < f32::MAX);
    let clamped = GlobalScale::new(1e-40, E4m3Max::M448);
    assert!(clamped.decode > 0.0 && clamped.decode.is_subnormal(), "subnormals are kept");
}

#[test]
fn encode_scale_of_a_zero_block_is_the_largest_float() {
    let global = GlobalScale::new(1.0, E4m3Max::M448);
    assert_eq!(block_encode_scale(E4m3::from_bits(0), &global), f32::MAX);
}

#[test]
fn tile_tree_order() {
    // 2^24 + 1 rounds to 2^24: only the order 0+8, 1+9, ..., +4, +2, +1 gives 2^24 + 8.
    let mut rows = [0.0; 16];
    rows[0] = 16_777_216.0;
    rows[8] = 1.0; // lost against row 0
    for row in [1, 9, 3, 11, 5, 13, 7, 15] {
        rows[row] = 1.0; // eight ones that meet before they meet row 0
    }
    assert_eq!(tile_error(rows), 16_777_224.0);
    assert_eq!(rows.iter().sum::<f32>(), 16_777_216.0, "in sequence all of them are lost");
}

#[test]
fn a_tie_takes_map6() {
    // amax 6 at A = 448: S_enc = 448, S_dec = 1/448. All-zero blocks tie at error 0.
    let mut x = [0.0; 32];
    x[0] = 6.0;
    let decision = explain(&x, 1, 32, MAE, Scaling::Tensor, None, 0, 1).unwrap();
    let pair = decision.candidates.unwrap();
    assert_eq!(pair.map4.error, pair.map6.error);
    assert!(!pair.takes_map4());
    assert_eq!(decision.scale, pair.map6.scale);
}

#[test]
fn map4_is_taken_where_it_is_exact() {
    // At A = 256 a block of ±1 and ±0.75 is exact when its maximum maps to 4, and 0.75 falls
    // between 4 and 6 when it maps to 6.
    let x: [f32; 16] = std::array::from_fn(|i| if i % 2 == 0 { 1.0 } else { -0.75 });
    let quantized = quantize(&x, 1, 16, MSE256, Scaling::Tensor, None).unwrap();
    assert_eq!(quantized.scales, [E4m3::from_f32(384.0).to_bits()]);
    assert_eq!(quantized.codes, [0xD6; 8], "4 in the low nibble, -3 in the high one");
    assert_eq!(quantized.dequantize(), x);
}

#[test]
fn the_clamp_is_448_also_when_a_is_256() {
    // A supplied amax smaller than the input's saturates both scales.
    let x = [1000.0; 16];
    for rule in every_rule() {
        let quantized = quantize(&x, 1, 16, rule, Scaling::Tensor, Some(&[1.0])).unwrap();
        assert_eq!(quantized.scales, [E4m3::from_f32(448.0).to_bits()], "{rule:?}");
        assert_eq!(quantized.codes, [0x77; 8], "{rule:?}");
        assert_eq!(quantized.global_amax, [1.0], "used as it is");
    }
}

#[test]
fn signed_zeros_keep_their_sign() {
    let mut x = [-0.0; 16];
    x[3] = 0.0;
    x[4] = -1e-30;
    x[5] = 1.0;
    for rule in every_rule() {
        let quantized = quantize(&x, 1, 16, rule, Scaling::Tensor, None).unwrap();
        let codes: Vec<u8> = (0..16).map(|col| quantized.code(0, col).to_bits()).collect();
        assert_eq!(codes[..5], [8, 8, 8, 0, 8], "{rule:?}");
    }
}

#[test]
fn a_zero_tensor_is_all_zero() {
    for rule in every_rule() {
        let quantized = quantize(&[0.0; 16], 1, 16, rule, Scaling::Tensor, None).unwrap();
        assert_eq!(quantized.codes, [0; 8]);
        assert_eq!(quantized.scales, [0]);
        assert_eq!(quantized.global_amax[0].to_bits(), 0);
        assert_eq!(quantized.dequantize(), [0.0; 16]);
    }
}

#[test]
fn nan_is_ignored_by_maxima_and_becomes_code_7() {
    let mut x: [f32; 16] = std::array::from_fn(|i| i as f32 / 4.0);
    x[2] = f32::NAN;
    x[9] = -f32::NAN;
    assert_eq!(amax(&x), 3.75);
    for rule in every_rule() {
        let quantized = quantize(&x, 1, 16, rule, Scaling::Tensor, None).unwrap();
        assert_eq!(quantized.global_amax, [3.75]);
        assert_eq!(quantized.code(0, 2).to_bits(), 7);
        assert_eq!(quantized.code(0, 9).to_bits(), 7);
        let decision = explain(&x, 1, 16, rule, Scaling::Tensor, None, 0, 0).unwrap();
        assert_eq!(decision.block_amax, 3.75);
        if let Some(pair) = decision.candidates {
            assert!(pair.map4.error.is_nan() && pair.map6.error.is_nan());
            assert_eq!(decision.scale, pair.map6.scale, "NaN takes map6");
        }
    }
}

#[test]
fn an_infinite_amax_makes_the_global_scale_one() {
    let mut x: [f32; 32] = std::array::from_fn(|i| i as f32);
    x[0] = f32::NEG_INFINITY;
    for rule in every_rule() {
        let quantized = quantize(&x, 1, 32, rule, Scaling::Tensor, None).unwrap();
        assert_eq!(quantized.global_amax, [f32::INFINITY]);
        assert_eq!(quantized.scales[0], 0x7E, "the block with infinity saturates");
        assert_eq!(quantized.code(0, 0).to_bits(), 0xF);
        // 31 / 6 = 5.1667 rounds to 5; strict errors are NaN or infinite, so map6 is taken.
        if !matches!(rule, Rule::FourOverSix { error_path: ErrorPath::Fast, .. }) {
            assert_eq!(quantized.scales[1], E4m3::from_f32(5.0).to_bits(), "{rule:?}");
        }
    }
}

#[test]
fn strict_errors_overflow_to_infinity_and_tie() {
    // q·s·amax passes FMAX above amax = 1.27e35 although the value itself is finite.
    let x = [3e38; 16];
    let decision = explain(&x, 1, 16, MAE, Scaling::Tensor, None, 0, 0).unwrap();
    let pair = decision.candidates.unwrap();
    assert_eq!(pair.map4.error, f32::INFINITY);
    assert_eq!(pair.map6.error, f32::INFINITY);
    assert_eq!(decision.scale, pair.map6.scale);
}

#[test]
fn row_scaling_is_each_row_by_itself() {
    let x: Vec<f32> = (0..48).map(|i| ((i * 37) % 29) as f32 * 0.37f32.powi(i / 16)).collect();
    for rule in every_rule() {
        let whole = quantize(&x, 3, 16, rule, Scaling::Row, None).unwrap();
        assert_eq!(whole.global_amax.len(), 3);
        for (row, elements) in x.chunks(16).enumerate() {
            let alone = quantize(elements, 1, 16, rule, Scaling::Tensor, None).unwrap();
            assert_eq!(whole.codes[row * 8..][..8], alone.codes);
            assert_eq!(whole.scales[row..=row], alone.scales);
            assert_eq!(whole.global_amax[row], alone.global_amax[0]);
        }
    }
}

#[test]
fn columnwise_is_the_transpose_quantized() {
    let x: Vec<f32> = (0..32 * 48).map(|i| ((i * 7919) % 1013) as f32 - 500.0).collect();
    for rule in every_rule() {
        for scaling in [Scaling::Tensor, Scaling::Row, Scaling::Tile] {
            let columnwise = quantize_columnwise(&x, 32, 48, rule, scaling, None);
            if scaling == Scaling::Row && rule != Rule::Plain {
                assert_eq!(columnwise, Err(Error::RowScaledFourOverSixColumnwise));
                continue;
            }
            let transposed = transpose(&x, 32, 48);
            assert_eq!(columnwise, quantize(&transposed, 48, 32, rule, scaling, None));
            let columnwise = columnwise.unwrap();
            assert_eq!((columnwise.rows, columnwise.cols), (48, 32));
        }
    }
}

#[test]
fn a_tile_repeats_its_scale_on_16_rows() {
    let x: Vec<f32> = (0..32 * 32).map(|i| ((i * 7919) % 1013) as f32 - 500.0).collect();
    let quantized = quantize(&x, 32, 32, MSE256, Scaling::Tile, None).unwrap();
    for row in 0..32 {
        for block in 0..2 {
            assert_eq!(
                quantized.scale(row, block * 16),
                quantized.scale(row / 16 * 16, block * 16)
            );
        }
    }
}

#[test]
fn empty_tensors_give_empty_outputs() {
    for scaling in [Scaling::Tensor, Scaling::Row, Scaling::Tile] {
        for (rows, cols) in [(0, 16), (16, 0), (0, 0)] {
            let quantized = quantize(&[], rows, cols, MAE, scaling, None).unwrap();
            assert!(quantized.codes.is_empty() && quantized.scales.is_empty());
            let amaxes = if scaling == Scaling::Row { rows } else { 1 };
            assert_eq!(quantized.global_amax, vec![0.0; amaxes]);
            assert!(quantized.dequantize().is_empty());
            quantize_columnwise(&[], rows, cols, Rule::Plain, scaling, None).unwrap();
        }
    }
}

#[test]
fn shapes_are_refused_by_name_length_and_multiple() {
    let dimension = |dimension, length| Err(Error::Dimension { dimension, length, multiple: 16 });
    let x = vec![0.0; 17 * 24];
    assert_eq!(quantize(&x, 17, 24, MAE, Scaling::Tensor, None), dimension("columns", 24));
    assert_eq!(quantize(&x[..17 * 16], 17, 16, MAE, Scaling::Tile, None), dimension("rows", 17));
    assert!(quantize(&x[..17 * 16], 17, 16, MAE, Scaling::Row, None).is_ok());
    let columnwise = quantize_columnwise(&x[..17 * 16], 17, 16, MAE, Scaling::Tensor, None);
    assert_eq!(columnwise, dimension("rows", 17));
    let columnwise = quantize_columnwise(&x[..16 * 24], 16, 24, MAE, Scaling::Tensor, None);
    assert_eq!(columnwise, dimension("columns", 24));
    let short = quantize(&x[..31], 2, 16, MAE, Scaling::Tensor, None);
    assert_eq!(short, Err(Error::Length { slice: "the input", actual: 31, expected: 32 }));
    let amax = quantize(&x[..32], 2, 16, MAE, Scaling::Row, Some(&[1.0]));
    assert_eq!(amax, Err(Error::Length { slice: "amax", actual: 1, expected: 2 }));
    for (amax, shown) in [(-1.0, "-1"), (f32::NAN, "NaN"), (-f32::MIN_POSITIVE / 2.0, "-0.0")] {
        let refused = quantize(&x[..32], 2, 16, MAE, Scaling::Row, Some(&[1.0, amax])).unwrap_err();
        assert_eq!(refused, Error::Amax { index: 1, bits: amax.to_bits() });
        assert!(refused.to_string().contains(&format!("amax 1 is {shown}")), "{refused}");
    }
    assert!(quantize(&x[..16], 1, 16, MAE, Scaling::Tensor, Some(&[-0.0])).is_ok(), "-0 is 0");
    let message = quantize(&x, 17, 24, MAE, Scaling::Tensor, None).unwrap_err().to_string();
    assert_eq!(message, "the tensor has 24 columns, which is not a multiple of 16: pad it");
}

#[test]
fn dequantize_multiplies_by_the_rounded_inverse() {
    let value = dequantize(
        fouroversix_reference::E2m1::from_bits(7),
        E4m3::from_f32(448.0),
        1.0,
        E4m3Max::M448,
    );
    let inverse = 1.0 / 2688.0_f32;
    let factor = 448.0 * inverse;
    assert_eq!(value.to_bits(), (6.0 * factor).to_bits());
    let x: Vec<f32> = (0..64).map(|i| (i as f32 - 20.0) * 0.111).collect();
    let quantized = quantize(&x, 2, 32, MSE256, Scaling::Row, None).unwrap();
    for (i, value) in quantized.dequantize().into_iter().enumerate() {
        let (row, col) = (i / 32, i % 32);
        let inverse = 1.0 / 1536.0_f32;
        let factor = quantized.scale(row, col).to_f32() * quantized.global_amax[row] * inverse;
        assert_eq!(value.to_bits(), (quantized.code(row, col).to_f32() * factor).to_bits());
    }
    let halves = quantized.dequantize_fp16();
    let brains = quantized.dequantize_bf16();
    for (i, value) in quantized.dequantize().into_iter().enumerate() {
        assert_eq!(halves[i].to_bits(), half::f16::from_f32(value).to_bits());
        assert_eq!(brains[i].to_bits(), half::bf16::from_f32(value).to_bits());
    }
}

#[test]
fn swizzled_offsets_are_a_permutation_with_zero_padding() {
    for (rows, blocks) in [(1, 1), (128, 4), (129, 5), (300, 17), (0, 3), (3, 0)] {
        let scales: Vec<u8> = (0..rows * blocks).map(|i| (i % 255 + 1) as u8).collect();
        let swizzled = swizzle(&scales, rows, blocks);
        assert_eq!(swizzled.len(), swizzled_bytes(rows, blocks));
        assert_eq!(swizzled.iter().filter(|&&byte| byte != 0).count(), rows * blocks);
        assert_eq!(unswizzle(&swizzled, rows, blocks), scales);
    }
    // Worked out by hand: row 33 is line 1, second group of four; block 6 is in the second tile.
    assert_eq!(swizzled_offset(8, 33, 6), 512 + 16 + 4 + 2);
    assert_eq!(swizzled_offset(8, 128, 0), 2 * 512);
}
