//! Any configuration, shape, amax and bits on every path of the CPU, against the reference.
#![no_main]

use std::sync::Arc;

use arbitrary::Arbitrary;
use fouroversix::{
    Config, InputType, Outputs, RandomState, Rounding, Rule, ScaleLayout, Scaling, SignMask,
    Transforms,
};
use fouroversix_conformance::adapters::CpuBackend;
use fouroversix_conformance::backend::Backend;
use fouroversix_conformance::case::{Case, Input, Outcome, SuppliedAmax};
use fouroversix_conformance::oracle;
use fouroversix_cpu::Path;
use libfuzzer_sys::fuzz_target;

#[derive(Arbitrary, Debug)]
struct Wanted {
    rule: u8,
    scaling: u8,
    outputs: u8,
    swizzled: bool,
    stochastic: Option<(u64, u64)>,
    masks: [Option<u16>; 2],
    element: u8,
    blocks: [u8; 2],
    amax: Option<Vec<u32>>,
    /// Repeated over the tensor, every turn with another scale.
    words: Vec<u32>,
}

fn pick<T: Copy>(from: &[T], which: u8) -> T {
    from[usize::from(which) % from.len()]
}

fuzz_target!(|wanted: Wanted| {
    let element = pick(&[InputType::Bf16, InputType::F16, InputType::F32], wanted.element);
    let layout = if wanted.swizzled { ScaleLayout::Swizzled128x4 } else { ScaleLayout::Linear };
    let rules: Vec<Rule> =
        Rule::ALL.into_iter().chain([Rule::SEARCH_MSE, Rule::SEARCH_MAE]).collect();
    let config = Config::builder()
        .rule(pick(&rules, wanted.rule))
        .scaling(pick(&[Scaling::Tensor, Scaling::Row, Scaling::Tile], wanted.scaling))
        .outputs(pick(&[Outputs::Rowwise, Outputs::Columnwise, Outputs::Both], wanted.outputs))
        .scale_layout(layout)
        .rounding(wanted.stochastic.map_or(Rounding::Nearest, |(seed, offset)| {
            Rounding::Stochastic(RandomState { seed, offset })
        }))
        .transforms(Transforms {
            rowwise: wanted.masks[0].map(SignMask),
            columnwise: wanted.masks[1].map(SignMask),
        });
    let Ok(config) = config.build() else { return };
    // Not always whole blocks: those are refused alike.
    let side = |byte: u8| usize::from(byte % 5) * 16 + usize::from(byte == 255);
    let shape @ [rows, cols] = wanted.blocks.map(side);
    let kept = if element == InputType::F32 { u32::MAX } else { 0xFFFF };
    let bits = (0..rows * cols).map(|i| {
        let word = wanted.words.get(i % wanted.words.len().max(1)).copied().unwrap_or(0);
        let turn = (i / wanted.words.len().max(1)) as u32;
        (if element == InputType::F32 {
            word.wrapping_add(turn << 23)
        } else {
            word.wrapping_add(turn << 7)
        }) & kept
    });
    let input = Arc::new(Input { element, shape, bits: bits.collect() });
    let supplied = wanted.amax.map(|words| {
        let value =
            |i: usize| f32::from_bits(words.get(i % words.len().max(1)).copied().unwrap_or(0));
        let of = |count: usize| {
            let count = if config.scaling() == Scaling::Row { count } else { 1 };
            (0..count).map(value).collect()
        };
        let columnwise = if config.outputs().columnwise() { of(cols) } else { Vec::new() };
        Arc::new(SuppliedAmax { rowwise: of(rows), columnwise })
    });
    let expected = oracle::quantize(config, &input, supplied.as_deref());
    let case = Case {
        name: "fuzz".to_owned(),
        config,
        input,
        supplied_amax: supplied,
        expected: Outcome::default(),
    };
    // Amaxes are compared as bits.
    let shown = |outcome: &Outcome| {
        [&outcome.rowwise, &outcome.columnwise].map(|output| {
            output.as_ref().map(|output| {
                let amaxes: Vec<u32> = output.global_amax.iter().map(|x| x.to_bits()).collect();
                (output.codes.clone(), output.scales.clone(), amaxes)
            })
        })
    };
    for path in Path::available() {
        let got = CpuBackend(path).quantize(&case);
        match (&expected, got) {
            (Ok(expected), Ok(got)) => assert!(shown(expected) == shown(&got), "{path}: {case:?}"),
            (Err(_), Err(_)) => {}
            (expected, got) => panic!("{path}: {case}: {expected:?}, but {:?}", got.map(|_| ())),
        }
    }
});
