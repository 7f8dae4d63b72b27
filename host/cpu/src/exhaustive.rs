//! Every rounding of every path over all FP32 values in its range, and every packing of codes.
//!
//! `EXTENSIVE=1` tries them all (in release, 20 minutes of a core); else one slice in 256 runs, another one
//! each day, which is printed; `SLICE=k` repeats slice k, `SLICE=k/n` is one of n.

use std::ops::Range;

use half::{bf16, f16};
use rayon::prelude::*;

use crate::candidate::{code_words, nearest};
use crate::formats::{E2M1_SIGNED, E4M3, e2m1, e4m3};
use crate::group::Group;
use crate::lane_scale::{LaneGlobal, LaneScale, e4m3_code};
use crate::scale::GlobalScale;
use crate::simd::vector::Vector;
use crate::tests::on_every_vector;
use fouroversix_core::E4m3Max;

const SLICES: &str = "256";
const CHUNK: u64 = 1 << 18;

/// The chunks of `0..end` that are to be tried, in this run.
fn chunks(what: &str, end: u64) -> Vec<Range<u32>> {
    let whole = std::env::var("EXTENSIVE").is_ok_and(|value| value == "1");
    let days = std::time::UNIX_EPOCH.elapsed().map_or(0, |time| time.as_secs() / 86_400);
    let asked = std::env::var("SLICE").unwrap_or_else(|_| days.to_string());
    let (slice, slices) = asked.split_once('/').unwrap_or((&asked, SLICES));
    let [slice, slices]: [u64; 2] =
        [slice, slices].map(|text| text.parse().expect("SLICE is k or k/n"));
    let slice = slice % slices;
    let last = end.div_ceil(CHUNK);
    // The ends of the range are in every slice.
    let chosen = (0..last).filter(|i| whole || i % slices == slice || *i == 0 || i + 1 == last);
    let chunks: Vec<_> = chosen
        .map(|i| (i * CHUNK) as u32..((i + 1) * CHUNK).min(end).min(u64::from(u32::MAX)) as u32)
        .collect();
    let count: u64 = chunks.iter().map(|chunk| u64::from(chunk.end - chunk.start)).sum();
    match whole {
        true => println!("{what}: all {count} values"),
        false => println!("{what}: {count} of {end} values, SLICE={slice} of {slices}"),
    }
    chunks
}

/// Panics with the first value of `chunks` for which `wrong` names a difference.
fn try_all(chunks: Vec<Range<u32>>, wrong: impl Fn(u32) -> Option<String> + Sync) {
    let found = chunks.into_par_iter().find_map_any(|chunk| {
        chunk.into_iter().find_map(|bits| wrong(bits).map(|told| format!("{bits:#010x}: {told}")))
    });
    assert!(found.is_none(), "{}", found.unwrap_or_default());
}

/// As [`try_all`], a vector at a time: `wrong` gets 16 values, of which `LANES` count.
fn try_vectors<V: Vector>(
    chunks: Vec<Range<u32>>,
    wrong: impl Fn([f32; 16]) -> Option<String> + Sync,
) {
    let lanes = V::LANES as u32;
    let found = chunks.into_par_iter().find_map_any(|chunk| {
        let last = chunk.end - 1;
        chunk.step_by(V::LANES).find_map(|first| {
            // What is past the end is the last value again.
            let value = |i: usize| f32::from_bits((first + i as u32 % lanes).min(last));
            wrong(std::array::from_fn(value)).map(|told| format!("from {first:#010x}: {told}"))
        })
    });
    assert!(found.is_none(), "{} lanes: {}", V::LANES, found.unwrap_or_default());
}

/// The code whose value is nearest, of a list of ascending values; even codes at ties. In FP64 all
/// differences are exact.
fn by_distance(values: &[f32], y: f32) -> u8 {
    let distance = |code: usize| (f64::from(values[code]) - f64::from(y)).abs();
    let mut best = 0;
    for code in 1..values.len() {
        let closer = distance(code) < distance(best);
        if closer || distance(code) == distance(best) && code % 2 == 0 {
            best = code;
        }
    }
    best as u8
}

/// The code that is nearest, found from `near`, a code one off at the most; as [`by_distance`].
fn beside(values: &[f32], near: u8, y: f32) -> u8 {
    let first = usize::from(near).saturating_sub(2) & !1;
    let last = (usize::from(near) + 3).min(values.len());
    first as u8 + by_distance(&values[first..last], y)
}

#[test]
fn one_value_to_e2m1() {
    try_all(chunks("E2M1", 1 << 32), |bits| {
        let y = f32::from_bits(bits);
        let sign = (bits >> 31) as u8;
        let expected = match y.abs() {
            y if y.is_nan() => 7,
            y if y >= 6.0 => 7 | sign << 3,
            y => by_distance(&E2M1_SIGNED[..8], y) | sign << 3,
        };
        (e2m1(y) != expected).then(|| format!("{y:e} became {}, not {expected}", e2m1(y)))
    });
}

