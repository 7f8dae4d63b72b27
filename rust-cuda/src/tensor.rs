//! A tensor of numbers of many magnitudes, and what the reference makes of it.

use std::error::Error;

use fouroversix_core::{Config, E4m3Max, ErrorPath, InputType, Metric, Rule, ScaleLayout, Scaling};
use fouroversix_reference as reference;

use crate::quantizer::Quantized;

/// A `[rows, cols]` tensor.
pub struct Tensor {
    /// The type of its elements.
    pub input: InputType,
    /// As they lie in memory.
    pub bytes: Vec<u8>,
    values: Vec<f32>,
    shape: [usize; 2],
}

impl Tensor {
    /// From a fixed seed; the special values are among its numbers.
    pub fn new(input: InputType, shape: [usize; 2]) -> Self {
        let mut state = 0x4F53_1604_u32;
        let mut bits: Vec<u32> = (0..shape[0] * shape[1])
            .map(|_| {
                // xorshift32; exponents 2⁻⁸ to 2⁷ keep every block's scale in range.
                state ^= state << 13;
                state ^= state >> 17;
                state ^= state << 5;
                let exponent = state >> 27 & 0xF;
                match input {
                    InputType::Bf16 => state & 0x807F | (119 + exponent) << 7,
                    InputType::F16 => state & 0x83FF | (7 + exponent) << 10,
                    InputType::F32 => state & 0x807F_FFFF | (119 + exponent) << 23,
                }
            })
            .collect();
        let (sign, nan) = match input {
            InputType::Bf16 => (0x8000, 0x7FC0),
            InputType::F16 => (0x8000, 0x7E00),
            InputType::F32 => (0x8000_0000, 0x7FC0_0000),
        };
        bits[..16].fill(0);
        bits[16..32].fill(sign);
        bits[32] = nan;
        bits[48..64].fill(1);
        let value = |bits: &u32| match input {
            InputType::Bf16 => reference::Bf16::from_bits(*bits as u16).to_f32(),
            InputType::F16 => reference::Fp16::from_bits(*bits as u16).to_f32(),
            InputType::F32 => f32::from_bits(*bits),
        };
        let values = bits.iter().map(value).collect();
        let bytes = bits.iter().flat_map(|bits| bits.to_le_bytes().into_iter().take(input.bytes()));
        Self { input, bytes: bytes.collect(), values, shape }
    }

    /// Bytes of codes, scales and amaxes that are not the reference's. The first of each is printed.
    pub fn differences(
        &self,
        config: &Config,
        columnwise: bool,
        actual: &Quantized,
    ) -> Result<usize, Box<dyn Error>> {
        let [rows, cols] = self.shape;
        let (rule, scaling) = (of_rule(config.rule())?, of_scaling(config.scaling()));
        let quantize =
            if columnwise { reference::quantize_columnwise } else { reference::quantize };
        let expected = quantize(&self.values, rows, cols, rule, scaling, None)?;
        let scales = match config.scale_layout() {
            ScaleLayout::Linear => expected.scales,
            ScaleLayout::Swizzled128x4 => {
                reference::layout::swizzle(&expected.scales, expected.rows, expected.cols / 16)
            }
        };
        let bytes = |bits: u32| bits.to_le_bytes();
        let expected_amax: Vec<u8> =
            expected.global_amax.iter().flat_map(|amax| bytes(amax.to_bits())).collect();
        let amax: Vec<u8> = actual.amax.iter().copied().flat_map(bytes).collect();
        Ok(differences("codes", config, &expected.codes, &actual.codes)
            + differences("scales", config, &scales, &actual.scales)
            + differences("amax", config, &expected_amax, &amax))
    }
}

/// A rule in the reference's words: it shares no code with what it judges.
fn of_rule(rule: Rule) -> Result<reference::Rule, String> {
    match rule {
        Rule::Plain => Ok(reference::Rule::Plain),
        Rule::FourOverSix { metric, error_path, e4m3_max } => Ok(reference::Rule::FourOverSix {
            metric: match metric {
                Metric::Mae => reference::Metric::Mae,
                Metric::Mse => reference::Metric::Mse,
            },
            error_path: match error_path {
                ErrorPath::Strict => reference::ErrorPath::Strict,
                ErrorPath::Fast => reference::ErrorPath::Fast,
            },
            e4m3_max: match e4m3_max {
                E4m3Max::M448 => reference::E4m3Max::M448,
                E4m3Max::M256 => reference::E4m3Max::M256,
            },
        }),
        other => Err(format!("no kernel has the rule {other}")),
    }
}

fn of_scaling(scaling: Scaling) -> reference::Scaling {
    match scaling {
        Scaling::Tensor => reference::Scaling::Tensor,
        Scaling::Row => reference::Scaling::Row,
        Scaling::Tile => reference::Scaling::Tile,
    }
}

/// The number of differing bytes.
fn differences(what: &str, config: &Config, expected: &[u8], actual: &[u8]) -> usize {
    assert_eq!(expected.len(), actual.len(), "{what}, {config:?}");
    let mut wrong = (0..expected.len()).filter(|at| expected[*at] != actual[*at]);
    let Some(first) = wrong.next() else { return 0 };
    let (want, got) = (expected[first], actual[first]);
    println!("{config:?}: {what}, byte {first}: expected {want:#04x}, is {got:#04x}");
    1 + wrong.count()
}
