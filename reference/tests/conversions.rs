//! Every number format against a statement of it that shares no code with the crate: tables and
//! midpoints for the narrow formats, the `half` crate for the 16-bit ones.

use fouroversix_reference::{Bf16, E2m1, E4m3, Fp16};
use half::{bf16, f16};

/// Rounds by comparison with every midpoint between neighbouring values.
struct Grid {
    /// `midpoints[i]` lies halfway between codes i and i + 1. Exact in FP64.
    midpoints: Vec<f64>,
}

impl Grid {
    fn new(values: &[f64]) -> Self {
        Self { midpoints: values.windows(2).map(|pair| f64::midpoint(pair[0], pair[1])).collect() }
    }

    fn nearest(&self, magnitude: f32) -> u8 {
        let x = f64::from(magnitude);
        let mut code = self.midpoints.partition_point(|&midpoint| midpoint < x);
        // On a midpoint: the code below it if even, else the one above.
        if self.midpoints.get(code) == Some(&x) && code % 2 == 1 {
            code += 1;
        }
        code as u8
    }
}

fn e2m1_grid() -> Grid {
    Grid::new(&[0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0])
}

/// The magnitudes of E4M3 from its definition: 7 subnormals, then 8 values in each of 15 binades,
/// the last of which would be NaN.
fn e4m3_values() -> Vec<f64> {
    let mut values: Vec<f64> = (0..8).map(|fraction| f64::from(fraction) / 512.0).collect();
    for field in 1..16 {
        for fraction in 0..8 {
            values.push((1.0 + f64::from(fraction) / 8.0) * 2f64.powi(field - 7));
        }
    }
    values.pop();
    values
}

fn expected_e2m1(grid: &Grid, x: f32) -> u8 {
    if x.is_nan() { 7 } else { u8::from(x.is_sign_negative()) << 3 | grid.nearest(x.abs()) }
}

fn expected_e4m3(grid: &Grid, x: f32) -> u8 {
    if x.is_nan() { 0x7F } else { u8::from(x.is_sign_negative()) << 7 | grid.nearest(x.abs()) }
}

/// All f32 that are an f16 or a bf16, NaN and infinities among them.
fn every_16_bit_value() -> impl Iterator<Item = f32> {
    let halves = (0..=u16::MAX).map(|bits| f16::from_bits(bits).to_f32());
    halves.chain((0..=u16::MAX).map(|bits| bf16::from_bits(bits).to_f32()))
}

/// Runs `check` on every f32, on all cores.
fn for_every_f32(check: impl Fn(f32) + Sync) {
    let threads = std::thread::available_parallelism().map_or(1, usize::from) as u64;
    let share = (1u64 << 32).div_ceil(threads);
    std::thread::scope(|scope| {
        for thread in 0..threads {
            let check = &check;
            scope.spawn(move || {
                for bits in thread * share..((thread + 1) * share).min(1 << 32) {
                    check(f32::from_bits(bits as u32));
                }
            });
        }
    });
    println!("checked 4294967296 values on {threads} threads");
}

fn same_or_both_nan(actual: f32, expected: f32) -> bool {
    actual.to_bits() == expected.to_bits() || (actual.is_nan() && expected.is_nan())
}

fn check_fp16(x: f32) {
    let (actual, expected) = (Fp16::from_f32(x), f16::from_f32(x));
    let same = actual.to_bits() == expected.to_bits() || (actual.is_nan() && expected.is_nan());
    assert!(same, "fp16 of {x:e} ({:#010x}): {actual:?}, {expected:?}", x.to_bits());
}

fn check_bf16(x: f32) {
    let (actual, expected) = (Bf16::from_f32(x), bf16::from_f32(x));
    let same =
        actual.to_bits() == expected.to_bits() || (actual.to_f32().is_nan() && expected.is_nan());
    assert!(same, "bf16 of {x:e} ({:#010x}): {actual:?}, {expected:?}", x.to_bits());
}

#[test]
fn e2m1_values() {
    let magnitudes = [0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0_f32];
    for bits in 0..16 {
        let magnitude = magnitudes[usize::from(bits & 7)];
        let expected = if bits < 8 { magnitude } else { -magnitude };
        let code = E2m1::from_bits(bits);
        assert_eq!(code.to_f32().to_bits(), expected.to_bits(), "code {bits}");
        assert_eq!(E2m1::from_f32(expected), code, "code {bits}");
        let half = f16::from_f32(expected).to_bits();
        assert_eq!(Fp16::from_e2m1(code).to_bits(), half, "code {bits}");
    }
}

#[test]
fn e4m3_values_by_definition() {
    let magnitudes = e4m3_values();
    assert_eq!(magnitudes.len(), 127);
    assert_eq!(magnitudes[126], 448.0);
    for bits in 0..=u8::MAX {
        let code = E4m3::from_bits(bits);
        if bits & 0x7F == 0x7F {
            assert!(code.is_nan() && code.to_f32().is_nan(), "code {bits:#04x}");
            continue;
        }
        let magnitude = magnitudes[usize::from(bits & 0x7F)] as f32;
        let expected = if bits < 0x80 { magnitude } else { -magnitude };
        assert_eq!(code.to_f32().to_bits(), expected.to_bits(), "code {bits:#04x}");
        assert_eq!(E4m3::from_f32(expected), code, "code {bits:#04x}");
    }
}

