//! Steps T3 to T6: random bytes and stochastic codes, on known answers and exhaustively.

use fouroversix_reference::philox::philox4x32_10;
use fouroversix_reference::stochastic::stochastic_code;
use fouroversix_reference::{
    Config, Direction, E2m1, E4m3Max, ErrorPath, Metric, RandomState, Rounding, Rule, Scaling,
    quantize, quantize_columnwise_with, quantize_with, transpose,
};
use half::{bf16, f16};

#[test]
fn philox_known_answers() {
    // Random123, `kat_vectors`.
    let answers: [([u32; 4], [u32; 2], [u32; 4]); 3] = [
        ([0; 4], [0; 2], [0x6627_E8D5, 0xE169_C58D, 0xBC57_AC4C, 0x9B00_DBD8]),
        ([!0; 4], [!0; 2], [0x408F_276D, 0x41C8_3B0E, 0xA20B_C7C6, 0x6D54_51FD]),
        (
            [0x243F_6A88, 0x85A3_08D3, 0x1319_8A2E, 0x0370_7344],
            [0xA409_3822, 0x299F_31D0],
            [0xD16C_FE09, 0x94FD_CCEB, 0x5001_E420, 0x2412_6EA1],
        ),
    ];
    for (counter, key, words) in answers {
        assert_eq!(philox4x32_10(counter, key), words, "{counter:x?} {key:x?}");
    }
}

#[test]
fn bytes_of_a_segment() {
    use Direction::{Columnwise, Rowwise};
    let answers = [
        (0x0, 0x0, Rowwise, 0x0, "d527e8668d69c5e14c57acbcd800db9b"),
        (0x0, 0x0, Columnwise, 0x0, "e1451584aa8d6ef05319c00ff0f87583"),
        (0x0123_4567_89AB_CDEF, 0x1, Rowwise, 0x5, "25b7b8afa4d13855279ddcac91d7472a"),
        (0x0123_4567_89AB_CDEF, 0x1, Columnwise, 0x1_1170, "ef775cf81c3818062fadeb20a6c4b78e"),
        (u64::MAX, 0x8000_0000, Rowwise, 0x1, "9bc97d55670425f68415c7c49db62533"),
        (0x2A, 0x1_0000_0000, Rowwise, 0x0, "72c0fa5357f5bc2f02335b7369c8f412"),
        (0x2A, u64::MAX >> 1, Columnwise, 0x7, "453b1dbecfcc725d7d7a1271695f9fa7"),
        // The top bit of the offset is not seen.
        (0x2A, u64::MAX, Columnwise, 0x7, "453b1dbecfcc725d7d7a1271695f9fa7"),
        (0x2A, 0x3, Rowwise, 0x5_0000_0009, "622665fba415d1f8f6c898276789396f"),
    ];
    for (seed, offset, direction, segment, expected) in answers {
        let bytes = RandomState { seed, offset }.bytes(direction, segment);
        let shown: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(shown, expected, "seed {seed:#x} offset {offset:#x} segment {segment:#x}");
    }
}

#[test]
fn streams_of_neighbouring_offsets_and_outputs_differ() {
    let mut streams = Vec::new();
    for offset in [0, 1, 2, (1 << 63) - 1] {
        let state = RandomState { seed: 0, offset };
        streams.extend([state.stream(Direction::Rowwise), state.stream(Direction::Columnwise)]);
    }
    let count = streams.len();
    streams.sort_unstable();
    streams.dedup();
    assert_eq!(streams.len(), count);
    let last = RandomState { seed: 3, offset: u64::MAX };
    assert_eq!(last.of_tensor(1), RandomState { seed: 3, offset: 0 }, "offsets wrap");
}

/// T4 by thresholds, in FP64 and without `k`: up where |p| has reached the point that lies
/// (256 − r)/256 of the step above the lower neighbour. All of it is exact.
fn expected_code(p: f32, byte: u8) -> u8 {
    const GRID: [f64; 8] = [0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0];
    if p.is_nan() {
        return 7;
    }
    let sign = u8::from(p.is_sign_negative()) << 3;
    let magnitude = f64::from(p).abs();
    let below = GRID.partition_point(|&value| value <= magnitude) - 1;
    if below == 7 {
        return sign | 7;
    }
    let share = (256.0 - f64::from(byte)) / 256.0;
    let threshold = GRID[below] + share * (GRID[below + 1] - GRID[below]);
    sign | (below as u8 + u8::from(magnitude >= threshold))
}

