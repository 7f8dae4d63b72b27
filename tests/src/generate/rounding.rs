//! Inputs that bring every FP32 value to a rounding of a kernel as it is: the global scale, and for
//! elements the block scale, are 1.

use std::ops::Range;
use std::sync::Arc;

use fouroversix_core::config::{Config, InputType, Rule};

use crate::case::{Case, Input, SuppliedAmax};
use crate::oracle;

/// Bits of the magnitudes that E2M1 rounds otherwise than to 0, and some below: 1/8 to 6.
pub const E2M1: Range<u32> = 0x3E00_0000..0x40C0_0001;
/// Bits of the magnitudes that E4M3 rounds otherwise than to 0, and some below: 2⁻¹¹ to 448.
pub const E4M3: Range<u32> = 0x3A00_0000..0x43E0_0001;
/// Blocks of a case, in 16 rows.
const BLOCKS: usize = 1024;
const SHAPE: [usize; 2] = [16, BLOCKS];
/// Values of one case of [`e2m1`].
pub const E2M1_VALUES: u32 = 15 * BLOCKS as u32;
/// Values of one case of [`e4m3`].
pub const E4M3_VALUES: u32 = BLOCKS as u32;

fn case(name: String, amax: f32, bits: Vec<u32>) -> Case {
    let input = Arc::new(Input { element: InputType::F32, shape: SHAPE, bits });
    let config = Config::rowwise(Rule::Plain);
    let supplied = SuppliedAmax { rowwise: vec![amax], columnwise: Vec::new() };
    let expected = oracle::quantize(config, &input, Some(&supplied)).expect("the shape is right");
    Case { name, config, input, supplied_amax: Some(Arc::new(supplied)), expected }
}

/// Elements from `first` on, those of [`E2M1`] alone, 15 in a block. A 6 in every block, at a place of
/// its own, makes the block scale 1.
#[must_use]
pub fn e2m1(first: u32) -> Case {
    let mut next = first;
    let bits = (0..16 * BLOCKS).map(|i| {
        if i % 16 == i / 16 % 16 {
            return 6.0_f32.to_bits();
        }
        let value = next.min(E2M1.end - 1);
        next += 1;
        value | (next & 1) << 31
    });
    case(format!("E2M1 from {first:#010x}"), 2688.0, bits.collect())
}

/// Block maxima from `first` on, those of [`E4M3`] alone, each the unrounded scale of its block: S_enc
/// is 6, and its product with RN(1/6) is 1.
#[must_use]
pub fn e4m3(first: u32) -> Case {
    let bits = (0..16 * BLOCKS).map(|i| {
        let (block, place) = (i / 16, i % 16);
        let value = first.saturating_add(block as u32).min(E4M3.end - 1);
        if place == block % 16 { value | (value & 1) << 31 } else { 0 }
    });
    case(format!("E4M3 from {first:#010x}"), 448.0, bits.collect())
}
