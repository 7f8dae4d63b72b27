//! Steps T1 and T2: the transform against the matrix it is, and known answers for its roundings.

use fouroversix_reference::transform::{transform, transform_row};
use fouroversix_reference::{
    Bf16, Config, Element, Error, Fp16, RandomState, Rounding, Rule, Scaling, SignMask, Transforms,
    quantize_columnwise_with, quantize_with, transpose,
};

/// Entry (i, j) of Sylvester's matrix: −1 where i and j share an odd number of bits.
fn sylvester(i: usize, j: usize) -> f32 {
    if (i & j).count_ones() % 2 == 1 { -1.0 } else { 1.0 }
}

#[test]
fn every_mask_on_every_basis_vector() {
    for mask in 0..=u16::MAX {
        for i in 0..16 {
            let mut x = [0.0; 16];
            x[i] = 1.0;
            let sign = if mask >> i & 1 == 1 { -0.25 } else { 0.25 };
            let y = transform_row(&x, SignMask(mask), Element::Bf16);
            let expected: [f32; 16] = std::array::from_fn(|j| sign * sylvester(i, j));
            assert_eq!(y, expected, "mask {mask:#06x}, element {i}");
        }
    }
}

/// Sums of small integers are exact, so that the order of additions can't matter here.
#[test]
fn integers_are_the_product_with_the_matrix() {
    for number in 0..4096u32 {
        let mask = SignMask((number.wrapping_mul(0x9E37_79B1) >> 16) as u16);
        let x: [f32; 16] = std::array::from_fn(|i| {
            let mixed = (number * 16 + i as u32).wrapping_mul(2_654_435_761);
            (mixed >> 20) as f32 - 2048.0
        });
        let signed: [f32; 16] = std::array::from_fn(|i| if mask.flips(i) { -x[i] } else { x[i] });
        let expected: [f32; 16] = std::array::from_fn(|j| {
            let sum: f32 = (0..16).map(|i| signed[i] * sylvester(i, j)).sum();
            sum / 4.0
        });
        let y = transform_row(&x, mask, Element::Fp32);
        assert_eq!(y, expected);
        // H16/4 is its own inverse.
        assert_eq!(transform_row(&y, SignMask(0), Element::Fp32), signed);
    }
}

fn bits_of(element: Element, value: f32) -> u32 {
    match element {
        Element::Bf16 => Bf16::from_f32(value).to_bits().into(),
        Element::Fp16 => Fp16::from_f32(value).to_bits().into(),
        Element::Fp32 => value.to_bits(),
    }
}

fn value_of(element: Element, bits: u32) -> f32 {
    match element {
        Element::Bf16 => Bf16::from_bits(bits as u16).to_f32(),
        Element::Fp16 => Fp16::from_bits(bits as u16).to_f32(),
        Element::Fp32 => f32::from_bits(bits),
    }
}

const NAN: &str = "NaN";

#[track_caller]
fn check(element: Element, mask: u16, x: &str, y: &str) {
    let parse = |bits: &str| value_of(element, u32::from_str_radix(bits, 16).unwrap());
    let x: Vec<f32> = x.split_whitespace().map(parse).collect();
    let y: Vec<&str> = y.split_whitespace().collect();
    let transformed = transform(&x, SignMask(mask), element);
    for (j, (value, expected)) in transformed.into_iter().zip(y).enumerate() {
        if expected == NAN {
            assert!(value.is_nan(), "coefficient {j} is {value}");
        } else {
            let bits = u32::from_str_radix(expected, 16).unwrap();
            assert_eq!(bits_of(element, value), bits, "coefficient {j}");
            assert_eq!(value.to_bits(), value_of(element, bits).to_bits(), "rounded to the type");
        }
    }
}

#[test]
fn one_to_sixteen_rounds_to_bf16() {
    check(
        Element::Bf16,
        SignMask::TRANSFORMER_ENGINE.0,
        "3f80 4000 4040 4080 40a0 40c0 40e0 4100 4110 4120 4130 4140 4150 4160 4170 4180",
        "c178 c0f0 40f0 bf00 40f0 bf00 c178 4108 4108 4184 3fc0 3fc0 3fc0 c020 4128 c18c",
    );
}