#[test]
fn one_value_to_e4m3() {
    let end = u64::from(448.0_f32.to_bits()) + 1;
    try_all(chunks("E4M3", end), |bits| {
        let y = f32::from_bits(bits);
        let code = e4m3(y);
        let expected = beside(&E4M3[..0x7F], code, y);
        (code != expected).then(|| format!("{y:e} became {code}, not {expected}"))
    });
}

fn vectors_to_e2m1<V: Vector>() {
    let end = u64::from(7.0_f32.to_bits());
    try_vectors::<V>(chunks("E2M1 on vectors", end), |lanes| {
        let mut rounded = [0.0_f32; 16];
        // SAFETY: 16 is at least LANES; the caller chose an available path.
        unsafe { V::store(V::round_e2m1(V::load(lanes.as_ptr())), rounded.as_mut_ptr()) };
        let mut pairs = lanes.into_iter().zip(rounded).take(V::LANES);
        let wrong = pairs.find(|(y, q)| E2M1_SIGNED[usize::from(e2m1(*y))] != *q);
        wrong.map(|(y, q)| format!("{y:e} became {q}"))
    });
}

#[test]
fn vectors_round_to_e2m1() {
    on_every_vector!(vectors_to_e2m1);
}

/// Steps 3 to 5 from the unrounded scale on: its E4M3 value, its code and the encode scale. Every
/// positive value, infinity included, under a decode scale of 1.
fn vectors_to_e4m3<V: Vector>() {
    let end = u64::from(f32::INFINITY.to_bits()) + 1;
    let scalar = GlobalScale { amax: 0.0, encode: 1.0, decode: 1.0, full_range: 2688.0 };
    try_vectors::<V>(chunks("E4M3 on vectors", end), |lanes| {
        let mut out = [[0.0_f32; 16]; 3];
        // SAFETY: 16 is at least LANES; the caller chose an available path.
        unsafe {
            let global = LaneGlobal::<V>::new(&[scalar]);
            let scale = global.scale(V::load(lanes.as_ptr()));
            V::store(scale.value, out[0].as_mut_ptr());
            V::store(V::from_bits(e4m3_code::<V>(scale.value)), out[1].as_mut_ptr());
            V::store(scale.encode, out[2].as_mut_ptr());
        }
        (0..V::LANES).find_map(|i| {
            let expected = scalar.with_code(e4m3(lanes[i].min(448.0)));
            let got = (out[1][i].to_bits(), out[0][i].to_bits(), out[2][i].to_bits());
            let wanted =
                (u32::from(expected.code), expected.value.to_bits(), expected.encode.to_bits());
            (got != wanted).then(|| format!("{:e} became {got:x?}, not {wanted:x?}", lanes[i]))
        })
    });
}

#[test]
fn vectors_round_scales() {
    on_every_vector!(vectors_to_e4m3);
}

/// Division by six and reciprocals of all magnitudes: IEEE's, as one value at a time gives them.
fn vectors_divide<V: Vector>() {
    try_vectors::<V>(chunks("x/6 and 1/x on vectors", 0x7F80_0000), |lanes| {
        let mut out = [[0.0_f32; 16]; 2];
        // SAFETY: 16 is at least LANES; the caller chose an available path.
        unsafe {
            let x = V::load(lanes.as_ptr());
            V::store(V::div(x, V::splat(6.0)), out[0].as_mut_ptr());
            V::store(V::div(V::splat(1.0), x), out[1].as_mut_ptr());
        }
        (0..V::LANES).find_map(|i| {
            let x = lanes[i];
            let right = out[0][i].to_bits() == (x / 6.0).to_bits()
                && out[1][i].to_bits() == (1.0 / x).to_bits();
            (!right).then(|| format!("{x:e}: {:e}, {:e}", out[0][i], out[1][i]))
        })
    });
}

#[test]
fn vectors_divide_as_ieee_does() {
    on_every_vector!(vectors_divide);
}

fn vectors_narrow<V: Vector>() {
    try_vectors::<V>(chunks("bf16 and f16 on vectors", 1 << 31), |lanes| {
        let mut out = [[0.0_f32; 16]; 2];
        // SAFETY: 16 is at least LANES; the caller chose an available path.
        unsafe {
            let x = V::load(lanes.as_ptr());
            V::store(V::from_bits(V::to_bf16(x)), out[0].as_mut_ptr());
            V::store(V::from_bits(V::to_f16(x)), out[1].as_mut_ptr());
        }
        (0..V::LANES).find_map(|i| {
            let x = lanes[i];
            // Of a NaN only that it is one, where its low half is zero.
            let of_bf16 = (out[0][i].to_bits() >> 16) as u16;
            let of_f16 = out[1][i].to_bits() as u16;
            let right = match x.is_nan() {
                true => {
                    (x.to_bits() & 0xFFFF != 0 || bf16::from_bits(of_bf16).is_nan())
                        && f16::from_bits(of_f16).is_nan()
                }
                false => {
                    of_bf16 == bf16::from_f32(x).to_bits() && of_f16 == f16::from_f32(x).to_bits()
                }
            };
            (!right).then(|| format!("{x:e} became {of_bf16:#x} and {of_f16:#x}"))
        })
    });
    // And back.
    for first in (0..=u32::from(u16::MAX)).step_by(V::LANES) {
        let words: [u32; 16] = std::array::from_fn(|i| (first + i as u32) & 0xFFFF);
        let mut out = [0.0_f32; 16];
        // SAFETY: as above.
        unsafe { V::store(V::from_f16(V::load_u32(words.as_ptr())), out.as_mut_ptr()) };
        for (word, got) in words.into_iter().zip(out).take(V::LANES) {
            let expected = f16::from_bits(word as u16).to_f32();
            assert!(expected.to_bits() == got.to_bits() || expected.is_nan() && got.is_nan());
        }
    }
}