fn check_every_byte(p: f32) {
    let neighbours = neighbours(p);
    let mut ups = 0;
    for byte in 0..=u8::MAX {
        let code = stochastic_code(p, byte);
        assert_eq!(code.to_bits(), expected_code(p, byte), "{p:e} {:#x} {byte}", p.to_bits());
        assert!(neighbours.contains(&code.to_bits()), "{p:e} {byte}: further than one step");
        ups += u32::from(code.to_bits() == neighbours[1] && neighbours[0] != neighbours[1]);
    }
    check_mean(p, neighbours, ups);
}

/// The codes just below and above in magnitude; twice the same on the grid and above 6.
fn neighbours(p: f32) -> [u8; 2] {
    let [low, high] = [expected_code(p, 0), expected_code(p, u8::MAX)];
    let is_code = !p.is_nan() && E2m1::from_bits(low).to_f32() == p;
    assert!(!is_code || low == high, "{p:e} lies on the grid");
    if is_code || p.is_nan() || p.abs() >= 6.0 { [low, low] } else { [low, low + 1] }
}

/// The mean over all bytes is the product, less the floor's bias: toward zero, below step/256.
fn check_mean(p: f32, codes: [u8; 2], ups: u32) {
    if p.is_nan() || p.abs() > 6.0 {
        return;
    }
    let [low, high] = codes.map(|code| f64::from(E2m1::from_bits(code).to_f32()).abs());
    let mean = low + f64::from(ups) / 256.0 * (high - low);
    let bias = f64::from(p).abs() - mean;
    assert!(bias >= 0.0 && bias * 256.0 <= high - low, "{p:e} {bias:e}");
    assert!(bias == 0.0 || bias * 256.0 < high - low, "{p:e} {bias:e}");
}

/// Every place where a byte's decision turns, with two neighbours on each side, and what has no such
/// place: zeros, subnormals, saturation, ∞ and NaN.
#[test]
fn every_class_of_product_with_every_byte() {
    let mut products = vec![0.0, f32::from_bits(1), f32::MIN_POSITIVE, 6.0, 6.4, f32::MAX];
    products.extend([f32::from_bits(0x007F_FFFF), f32::INFINITY, f32::NAN]);
    products.extend([f32::from_bits(0x7F80_0001), f32::from_bits(0x7FFF_FFFF)]);
    for pair in [0.0_f32, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0].windows(2) {
        for share in 0..=256 {
            let edge = pair[0] + share as f32 / 256.0 * (pair[1] - pair[0]);
            let bits = edge.to_bits();
            let near = bits.saturating_sub(2)..=bits + 2;
            products.extend(near.map(f32::from_bits));
        }
    }
    for p in products {
        check_every_byte(p);
        check_every_byte(-p);
    }
}

#[test]
fn every_f16_and_bf16_with_every_byte() {
    for bits in 0..=u16::MAX {
        check_every_byte(f16::from_bits(bits).to_f32());
        check_every_byte(bf16::from_bits(bits).to_f32());
    }
}

/// The smallest byte that moves a product up; 255 where none does.
fn turn(p: f32) -> u8 {
    let low = expected_code(p, 0);
    let (mut below, mut above) = (0, u8::MAX);
    while below + 1 < above {
        let middle = below + (above - below) / 2;
        if expected_code(p, middle) == low { below = middle } else { above = middle }
    }
    above
}

/// A product's codes turn once as the byte grows: checking both sides of the turn checks all bytes.
#[test]
#[ignore = "every f32 takes minutes: run with --ignored, best with --release"]
fn every_f32_at_the_byte_where_it_turns() {
    let threads = std::thread::available_parallelism().map_or(1, usize::from) as u64;
    let share = (1u64 << 32).div_ceil(threads);
    let check = |bits: u32| {
        let p = f32::from_bits(bits);
        let turn = turn(p);
        for byte in [0, turn - 1, turn, u8::MAX] {
            assert_eq!(stochastic_code(p, byte).to_bits(), expected_code(p, byte), "{bits:#x}");
        }
    };
    std::thread::scope(|scope| {
        for thread in 0..threads {
            scope.spawn(move || {
                let part = thread * share..((thread + 1) * share).min(1 << 32);
                part.for_each(|bits| check(bits as u32));
            });
        }
    });
    println!("checked 4294967296 products on {threads} threads");
}