/// A sum of zeros is −0 only where all are −0, and so is a difference only as −0 − (+0).
#[test]
fn signs_of_zeros_are_those_of_the_sums() {
    let zeros = "0000 ".repeat(16);
    let negative_at = |j: usize| {
        let mut y = vec!["0000"; 16];
        y[j] = "8000";
        y.join(" ")
    };
    check(Element::Bf16, 0xFFFF, &zeros, &negative_at(0));
    // The first half sums to −0, the second to +0: their difference is −0.
    check(Element::Bf16, 0x7FFF, &zeros, &negative_at(8));
    check(Element::Bf16, 0x0000, &zeros, &zeros);
}

/// 2^24 swallows a 1 that meets it alone. Neighbours meet first: with h = 8 first, the two ones would
/// have met each other and survived in coefficient 0.
#[test]
fn neighbours_are_added_before_elements_further_apart() {
    let (big, one, zero) = ("4b800000 ", "3f800000 ", "00000000 ");
    let x = [big, one, &zero.repeat(7), one, &zero.repeat(6)].concat();
    let near = "4a800000 4a7ffffe ".repeat(4);
    let far = "4a7fffff 4a800000 ".repeat(4);
    check(Element::Fp32, 0, &x, &(near + &far));
}

#[test]
fn a_quarter_of_the_sum_overflows_as_the_type_does() {
    // The sum of these is 262080; a quarter of it lies half way between 65504 and 65536.
    let x = "73ff 7400 ".repeat(8);
    check(Element::Fp16, 0, &x, &("7c00 cc00 ".to_owned() + &"0000 ".repeat(14)));
    // FP32 sums overflow before the quarter is taken, and infinities cancel to NaN.
    let y = "7f800000 7f800000 NaN ff800000 NaN ff800000 NaN 7f800000 \
             NaN ff800000 NaN 7f800000 NaN 7f800000 NaN ff800000";
    check(Element::Fp32, 0x8000, &"7f7fffff ".repeat(16), y);
    let x = "3c00 c000 7c00 4400 3800 3800 3800 3800 3800 3800 3800 3800 3800 3800 3800 3800";
    check(Element::Fp16, 0xD7E8, x, &"7c00 7c00 fc00 fc00 ".repeat(4));
}

#[test]
fn subnormal_sums_are_kept_and_their_quarter_rounds_to_even() {
    let x = format!("00000001 00000002 00000003 80000001 {}", "00000000 ".repeat(12));
    check(Element::Fp32, 0, &x, &"00000001 00000001 00000000 80000001 ".repeat(4));
}

fn transformed(rowwise: Option<u16>, columnwise: Option<u16>, scaling: Scaling) -> Config {
    let transforms =
        Transforms { rowwise: rowwise.map(SignMask), columnwise: columnwise.map(SignMask) };
    Config { transforms, element: Element::Bf16, ..Config::new(Rule::Plain, scaling) }
}

fn sample(elements: usize) -> Vec<f32> {
    let number = |i: usize| ((i * 7919) % 1013) as f32 - 506.0;
    (0..elements).map(|i| Element::Bf16.round(number(i) * 0.37)).collect()
}

#[test]
fn an_output_is_the_quantization_of_its_transformed_rows() {
    let x = sample(32 * 48);
    let none = Config { element: Element::Bf16, ..Config::new(Rule::Plain, Scaling::Tensor) };
    let config = transformed(Some(0xD7E8), Some(0), Scaling::Tensor);
    let y = transform(&x, SignMask(0xD7E8), Element::Bf16);
    let rowwise = quantize_with(&x, 32, 48, &config, None).unwrap();
    assert_eq!(rowwise, quantize_with(&y, 32, 48, &none, None).unwrap());
    let y = transform(&transpose(&x, 32, 48), SignMask(0), Element::Bf16);
    let columnwise = quantize_columnwise_with(&x, 32, 48, &config, None).unwrap();
    assert_eq!(columnwise, quantize_with(&y, 48, 32, &none, None).unwrap());
    assert_ne!(rowwise.global_amax, columnwise.global_amax, "each output has its own amax");
    // Mask 0 is a transform; no mask is none.
    let columnwise_only = transformed(None, Some(0), Scaling::Tensor);
    let untouched = quantize_with(&x, 32, 48, &columnwise_only, None).unwrap();
    assert_eq!(untouched, quantize_with(&x, 32, 48, &none, None).unwrap());
    assert_ne!(
        untouched,
        quantize_with(&x, 32, 48, &transformed(Some(0), None, Scaling::Tensor), None).unwrap()
    );
}

