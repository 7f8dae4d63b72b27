//! What can only be seen from inside: the exact tricks, and the kernel with the lane counts of
//! instruction sets that the testing machine may lack.

use fouroversix_core::{E4m3Max, ErrorPath, Metric, Rule};
use half::bf16;
use rayon::prelude::*;

use super::formats::{E2M1_SIGNED, e2m1};
use super::kernel::{self, Panel};
use super::portable::Portable;
use super::scale::GlobalScale;
use super::vector::Vector;
use super::{amax, scalar, tile};
use crate::element::CpuElement;

/// Values of `bits` that a vector path rounds to E2M1 otherwise than the comparison with midpoints.
fn misrounded<V: Vector>(bits: impl Iterator<Item = u32>) -> usize {
    let mut wrong = 0;
    let mut lanes = [0.0_f32; 16];
    let mut filled = 0;
    let mut check = |lanes: &[f32; 16]| {
        let mut rounded = [0.0_f32; 16];
        // SAFETY: 16 is at least LANES; the caller chose an available path.
        unsafe { V::store(V::round_e2m1(V::load(lanes.as_ptr())), rounded.as_mut_ptr()) };
        let pairs = lanes.iter().zip(rounded).take(V::LANES);
        wrong += pairs.filter(|(y, q)| E2M1_SIGNED[usize::from(e2m1(**y))] != *q).count();
    };
    for bits in bits {
        lanes[filled] = f32::from_bits(bits);
        filled += 1;
        if filled == V::LANES {
            check(&lanes);
            filled = 0;
        }
    }
    check(&lanes);
    wrong
}

/// Where trick 1 could go wrong: 2^14 values on both sides of every grid point and midpoint.
fn critical() -> impl Iterator<Item = u32> {
    let points = [0.25_f32, 0.5, 0.75, 1.0, 1.25, 1.5, 1.75, 2.0, 2.5, 3.0, 3.5, 4.0, 5.0, 6.0];
    let around = points.into_iter().flat_map(|p| p.to_bits() - 16384..p.to_bits() + 16384);
    around.chain(0..16384).chain(7.0_f32.to_bits() - 16384..7.0_f32.to_bits())
}

#[test]
fn rounding_is_right_around_grid_points_and_midpoints() {
    assert_eq!(misrounded::<Portable<8>>(critical()), 0);
    #[cfg(target_arch = "x86_64")]
    if super::Path::available().contains(&super::Path::Avx2) {
        assert_eq!(misrounded::<super::avx2::Avx2>(critical()), 0);
    }
    #[cfg(target_arch = "x86_64")]
    if super::Path::available().contains(&super::Path::Avx512) {
        assert_eq!(misrounded::<super::avx512::Avx512>(critical()), 0);
    }
}

#[test]
#[ignore = "every FP32 value in [0, 7): minutes"]
fn rounding_is_right_everywhere() {
    let end = 7.0_f32.to_bits();
    let chunks = (0..end).step_by(1 << 20).collect::<Vec<_>>();
    let wrong: usize = chunks
        .into_par_iter()
        .map(|first| {
            let bits = || first..end.min(first + (1 << 20));
            let mut wrong = misrounded::<Portable<8>>(bits());
            #[cfg(target_arch = "x86_64")]
            if super::Path::detect() == super::Path::Avx2 {
                wrong += misrounded::<super::avx2::Avx2>(bits());
            }
            wrong
        })
        .sum();
    assert_eq!(wrong, 0, "of {end} values");
}

fn rules() -> Vec<Rule> {
    let mut rules = vec![Rule::Plain];
    for metric in [Metric::Mae, Metric::Mse] {
        for error_path in [ErrorPath::Strict, ErrorPath::Fast] {
            for e4m3_max in [E4m3Max::M448, E4m3Max::M256] {
                rules.push(Rule::FourOverSix { metric, error_path, e4m3_max });
            }
        }
    }
    rules
}