#[test]
fn narrow_encodings_of_every_f16_and_bf16() {
    let (e2m1, e4m3) = (e2m1_grid(), Grid::new(&e4m3_values()));
    for x in every_16_bit_value() {
        assert_eq!(E2m1::from_f32(x).to_bits(), expected_e2m1(&e2m1, x), "e2m1 of {x:e}");
        assert_eq!(E4m3::from_f32(x).to_bits(), expected_e4m3(&e4m3, x), "e4m3 of {x:e}");
    }
}

#[test]
fn narrow_encodings_around_every_midpoint() {
    let (e2m1, e4m3) = (e2m1_grid(), Grid::new(&e4m3_values()));
    for midpoint in e2m1.midpoints.iter().chain(&e4m3.midpoints).chain(&[448.0, 464.0, 480.0]) {
        let midpoint = *midpoint as f32;
        for x in [midpoint.next_down(), midpoint, midpoint.next_up()] {
            for x in [x, -x] {
                assert_eq!(E2m1::from_f32(x).to_bits(), expected_e2m1(&e2m1, x), "e2m1 of {x:e}");
                assert_eq!(E4m3::from_f32(x).to_bits(), expected_e4m3(&e4m3, x), "e4m3 of {x:e}");
            }
        }
    }
}

#[test]
fn widening_of_every_f16_and_bf16() {
    for bits in 0..=u16::MAX {
        let (actual, expected) = (Fp16::from_bits(bits).to_f32(), f16::from_bits(bits).to_f32());
        assert!(same_or_both_nan(actual, expected), "fp16 {bits:#06x}: {actual:e}, {expected:e}");
        let (actual, expected) = (Bf16::from_bits(bits).to_f32(), bf16::from_bits(bits).to_f32());
        assert!(same_or_both_nan(actual, expected), "bf16 {bits:#06x}: {actual:e}, {expected:e}");
    }
}

#[test]
fn narrowing_around_every_f16_and_bf16() {
    for x in every_16_bit_value() {
        // The value, its FP32 neighbours, and what lies around the midpoint to the next code.
        let bits = x.to_bits();
        for offset in [0, 1, 0xFFF, 0x1000, 0x1001, 0x7FFF, 0x8000, 0x8001] {
            for bits in [bits.wrapping_add(offset), bits.wrapping_sub(offset)] {
                check_fp16(f32::from_bits(bits));
                check_bf16(f32::from_bits(bits));
            }
        }
    }
}

#[test]
fn products_of_all_pairs_of_codes() {
    for e2m1_bits in 0..16 {
        for e4m3_bits in 0..=u8::MAX {
            let (q, s) = (E2m1::from_bits(e2m1_bits), E4m3::from_bits(e4m3_bits));
            let actual = Fp16::from_e2m1(q).product(Fp16::from_e4m3(s));
            let half = f16::from_f32(q.to_f32()) * f16::from_f32(s.to_f32());
            let exact = q.to_f32() * s.to_f32();
            if s.is_nan() {
                assert!(actual.is_nan() && half.is_nan(), "{e2m1_bits} x {e4m3_bits:#04x}");
            } else {
                assert_eq!(actual.to_bits(), half.to_bits(), "{e2m1_bits} x {e4m3_bits:#04x}");
                assert_eq!(actual.to_f32().to_bits(), exact.to_bits(), "not exact");
            }
        }
    }
}

#[test]
fn products_that_round() {
    // Every f16 by factors that reach ties, subnormals, underflow, overflow and specials.
    let factors: [u16; 16] = [
        0x0000, 0x8000, 0x0001, 0x0003, 0x03FF, 0x0400, 0x0401, 0x1400, 0x3BFF, 0x3C00, 0x3C01,
        0x3E00, 0xC555, 0x7BFF, 0x7C00, 0x7E00,
    ];
    for bits in 0..=u16::MAX {
        for factor in factors {
            let actual = Fp16::from_bits(bits).product(Fp16::from_bits(factor));
            let expected = f16::from_bits(bits) * f16::from_bits(factor);
            let same =
                actual.to_bits() == expected.to_bits() || (actual.is_nan() && expected.is_nan());
            assert!(same, "{bits:#06x} x {factor:#06x}: {actual:?}, {expected:?}");
        }
    }
}

#[test]
#[ignore = "every f32 takes minutes: run with --ignored, best with --release"]
fn narrow_encodings_of_every_f32() {
    let (e2m1, e4m3) = (e2m1_grid(), Grid::new(&e4m3_values()));
    for_every_f32(|x| {
        assert_eq!(E2m1::from_f32(x).to_bits(), expected_e2m1(&e2m1, x), "e2m1 of {x:e}");
        assert_eq!(E4m3::from_f32(x).to_bits(), expected_e4m3(&e4m3, x), "e4m3 of {x:e}");
    });
}

#[test]
#[ignore = "every f32 takes minutes: run with --ignored, best with --release"]
fn narrowing_of_every_f32() {
    for_every_f32(|x| {
        check_fp16(x);
        check_bf16(x);
    });
}