#[test]
fn tiles_and_row_scaling_are_refused_with_a_transform() {
    let x = sample(16 * 16);
    for scaling in [Scaling::Tile, Scaling::Row] {
        for (rowwise, columnwise) in [(Some(0), None), (None, Some(0)), (Some(1), Some(2))] {
            let config = transformed(rowwise, columnwise, scaling);
            let refused = Err(Error::Transform { scaling });
            assert_eq!(quantize_with(&x, 16, 16, &config, None), refused);
            assert_eq!(quantize_columnwise_with(&x, 16, 16, &config, None), refused);
        }
    }
    let message = Error::Transform { scaling: Scaling::Tile }.to_string();
    assert!(message.contains("Tile scaling was asked for: use tensor scaling, or no transform"));
}

/// The maximum of nothing is 0: an empty tensor, and sums that are all NaN.
#[test]
fn amax_is_that_of_the_transformed_values() {
    let config = transformed(Some(0), None, Scaling::Tensor);
    let empty = quantize_with(&[], 0, 16, &config, None).unwrap();
    assert_eq!(empty.global_amax, [0.0]);
    let nan = quantize_with(&[f32::NAN; 16], 1, 16, &config, None).unwrap();
    assert_eq!((nan.global_amax[0], &nan.codes[..]), (0.0, &[0x77; 8][..]));
    let ones = quantize_with(&[1.0; 16], 1, 16, &config, None).unwrap();
    assert_eq!(ones.global_amax, [4.0]);
    let supplied = quantize_with(&[1.0; 16], 1, 16, &config, Some(&[8.0])).unwrap();
    assert_eq!(supplied.global_amax, [8.0], "used as it is");
}

/// A block through all steps, worked out in integers apart from this code.
#[test]
fn a_whole_block_with_transform_and_stochastic_rounding() {
    use fouroversix_reference::{E4m3Max, ErrorPath, Metric};
    let bits = [
        0x3F00, 0xBFA0, 0x4040, 0x3F40, 0xBE00, 0x4000, 0xC020, 0x3F80, 0x3E80, 0xBF40, 0x3FC0,
        0xC080, 0x3D80, 0x40C0, 0xBF80, 0x3EC0,
    ];
    let x = bits.map(|bits| Bf16::from_bits(bits).to_f32());
    let state = RandomState { seed: 0x0123_4567_89AB_CDEF, offset: 1 };
    let mse = Rule::FourOverSix {
        metric: Metric::Mse,
        error_path: ErrorPath::Strict,
        e4m3_max: E4m3Max::M256,
    };
    let answers = [
        (Rule::Plain, 0x7E, [0x52, 0xF3, 0x4D, 0x21, 0x68, 0x5F, 0xC6, 0xA8]),
        (mse, 0x7C, [0x41, 0xD2, 0x3C, 0x11, 0x58, 0x4E, 0xA5, 0x98]),
    ];
    for (rule, scale, codes) in answers {
        let config = Config {
            rule,
            rounding: Rounding::Stochastic(state),
            ..transformed(Some(0xD7E8), None, Scaling::Tensor)
        };
        let quantized = quantize_with(&x, 1, 16, &config, None).unwrap();
        assert_eq!(quantized.global_amax, [4.5]);
        assert_eq!(quantized.scales, [scale]);
        assert_eq!(quantized.codes, codes);
    }
}
