//! Four Over Six as Model-Optimizer 0.47 makes it on weights (`NVFP4_FOUR_OVER_SIX_CFG`), on the CPU.
//!
//! The package searches with one arithmetic and writes with another. `G` is the tensor's amax (of fused
//! parts the largest), `b` a block's, all numbers are F32 and every operation rounds.
//!
//! Search, for `a = b` and `a = 1.5 b`: block scale `s = E4M3((a/6) · r) · (1/r)` with
//! `r = (1/S) · 448`, `S = G · 1.75 / 6`, and S = 1 where that is at most 2^-24; values
//! `v = E2M1(|w|/s) · s`; error the sum of `(w − v)²` over the block. The second wins if its error is
//! less. The package adds up in F32, in an order of PyTorch's; here the sum is in F64, so that the two
//! differ where the sums are as good as equal.
//!
//! Output: block scale `E4M3((a/6) · 256 / (G/6))`, not below 2^-9 nor above 448, with 1 for `a/6` where
//! that is 0: a block of zeros has a scale of its own. Codes `E2M1(w / (s · (G/1536)))`, ties to even,
//! −0 without its sign.

use fouroversix_core::{Amax, Choices, Config, Element, Error, Nvfp4Mut, Rule};
use fouroversix_cpu::formats::{E2M1_SIGNED, E4M3, e2m1};
use rayon::prelude::*;

use super::format::Values;
use super::fp8::e4m3;
use super::quantizer::{CpuQuantizer, QuantizePanels};

/// Quantizes as Model-Optimizer 0.47 does with 4/6, by [`ModelOptQuantizer::RULE`]; by other rules
/// as [`CpuQuantizer`].
///
/// Tensors of zeros alone have codes 0 here; the package writes a global scale of 0 for them.
#[derive(Clone, Copy, Debug, Default)]
pub struct ModelOptQuantizer;

impl ModelOptQuantizer {
    /// The rule whose global scale the package has: A = 256.
    pub const RULE: Rule = Rule::MSE;
}

impl QuantizePanels for ModelOptQuantizer {
    fn name(&self) -> String {
        "cpu (as Model-Optimizer)".to_owned()
    }

    fn quantize(
        &mut self,
        values: Values<'_>,
        shape: [usize; 2],
        config: &Config,
        amax: Amax<'_>,
        out: Nvfp4Mut<'_>,
    ) -> Result<Choices, Error> {
        if config.rule() != Self::RULE {
            return CpuQuantizer.quantize(values, shape, config, amax, out);
        }
        let Amax::Tensor(amax) = amax else {
            return Err(Error::AmaxKind { expected: "one amax for the tensor" });
        };
        out.global_amax.fill(amax);
        let tensor = Tensor::new(amax);
        Ok(match values {
            Values::Bf16(values) => tensor.quantize(values, out.codes, out.scales),
            Values::F16(values) => tensor.quantize(values, out.codes, out.scales),
            Values::F32(values) => tensor.quantize(values, out.codes, out.scales),
        })
    }
}

/// What is the same for all blocks of a tensor.
#[derive(Clone, Copy)]
struct Tensor {
    /// G/6.
    largest_scale: f32,
    /// G/1536, as it is stored.
    global: f32,
    /// What block scales are multiplied with in the search before they are rounded, and after.
    search: [f32; 2],
}

impl Tensor {
    fn new(amax: f32) -> Self {
        let full = amax * 1.75 / 6.0;
        // 2^-24.
        let full = if full <= 5.960_464_5e-8 { 1.0 } else { full };
        let factor = full.recip() * 448.0;
        Self { largest_scale: amax / 6.0, global: amax / 1536.0, search: [factor, factor.recip()] }
    }

    fn quantize<T: Element>(self, values: &[T], codes: &mut [u8], scales: &mut [u8]) -> Choices {
        let blocks = values.par_chunks_exact(16).zip(codes.par_chunks_exact_mut(8));
        let map4 = blocks
            .zip(scales.par_iter_mut())
            .with_min_len(256)
            .map(|((values, codes), scale)| {
                let block: [f32; 16] = std::array::from_fn(|i| values[i].to_f32());
                u64::from(self.block(&block, codes, scale))
            })
            .sum();
        Choices { map4, blocks: scales.len() as u64 }
    }