/// 16 rows of 64 elements in which ties, near ties, zeros and tiny blocks are common.
fn structured(seed: u32) -> Vec<f32> {
    let mut state = seed.wrapping_mul(2_654_435_761).wrapping_add(1);
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state
    };
    (0..16 * 64)
        .map(|i| {
            let r = next();
            let grid = (r % 25) as f32 - 12.0;
            match (i / 16 + seed as usize) % 5 {
                0 => grid * 0.25,
                1 => grid * 0.5 * (1.0 + (r >> 31) as f32 * f32::EPSILON),
                2 => 0.0,
                3 => grid * 1e-5,
                _ => (r >> 8) as f32 / 8_388_608.0 - 1.0,
            }
        })
        .collect()
}

/// Groups and tiles, along rows and columns, of `N` lanes against the scalar kernel.
fn check_lanes<T: CpuElement, const N: usize>(values: &[f32], rule: Rule) {
    let input: Vec<T> = values.iter().map(|x| T::from_f32(*x)).collect();
    let global = [GlobalScale::new(amax::slice(super::Path::Scalar, &input), rule.e4m3_max())];
    let block = |columns: bool, line: usize, block: usize| -> scalar::Block {
        std::array::from_fn(|i| {
            let at = if columns { i * 64 + line } else { line * 64 + 16 * block + i };
            input[at].to_f32()
        })
    };
    for columns in [false, true] {
        let (mut codes, mut scales) = ([0_u8; 512], [0_u8; 64]);
        let panel = Panel {
            from: input.as_ptr(),
            stride: if columns { 64 } else { 16 },
            step: if columns { N } else { 16 * N },
            codes: codes.as_mut_ptr(),
            lane_bytes: 8,
            step_bytes: 8 * N,
            scales: scales.as_mut_ptr(),
            count: 64 / N,
            globals: &global,
            rule,
        };
        // SAFETY: 64 blocks; the portable form runs everywhere.
        let map4 = unsafe {
            if columns {
                kernel::groups::<Portable<N>, T, true>(&panel)
            } else {
                kernel::groups::<Portable<N>, T, false>(&panel)
            }
        };
        let mut expected = 0;
        for index in 0..64 {
            let elements =
                if columns { block(true, index, 0) } else { block(false, index / 4, index % 4) };
            let (chosen, is_map4) = scalar::quantize_block(&elements, &global[0], rule);
            assert_eq!(codes[8 * index..][..8], chosen.packed(), "{rule:?}, block {index}");
            assert_eq!(scales[index], chosen.scale, "{rule:?}, block {index}");
            expected += u64::from(is_map4);
        }
        assert_eq!(map4, expected);

        let panel = Panel {
            stride: 64,
            step: 16,
            lane_bytes: if columns { 8 } else { 32 },
            step_bytes: if columns { 128 } else { 8 },
            count: 4,
            ..panel
        };
        // SAFETY: four tiles; the portable form runs everywhere.
        unsafe {
            if columns {
                tile::tiles::<Portable<N>, T, true>(&panel);
            } else {
                tile::tiles::<Portable<N>, T, false>(&panel);
            }
        }
        for (index, scale) in scales.iter().take(4).enumerate() {
            let rows = std::array::from_fn(|i| {
                if columns { block(true, 16 * index + i, 0) } else { block(false, i, index) }
            });
            let (chosen, _) = scalar::quantize_tile(&rows, &global[0], rule);
            for (i, row) in chosen.iter().enumerate() {
                let at = if columns { 8 * (16 * index + i) } else { 32 * i + 8 * index };
                assert_eq!(codes[at..at + 8], row.packed(), "{rule:?}, tile {index}, row {i}");
            }
            assert_eq!(*scale, chosen[0].scale, "{rule:?}, tile {index}");
        }
    }
}

#[test]
fn every_lane_count_gives_the_scalar_bits() {
    for rule in rules() {
        for seed in 0..40 {
            let values = structured(seed);
            check_lanes::<bf16, 4>(&values, rule);
            check_lanes::<bf16, 16>(&values, rule);
            check_lanes::<f32, 4>(&values, rule);
            check_lanes::<f32, 16>(&values, rule);
        }
    }
}