const PLAIN: Rule = Rule::Plain;
const MSE256: Rule = Rule::FourOverSix {
    metric: Metric::Mse,
    error_path: ErrorPath::Strict,
    e4m3_max: E4m3Max::M256,
};
const SEARCH: Rule = Rule::Search { metric: Metric::Mse, e4m3_max: E4m3Max::M256 };

fn stochastic(rule: Rule, scaling: Scaling, seed: u64, offset: u64) -> Config {
    let rounding = Rounding::Stochastic(RandomState { seed, offset });
    Config { rounding, ..Config::new(rule, scaling) }
}

/// Some numbers of both signs, spread over three decades.
fn sample(elements: usize) -> Vec<f32> {
    let number = |i: usize| ((i * 7919) % 1013) as f32 - 506.0;
    (0..elements).map(|i| number(i) * 0.1f32.powi(i as i32 % 3)).collect()
}

#[test]
fn scales_and_amax_are_those_of_nearest_rounding() {
    let x = sample(32 * 48);
    for rule in [PLAIN, MSE256, SEARCH] {
        for scaling in [Scaling::Tensor, Scaling::Row, Scaling::Tile] {
            let nearest = quantize(&x, 32, 48, rule, scaling, None).unwrap();
            let config = stochastic(rule, scaling, 5, 9);
            let random = quantize_with(&x, 32, 48, &config, None).unwrap();
            assert_eq!(random.scales, nearest.scales, "{rule:?} {scaling:?}");
            assert_eq!(random.global_amax, nearest.global_amax);
            assert_ne!(random.codes, nearest.codes);
            for row in 0..32 {
                for col in 0..48 {
                    let [a, b] = [&random, &nearest].map(|q| q.code(row, col).to_bits());
                    assert_eq!(a >> 3, b >> 3, "the sign never depends on the byte");
                    assert!((a & 7).abs_diff(b & 7) <= 1, "{rule:?} {row} {col}");
                }
            }
        }
    }
}

#[test]
fn columnwise_is_the_transpose_with_a_stream_of_its_own() {
    let x = sample(32 * 48);
    let transposed = transpose(&x, 32, 48);
    let config = stochastic(MSE256, Scaling::Tensor, 5, 9);
    let columnwise = quantize_columnwise_with(&x, 32, 48, &config, None).unwrap();
    let rowwise = quantize_with(&transposed, 48, 32, &config, None).unwrap();
    assert_eq!(columnwise.scales, rowwise.scales);
    assert_ne!(columnwise.codes, rowwise.codes);
}

#[test]
fn another_seed_or_offset_gives_other_codes_and_the_top_bit_does_not() {
    let x = sample(16 * 64);
    let codes = |seed, offset| {
        let config = stochastic(PLAIN, Scaling::Tensor, seed, offset);
        quantize_with(&x, 16, 64, &config, None).unwrap().codes
    };
    assert_ne!(codes(1, 1), codes(2, 1));
    assert_ne!(codes(1, 1), codes(1, 2));
    assert_eq!(codes(1, 1), codes(1, 1 | 1 << 63));
}

/// Over many offsets, the mean of a block on no grid point is what was put in.
#[test]
fn the_mean_over_offsets_tends_to_the_input() {
    const DRAWS: u64 = 4096;
    let x: [f32; 16] = std::array::from_fn(|i| 6.0 - 0.73 * i as f32);
    let mut sums = [0.0; 16];
    for offset in 0..DRAWS {
        let config = stochastic(PLAIN, Scaling::Tensor, 0, offset);
        let values = quantize_with(&x, 1, 16, &config, None).unwrap().dequantize();
        for (sum, value) in sums.iter_mut().zip(values) {
            *sum += f64::from(value);
        }
    }
    for (sum, x) in sums.into_iter().zip(x) {
        // The deviation of one draw is at most half the largest step, 1.
        let tolerance = 5.0 / (DRAWS as f64).sqrt() + 2.0 / 256.0;
        assert!((sum / DRAWS as f64 - f64::from(x)).abs() < tolerance, "{x}");
    }
}