    /// Whether the block takes map4.
    fn block(self, block: &[f32; 16], codes: &mut [u8], stored: &mut u8) -> bool {
        let amax = block.iter().fold(0.0_f32, |amax, value| amax.max(value.abs()));
        let [six, four] = [amax, amax * 1.5];
        let map4 = self.error(block, four) < self.error(block, six);
        let scale = if map4 { four } else { six } / 6.0;
        let scale = if scale == 0.0 { 1.0 } else { scale };
        let scale = (scale * 256.0 / self.largest_scale).clamp(0.001_953_125, 448.0);
        *stored = e4m3(scale);
        let step = E4M3[usize::from(*stored)] * self.global;
        for (pair, code) in block.chunks_exact(2).zip(codes) {
            *code = code_of(pair[0], step) | code_of(pair[1], step) << 4;
        }
        map4
    }

    /// The error of the block with the scale that its largest magnitude would have if it were `amax`.
    fn error(self, block: &[f32; 16], amax: f32) -> f64 {
        let [before, after] = self.search;
        let scale = amax / 6.0 * before;
        let scale = E4M3[usize::from(e4m3(scale))] * after;
        let error = |&value: &f32| {
            let nearest = |magnitude| E2M1_SIGNED[usize::from(e2m1(magnitude))];
            let near = if scale == 0.0 { 0.0 } else { nearest(value.abs() / scale) * scale };
            let lost = value.abs() - near;
            f64::from(lost * lost)
        };
        block.iter().map(error).sum()
    }
}

/// The code of `value` in steps of `step`.
fn code_of(value: f32, step: f32) -> u8 {
    if step == 0.0 {
        // A tensor of zeros, or one so small that its scales vanish.
        return 0;
    }
    let scaled = value / step;
    e2m1(scaled.abs()) | if value < 0.0 { 8 } else { 0 }
}

#[cfg(test)]
mod tests {
    use fouroversix_core::{Outputs, ScaleLayout, Scaling};

    use super::*;

    fn quantize(values: &[f32], amax: f32) -> (Vec<u8>, Vec<u8>, Choices) {
        let config = Config::new(
            ModelOptQuantizer::RULE,
            Scaling::Tensor,
            Outputs::Rowwise,
            ScaleLayout::Linear,
        )
        .unwrap();
        let (mut codes, mut scales) = (vec![0; values.len() / 2], vec![0; values.len() / 16]);
        let mut echoed = [0.0];
        let out = Nvfp4Mut { codes: &mut codes, scales: &mut scales, global_amax: &mut echoed };
        let shape = [1, values.len()];
        let amax = Amax::Tensor(amax);
        let choices =
            ModelOptQuantizer.quantize(Values::F32(values), shape, &config, amax, out).unwrap();
        (codes, scales, choices)
    }

    #[test]
    fn blocks_as_by_hand() {
        // G = 6: block scales are a/6 · 256, and steps s/256.
        let mut values = [0.0_f32; 48];
        (values[0], values[1]) = (6.0, -3.0);
        // 4, 3, 1 times 1.5: exact with M = 4 alone.
        (values[16], values[17], values[18]) = (6.0, 4.5, -1.5);
        let (codes, scales, choices) = quantize(&values, 6.0);
        // 256, 384 and, of a block of zeros, 1 · 256 / 1.
        assert_eq!(scales, [0x78, 0x7C, 0x78]);
        assert_eq!(codes[..2], [0xD7, 0]);
        assert_eq!(codes[8..10], [0x56, 0x0A]);
        assert_eq!(codes[16..], [0; 8]);
        assert_eq!(choices, Choices { map4: 1, blocks: 3 });
        // A smaller tensor's block of zeros: 256 / (G/6) is clamped.
        let (_, scales, _) = quantize(&[0.0; 16], 0.5);
        assert_eq!(scales, [0x7E]);
    }

    #[test]
    fn negative_zeros_have_no_sign_and_small_negative_numbers_do() {
        let mut values = [0.0_f32; 16];
        (values[0], values[1], values[2]) = (6.0, -0.0, -1e-3);
        let (codes, _, _) = quantize(&values, 6.0);
        assert_eq!(codes[..2], [0x07, 0x08]);
    }
}
