//! Steps S1 to S5: which scales are tried, and which one is taken.

use fouroversix_reference::block::{decide_row, decide_tile};
use fouroversix_reference::scale::{GlobalScale, ScalePair};
use fouroversix_reference::search::{STEPS, scales, search};
use fouroversix_reference::{
    Candidate, E4m3, E4m3Max, Error, ErrorPath, Metric, Rule, Scaling, explain, quantize,
    quantize_columnwise,
};

const A: [E4m3Max; 2] = [E4m3Max::M448, E4m3Max::M256];
const METRICS: [Metric; 2] = [Metric::Mae, Metric::Mse];

/// A global scale of 1, so that b is bmax/6.
fn unit() -> GlobalScale {
    GlobalScale::new(1536.0, E4m3Max::M256)
}

#[test]
fn every_byte_of_map6_has_its_candidates_in_order() {
    for map6 in 0..=126u8 {
        let block_amax = 6.0 * E4m3::from_bits(map6).to_f32();
        let tried: Vec<u8> = scales(block_amax, &unit()).iter().map(|s| s.to_bits()).collect();
        let expected: Vec<u8> = STEPS
            .iter()
            .map(|step| i16::from(map6) + step)
            .filter(|&byte| byte == i16::from(map6) || (1..127).contains(&byte))
            .map(|byte| byte as u8)
            .collect();
        assert_eq!(tried, expected);
        assert_eq!(tried[0], map6);
        let mut distinct = tried.clone();
        distinct.sort_unstable();
        distinct.dedup();
        assert_eq!(distinct.len(), tried.len(), "nothing is clamped onto another");
    }
    let numbers = |block_amax| scales(block_amax, &unit()).len();
    assert_eq!((numbers(0.0), numbers(6.0), numbers(2688.0)), (9, 13, 5));
}

/// Both bytes change only where b, or 1.5 b, passes a midpoint of E4M3: looking there is looking
/// everywhere.
#[test]
fn the_byte_of_map4_is_always_tried() {
    let global = unit();
    let mut largest = 0;
    for code in 0..126 {
        let [low, high] = [code, code + 1].map(|code| E4m3::from_bits(code).to_f32());
        let midpoint = f32::midpoint(low, high);
        for b in [midpoint, midpoint / 1.5] {
            let bits = (b * 6.0).to_bits();
            for block_amax in (bits - 8..=bits + 8).map(f32::from_bits) {
                let pair = ScalePair::new(block_amax, &global);
                assert!(scales(block_amax, &global).contains(&pair.map4), "{block_amax:e}");
                largest = largest.max(pair.map4.to_bits() - pair.map6.to_bits());
            }
        }
    }
    assert_eq!(largest, 6, "in subnormals; 5 where both are normal");
}

/// The byte chosen where every candidate's error is what `error` says.
fn chosen(map6: u8, error: impl Fn(u8) -> f32) -> u8 {
    let block_amax = 6.0 * E4m3::from_bits(map6).to_f32();
    search(block_amax, &unit(), |scale| error(scale.to_bits())).1.to_bits()
}

#[test]
fn the_first_stays_until_another_is_strictly_lower() {
    assert_eq!(chosen(64, |_| 1.0), 64, "a tie stays");
    assert_eq!(chosen(64, |_| f32::INFINITY), 64);
    assert_eq!(chosen(64, |_| f32::NAN), 64);
    assert_eq!(chosen(64, |byte| if byte == 64 { f32::NAN } else { 0.0 }), 64, "NaN stays");
    assert_eq!(chosen(64, |byte| if byte == 72 { 1.0 } else { f32::NAN }), 64);
    assert_eq!(chosen(64, |byte| if byte == 72 { 1.0 } else { f32::INFINITY }), 72);
    assert_eq!(chosen(64, |byte| if byte == 64 { 1.0 } else { f32::NAN }), 64);
    // Of two equal ones, the earlier in the order: the upper before the lower neighbour.
    let apart = |byte: u8| f32::from(byte.abs_diff(64).abs_diff(2));
    assert_eq!(chosen(64, apart), 66);
    assert_eq!(chosen(64, f32::from), 60);
    assert_eq!(chosen(64, |byte| -f32::from(byte)), 72);
    assert_eq!(chosen(0, f32::from), 0, "0 is tried where map6 is 0");
    assert_eq!(chosen(3, f32::from), 1, "and nowhere else");
    assert_eq!(chosen(120, |byte| -f32::from(byte)), 126);
}