#[test]
fn vectors_round_to_half_types() {
    on_every_vector!(vectors_narrow);
}

/// Trick 2: every four codes, with every sign, in every quarter of a block.
fn vectors_pack<V: Vector>() {
    // Lanes differ, so that one in another's place shows.
    for first in 0..1 << 16 {
        let codes: [u8; 16] = std::array::from_fn(|i| {
            let quad = (first as u32).wrapping_add(0x1357 * (i as u32 / 4)) & 0xFFFF;
            (quad >> (4 * (i % 4)) & 0xF) as u8
        });
        let of_lane = |lane: usize, i: usize| codes[(i + 5 * lane) % 16];
        let mut words = [[0.0_f32; 16]; 2];
        // SAFETY: 16 is at least LANES; the caller chose an available path.
        unsafe {
            let lanes = |at: &dyn Fn(usize) -> u32| {
                let lanes: [u32; 16] = std::array::from_fn(at);
                V::load_u32(lanes.as_ptr())
            };
            let sign_word = |lane: usize, word: usize| {
                (0..8).map(|i| u32::from(of_lane(lane, 8 * word + i) >> 3) << (4 * i + 3)).sum()
            };
            let group = Group::<V> {
                magnitudes: std::array::from_fn(|i| {
                    V::from_bits(lanes(&|lane| {
                        E2M1_SIGNED[usize::from(of_lane(lane, i) & 7)].to_bits()
                    }))
                }),
                signs: [lanes(&|lane| sign_word(lane, 0)), lanes(&|lane| sign_word(lane, 1))],
                amax: V::splat(6.0),
            };
            let one = LaneScale { value: V::splat(1.0), encode: V::splat(1.0) };
            let packed = match first % 2 {
                0 => nearest::<V, false>(&group, &one),
                _ => nearest::<V, true>(&group, &one),
            };
            for (word, to) in code_words::<V>(&packed, &group.signs).into_iter().zip(&mut words) {
                V::store(V::from_bits(word), to.as_mut_ptr());
            }
        }
        let lanes = words[0].into_iter().zip(words[1]).take(V::LANES);
        for (lane, (low, high)) in lanes.enumerate() {
            let codes = u64::from(low.to_bits()) | u64::from(high.to_bits()) << 32;
            for i in 0..16 {
                let code = (codes >> (4 * i)) as u32 & 0xF;
                assert_eq!(code, u32::from(of_lane(lane, i)), "lane {lane}, element {i}");
            }
        }
    }
}

#[test]
fn vectors_pack_every_four_codes() {
    on_every_vector!(vectors_pack);
}

/// Both scales of a block, of every maximum, on every vector and one at a time: division by six, S_enc,
/// E4M3 and the reciprocal together.
fn vectors_scale_blocks<V: Vector>() {
    for (amax, bound) in [(1.0, E4m3Max::M448), (0.0391, E4m3Max::M256), (3e-39, E4m3Max::M448)] {
        let scalar = GlobalScale::new(amax, bound);
        let end = u64::from(amax.to_bits()) + 1;
        try_vectors::<V>(chunks("block scales on vectors", end), |lanes| {
            let mut out = [[0.0_f32; 16]; 6];
            // SAFETY: 16 is at least LANES; the caller chose an available path.
            unsafe {
                let global = LaneGlobal::<V>::new(&[scalar]);
                let maximum = V::load(lanes.as_ptr());
                let pair = global.candidates(maximum);
                let plain = global.plain(maximum);
                for (i, scale) in [pair.map4, pair.map6, plain].into_iter().enumerate() {
                    V::store(scale.value, out[2 * i].as_mut_ptr());
                    V::store(scale.encode, out[2 * i + 1].as_mut_ptr());
                }
            }
            (0..V::LANES).find_map(|i| {
                let pair = scalar.candidates(lanes[i]);
                let expected = [pair.map4, pair.map6, scalar.plain(lanes[i])];
                let expected = expected.map(|scale| [scale.value, scale.encode]).concat();
                let right = (0..6).all(|k| out[k][i].to_bits() == expected[k].to_bits());
                (!right).then(|| format!("a block of {:e} under {amax:e}", lanes[i]))
            })
        });
    }
}

#[test]
fn vectors_scale_every_block() {
    on_every_vector!(vectors_scale_blocks);
}
