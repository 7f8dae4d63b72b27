//! One dequantization to be done, and what must come out.

use std::fmt;

use fouroversix_core::config::{E4m3Max, InputType, ScaleLayout, Scaling};

use crate::case::Output;

/// A quantized tensor, the type to turn it into, and what must come out.
#[derive(Clone, Debug)]
pub struct DequantizeCase {
    /// Where it is from.
    pub name: String,
    /// The quantized tensor.
    pub tensor: Output,
    /// `[rows, cols]` in elements.
    pub shape: [usize; 2],
    /// How its scales lie.
    pub scale_layout: ScaleLayout,
    /// Which elements share a scale: whether `tensor.global_amax` has one value or one per row.
    pub scaling: Scaling,
    /// The bound A of its global scale.
    pub e4m3_max: E4m3Max,
    /// The type to dequantize to.
    pub element: InputType,
    /// Raw bits of the elements, row-major. NaN stands for any NaN.
    pub expected: Vec<u32>,
}

impl fmt::Display for DequantizeCase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [rows, cols] = self.shape;
        write!(
            f,
            "{} dequantize {} {} {} {rows}x{cols} {}",
            self.name,
            self.e4m3_max.value(),
            self.scaling,
            self.element,
            self.scale_layout,
        )
    }
}

/// Whether two elements have the same bits, or both are NaN.
#[must_use]
pub fn same_element(element: InputType, a: u32, b: u32) -> bool {
    a == b || (is_nan(element, a) && is_nan(element, b))
}

fn is_nan(element: InputType, bits: u32) -> bool {
    match element {
        InputType::Bf16 => bits & 0x7FFF > 0x7F80,
        InputType::F16 => bits & 0x7FFF > 0x7C00,
        InputType::F32 => f32::from_bits(bits).is_nan(),
    }
}
