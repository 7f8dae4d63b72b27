//! Every rounding of the committed kernels, over all FP32 values in its range: E2M1 and E4M3 as they are
//! on each instruction set, in the executor. Whole with `EXTENSIVE=1`, in release.

use fouroversix_conformance::backend::Backend;
use fouroversix_conformance::case::Case;
use fouroversix_conformance::extent::chosen;
use fouroversix_conformance::generate::rounding::{
    E2M1, E2M1_VALUES, E4M3, E4M3_VALUES, e2m1, e4m3,
};
use fouroversix_conformance::ptx::PtxBackend;
use fouroversix_core::InstructionSet;
use rayon::prelude::*;

/// Those with texts of their own for the kernel that is used.
const SETS: [InstructionSet; 3] =
    [InstructionSet::Sm80, InstructionSet::Sm89, InstructionSet::Sm100f];

fn check(isa: InstructionSet, case: &Case) {
    let outcome =
        PtxBackend::committed(isa).quantize(case).unwrap_or_else(|e| panic!("{case}: {e}"));
    let (got, expected) = (outcome.rowwise.unwrap(), case.expected.rowwise.as_ref().unwrap());
    let wrong = got.codes.iter().zip(&expected.codes).position(|(a, b)| a != b);
    assert_eq!(wrong, None, "{isa} {case}: a byte of codes");
    let wrong = got.scales.iter().zip(&expected.scales).position(|(a, b)| a != b);
    assert_eq!(wrong, None, "{isa} {case}: a scale");
}

fn try_all(what: &str, range: std::ops::Range<u32>, step: u32, make: fn(u32) -> Case) {
    let count = u64::from(range.end - range.start).div_ceil(u64::from(step));
    for isa in SETS {
        let numbers = chosen(&format!("{isa}: {what}, cases of {step}"), count, 1024);
        numbers.into_par_iter().for_each(|i| check(isa, &make(range.start + i as u32 * step)));
    }
}

#[test]
fn kernels_round_every_element() {
    try_all("E2M1", E2M1, E2M1_VALUES, e2m1);
}

#[test]
fn kernels_round_every_scale() {
    try_all("E4M3", E4M3, E4M3_VALUES, e4m3);
}

/// The cases are what they say: the scale is 1, and codes are the elements' own.
#[test]
fn elements_and_scales_reach_the_rounding_unchanged() {
    use fouroversix_reference::{E2m1, E4m3};
    let case = e2m1(E2M1.start + 12_345_678);
    let expected = case.expected.rowwise.as_ref().unwrap();
    assert!(expected.scales.iter().all(|scale| E4m3::from_bits(*scale).to_f32() == 1.0));
    for (i, bits) in case.input.bits.iter().enumerate() {
        let code = expected.codes[i / 2] >> (4 * (i % 2)) & 0xF;
        assert_eq!(code, E2m1::from_f32(f32::from_bits(*bits)).to_bits());
    }
    let case = e4m3(E4M3.start + 123_456_789);
    let expected = case.expected.rowwise.as_ref().unwrap();
    for (block, scale) in case.input.bits.chunks(16).zip(&expected.scales) {
        let largest = block.iter().map(|bits| f32::from_bits(*bits).abs()).fold(0.0, f32::max);
        assert_eq!(*scale, E4m3::from_f32(largest).to_bits());
    }
}
