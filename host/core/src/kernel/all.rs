//! The list of kernels.

use super::{Blocks, Kernel, KernelRule};
use crate::config::{InputType, Outputs};

/// Kernels that quantize with known global scales: blocks, outputs, one tensor or many, element types,
/// rules.
const QUANTIZE: usize = 2 * 3 * 2 * 3 * 3;
/// Kernels that quantize rows in one pass: element types, rules.
const ROWS: usize = 3 * 3;
/// Kernels that know an element type and no more: operations (amax counts twice), element types.
const OTHERS: usize = 7 * 3;

/// All that round to nearest.
const NEAREST: usize = QUANTIZE + ROWS + OTHERS + 1;
/// Kernels that round stochastically: those that quantize.
const STOCHASTIC: usize = QUANTIZE + ROWS;
/// Kernels that transform and quantize, of each rounding: outputs, element types, rules.
const TRANSFORM: usize = 3 * 3 * 3;
/// Kernels that transform and find an amax: outputs, element types.
const AMAX_TRANSFORM: usize = 2 * 3;
/// Kernels that search: blocks, outputs, one tensor or many, element types, and rows in one pass.
const SEARCH: usize = (2 * 3 * 2 + 1) * 3;
const COUNT: usize = NEAREST + STOCHASTIC + 2 * TRANSFORM + AMAX_TRANSFORM + SEARCH;

impl Kernel {
    /// Every kernel, by name. Each instruction set has them all.
    pub const ALL: [Self; COUNT] = {
        let mut all = [Self::global_scales(); COUNT];
        let mut sorted = 0;
        while sorted < all.len() {
            let kernel = Self::nth(sorted);
            let (mut place, mut end) = (0, sorted);
            while place < end {
                let middle = (place + end) / 2;
                if all[middle].name().precedes(&kernel.name()) {
                    place = middle + 1;
                } else {
                    end = middle;
                }
            }
            let mut at = sorted;
            while at > place {
                all[at] = all[at - 1];
                at -= 1;
            }
            all[place] = kernel;
            sorted += 1;
        }
        all
    };

    /// The kernels by number, of which the rule or the element type is the last digit.
    const fn nth(n: usize) -> Self {
        match n {
            0..NEAREST => Self::nth_nearest(n),
            _ if n < NEAREST + STOCHASTIC => Self::nth_nearest(n - NEAREST).stochastically(),
            _ if n < COUNT - SEARCH => Self::nth_transform(n - NEAREST - STOCHASTIC),
            _ => Self::nth_search(n - (COUNT - SEARCH)),
        }
    }

    /// Those that search: as many as there are of another rule with nearest rounding.
    const fn nth_search(n: usize) -> Self {
        Self { rule: Some(KernelRule::Search), ..Self::nth_nearest(3 * n) }
    }

    /// Those that transform.
    const fn nth_transform(n: usize) -> Self {
        // Those that quantize one tensor in 1x16 blocks: 9 of each output, before as many that are grouped.
        if n < 2 * TRANSFORM {
            let of = n % TRANSFORM;
            let kernel = Self::nth_nearest(of / 9 * 18 + of % 9).transformed();
            return if n < TRANSFORM { kernel } else { kernel.stochastically() };
        }
        let n = n - 2 * TRANSFORM;
        const INPUTS: [InputType; 3] = [InputType::Bf16, InputType::F16, InputType::F32];
        Self::amax_transform(n / 3 == 1, INPUTS[n % 3])
    }

    /// Those that round to nearest; the ones that quantize come first.
    const fn nth_nearest(n: usize) -> Self {
        const BLOCKS: [Blocks; 2] = [Blocks::Row, Blocks::Tile];
        const OUTPUTS: [Outputs; 3] = [Outputs::Rowwise, Outputs::Columnwise, Outputs::Both];
        const INPUTS: [InputType; 3] = [InputType::Bf16, InputType::F16, InputType::F32];
        const RULES: [KernelRule; 3] = [KernelRule::Plain, KernelRule::Mae, KernelRule::Mse];
        if n < QUANTIZE {
            let (blocks, outputs, grouped) = (BLOCKS[n / 54], OUTPUTS[n / 18 % 3], n / 9 % 2 == 1);
            return Self::quantize(blocks, outputs, grouped, INPUTS[n / 3 % 3], RULES[n % 3]);
        }
        let n = n - QUANTIZE;
        if n < ROWS {
            return Self::quantize_rows(INPUTS[n / 3], RULES[n % 3]);
        }
        let n = n - ROWS;
        let input = INPUTS[n % 3];
        match n / 3 {
            0 => Self::copy_quantize(input),
            1 => Self::amax(false, input),
            2 => Self::amax(true, input),
            3 => Self::amax_rows(input),
            4 => Self::amax_columns(input),
            5 => Self::dequantize(input),
            6 => Self::copy_dequantize(input),
            _ => Self::global_scales(),
        }
    }
}