/// Uniform bits of a small generator, for inputs only.
struct Bits(u64);

impl Bits {
    fn next(&mut self) -> u32 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (self.0 >> 33) as u32
    }

    /// Between −1 and 1, mostly near 0, times a power of two that changes with the block.
    fn element(&mut self, exponent: i32) -> f32 {
        let unit = self.next() as f32 / 2f32.powi(30) - 1.0;
        unit * unit * unit * 2f32.powi(exponent)
    }
}

fn errors(searched: &[Candidate], scale: E4m3) -> f32 {
    searched.iter().find(|candidate| candidate.scale == scale).expect("it was tried").error
}

#[test]
fn the_error_is_never_above_the_fast_one_of_four_over_six() {
    let mut bits = Bits(1);
    let mut lower = 0;
    for number in 0..6000 {
        let exponent = (bits.next() % 24) as i32 - 20;
        let tile: [[f32; 16]; 16] =
            std::array::from_fn(|_| std::array::from_fn(|_| bits.element(exponent)));
        for e4m3_max in A {
            let global = GlobalScale::new(8.0, e4m3_max);
            for metric in METRICS {
                let four_over_six =
                    Rule::FourOverSix { metric, error_path: ErrorPath::Fast, e4m3_max };
                let search = Rule::Search { metric, e4m3_max };
                let decisions = if number % 16 == 0 {
                    [four_over_six, search].map(|rule| decide_tile(&tile, rule, &global))
                } else {
                    [four_over_six, search].map(|rule| decide_row(&tile[0], rule, &global))
                };
                let [pair, best] = decisions;
                let candidates = pair.candidates.unwrap();
                let taken = if candidates.takes_map4() { candidates.map4 } else { candidates.map6 };
                let error = errors(&best.searched, best.scale);
                assert!(error <= taken.error, "{error:e} {:e}", taken.error);
                assert!(best.searched.iter().all(|other| error <= other.error));
                lower += u32::from(error < taken.error);
            }
        }
    }
    assert!(lower > 10_000, "the search finds better scales in most blocks: {lower}");
}

#[test]
fn nan_and_infinity_keep_the_scale_of_map6() {
    let mut x: [f32; 16] = std::array::from_fn(|i| i as f32 / 4.0);
    x[2] = f32::NAN;
    for metric in METRICS {
        for e4m3_max in A {
            let rule = Rule::Search { metric, e4m3_max };
            let decision = explain(&x, 1, 16, rule, Scaling::Tensor, None, 0, 0).unwrap();
            assert!(decision.searched.iter().all(|candidate| candidate.error.is_nan()));
            assert_eq!(decision.scale, decision.searched[0].scale);
            let infinite = [f32::INFINITY; 16];
            let decision = explain(&infinite, 1, 16, rule, Scaling::Tensor, None, 0, 0).unwrap();
            assert_eq!(decision.scale.to_bits(), 126);
        }
    }
}

#[test]
fn shapes_and_outputs_are_those_of_four_over_six() {
    let x = vec![1.0; 32 * 32];
    let rule = Rule::Search { metric: Metric::Mse, e4m3_max: E4m3Max::M256 };
    for scaling in [Scaling::Tensor, Scaling::Row, Scaling::Tile] {
        let quantized = quantize(&x, 32, 32, rule, scaling, None).unwrap();
        assert_eq!(quantized.dequantize(), x, "{scaling:?}");
        let columnwise = quantize_columnwise(&x, 32, 32, rule, scaling, None);
        if scaling == Scaling::Row {
            assert_eq!(columnwise, Err(Error::RowScaledSearchColumnwise));
            assert!(Error::RowScaledSearchColumnwise.to_string().contains("rowwise output only"));
        } else {
            assert_eq!(columnwise.unwrap().codes, quantized.codes);
        }
    }
    let ragged = quantize(&x[..24], 1, 24, rule, Scaling::Tensor, None);
    assert_eq!(ragged, Err(Error::Dimension { dimension: "columns", length: 24, multiple: 16 }));
}
