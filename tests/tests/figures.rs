//! Quality figures of the contract on normal data: what the format is for, and a check of rounding
//! trip, choice and dequantization together that shares nothing with bitwise cases.

use fouroversix_conformance::rng::Rng;
use fouroversix_reference::{Bf16, E4m3Max, ErrorPath, Metric, Rule, Scaling, quantize};

const ROWS: usize = 1024;
const COLS: usize = 4096;

fn normal() -> Vec<f32> {
    let mut rng = Rng::new(1);
    (0..ROWS * COLS).map(|_| Bf16::from_f32(rng.normal()).to_f32()).collect()
}

fn four_over_six(metric: Metric, error_path: ErrorPath) -> Rule {
    Rule::FourOverSix { metric, error_path, e4m3_max: E4m3Max::M256 }
}

const PLAIN: Rule = Rule::Plain;

/// Squared error of the dequantized tensor over the power of the input.
fn noise(x: &[f32], rule: Rule, scaling: Scaling) -> f64 {
    let values = quantize(x, ROWS, COLS, rule, scaling, None).unwrap().dequantize();
    let pairs = x.iter().zip(values).map(|(&x, v)| (f64::from(x), f64::from(v)));
    let (error, power) =
        pairs.fold((0.0, 0.0), |(e, p), (x, v)| (e + (x - v) * (x - v), p + x * x));
    error / power
}

fn share_that_differs(a: &[u8], b: &[u8]) -> f64 {
    a.iter().zip(b).filter(|(a, b)| a != b).count() as f64 / a.len() as f64
}

#[test]
fn noise_of_normal_data() {
    let x = normal();
    let mae = four_over_six(Metric::Mae, ErrorPath::Strict);
    let mse = four_over_six(Metric::Mse, ErrorPath::Strict);
    for (rule, scaling, expected) in [
        (PLAIN, Scaling::Tensor, 0.00904),
        (mae, Scaling::Tensor, 0.00779),
        (mse, Scaling::Tensor, 0.00756),
        (PLAIN, Scaling::Tile, 0.01239),
        (mse, Scaling::Tile, 0.01237),
    ] {
        let noise = noise(&x, rule, scaling);
        println!("{rule:?} {scaling:?}: {noise:.5}, expected {expected}");
        assert!((noise / expected - 1.0).abs() < 0.01, "{rule:?} {scaling:?}: {noise}");
    }
}

#[test]
fn strict_and_fast_agree_on_nearly_all_scales() {
    let x = normal();
    for metric in [Metric::Mae, Metric::Mse] {
        let scales = |path| {
            quantize(&x, ROWS, COLS, four_over_six(metric, path), Scaling::Tensor, None)
                .unwrap()
                .scales
        };
        let share = share_that_differs(&scales(ErrorPath::Strict), &scales(ErrorPath::Fast));
        println!("{metric:?}: {share:.6} differ");
        assert!(share < 0.0003, "{metric:?}: {share} differ");
    }
}
