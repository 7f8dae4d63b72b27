//! Random tensors on every CPU path against the reference, by all rules, scalings and roundings, with
//! transforms and without: as many elements as `FOUROVERSIX_ELEMENTS` says, 10^9 when it is not set.
//!
//! `cargo test --release -p fouroversix-conformance random:: -- --ignored --nocapture`

use fouroversix::cpu::{self, Path};
use fouroversix::{
    Config, E4m3Max, ErrorPath, Metric, RandomState, Rounding, Rule, Scaling, SignMask, Transforms,
};
use fouroversix_conformance::case::Input;
use fouroversix_conformance::oracle;
use fouroversix_core::config::InputType;
use half::bf16;
use rayon::prelude::*;

const SHAPE: [usize; 2] = [64, 1024];

fn config(index: u64) -> Config {
    let rules = [None, Some(Metric::Mae), Some(Metric::Mse)];
    let rule = rules[(index % 3) as usize].map_or(Rule::Plain, |metric| Rule::FourOverSix {
        metric,
        error_path: if (index / 3).is_multiple_of(2) { ErrorPath::Strict } else { ErrorPath::Fast },
        e4m3_max: if (index / 6).is_multiple_of(2) { E4m3Max::M256 } else { E4m3Max::M448 },
    });
    let scalings = [Scaling::Tensor, Scaling::Row, Scaling::Tile];
    let scaling = scalings[(index / 12 % 3) as usize];
    let mut config = Config::builder().rule(rule).scaling(scaling);
    if (index / 36).is_multiple_of(2) {
        config = config.rounding(Rounding::Stochastic(RandomState { seed: index, offset: !index }));
    }
    if scaling == Scaling::Tensor && (index / 72).is_multiple_of(2) {
        let signs = Some(SignMask(index.wrapping_mul(0x9E37) as u16));
        config = config.transforms(Transforms { rowwise: signs, columnwise: None });
    }
    config.build().expect("rowwise is defined")
}

/// Elements near a normal distribution, with a scale of its own for every tensor and row.
fn tensor(index: u64) -> Vec<bf16> {
    let mut state = index.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / 16_777_216.0
    };
    let mut values = Vec::with_capacity(SHAPE[0] * SHAPE[1]);
    for _ in 0..SHAPE[0] {
        let scale = (16.0 * next() - 8.0).exp2();
        for _ in 0..SHAPE[1] {
            let sum = next() + next() + next() - 1.5;
            values.push(bf16::from_f32(scale * sum));
        }
    }
    values
}

#[test]
#[ignore = "minutes to hours: set FOUROVERSIX_ELEMENTS"]
fn random_tensors_give_the_reference_bits() {
    let wanted = std::env::var("FOUROVERSIX_ELEMENTS").ok().and_then(|n| n.parse().ok());
    let elements = (SHAPE[0] * SHAPE[1]) as u64;
    let tensors = wanted.unwrap_or(1_000_000_000_u64).div_ceil(elements);
    let paths = Path::available();
    let wrong: u64 = (0..tensors)
        .into_par_iter()
        .map(|index| {
            let (config, input) = (config(index), tensor(index));
            let bits = input.iter().map(|x| x.to_bits().into()).collect();
            let case = Input { element: InputType::Bf16, shape: SHAPE, bits };
            let expected = oracle::quantize(config, &case, None)
                .expect("the shape is a multiple of 16")
                .rowwise
                .expect("rowwise was asked for");
            let mut wrong = 0;
            for path in &paths {
                let actual = cpu::quantize_outputs(*path, &input, SHAPE, &config, None)
                    .expect("the path is available")
                    .rowwise
                    .expect("rowwise was asked for");
                let differ = |a: &[u8], b: &[u8]| {
                    assert_eq!(a.len(), b.len());
                    a.iter().zip(b).filter(|(a, b)| a != b).count() as u64
                };
                wrong += differ(actual.codes(), &expected.codes);
                wrong += differ(actual.scales(), &expected.scales);
            }
            wrong
        })
        .sum();
    let names: Vec<_> = paths.iter().map(|path| path.name()).collect();
    println!("{} elements on {names:?}: {wrong} bytes differ", tensors * elements);
    assert_eq!(wrong, 0);
}
