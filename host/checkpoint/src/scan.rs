//! The pass before quantization: the largest magnitude of a tensor, and whether all is finite.

use fouroversix_core::InputType;
use fouroversix_cpu::Path;
use half::{bf16, f16};
use rayon::prelude::*;

use super::format::Values;

/// Elements that one task looks at.
const GRAIN: usize = 1 << 18;

/// The elements in `bytes`, copied to `scratch` if they are not aligned where they are.
///
/// # Panics
/// If `bytes` does not hold whole elements.
pub(crate) fn values<'a>(
    bytes: &'a [u8],
    input_type: InputType,
    scratch: &'a mut Vec<u32>,
) -> Values<'a> {
    let aligned = match input_type {
        InputType::Bf16 => bytemuck::try_cast_slice(bytes).ok().map(Values::Bf16),
        InputType::F16 => bytemuck::try_cast_slice(bytes).ok().map(Values::F16),
        InputType::F32 => bytemuck::try_cast_slice(bytes).ok().map(Values::F32),
    };
    if let Some(values) = aligned {
        return values;
    }
    scratch.clear();
    scratch.resize(bytes.len().div_ceil(4), 0);
    let copy = &mut bytemuck::cast_slice_mut::<u32, u8>(scratch)[..bytes.len()];
    copy.copy_from_slice(bytes);
    match input_type {
        InputType::Bf16 => Values::Bf16(bytemuck::cast_slice(copy)),
        InputType::F16 => Values::F16(bytemuck::cast_slice(copy)),
        InputType::F32 => Values::F32(bytemuck::cast_slice(copy)),
    }
}

/// The largest magnitude of some elements and where the first non-finite one is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Extent {
    /// NaN ignored.
    pub(crate) amax: f32,
    /// Index and value of the first NaN or infinity.
    pub(crate) non_finite: Option<(usize, f32)>,
}

/// Looks at every element.
pub(crate) fn extent(values: Values<'_>) -> Extent {
    match values {
        Values::Bf16(values) => extent_of(
            values,
            bf16::INFINITY.to_bits().into(),
            |v| u32::from(v.to_bits() & 0x7FFF),
            |magnitude| f32::from_bits(magnitude << 16),
        ),
        Values::F16(values) => extent_of(
            values,
            f16::INFINITY.to_bits().into(),
            |v| u32::from(v.to_bits() & 0x7FFF),
            // Made from 15 bits of a u16.
            |magnitude| f16::from_bits(magnitude as u16).to_f32(),
        ),
        Values::F32(values) => extent_of(
            values,
            f32::INFINITY.to_bits(),
            |v| v.to_bits() & 0x7FFF_FFFF,
            f32::from_bits,
        ),
    }
}

/// Magnitudes of IEEE formats are ordered as their bits are, NaN above infinity.
fn extent_of<T: fouroversix_core::Element>(
    values: &[T],
    infinity: u32,
    magnitude: impl Fn(T) -> u32 + Sync,
    value: impl Fn(u32) -> f32,
) -> Extent {
    let largest_in =
        |values: &[T]| values.iter().fold(0_u32, |largest, &v| largest.max(magnitude(v)));
    let largest = values.par_chunks(GRAIN).map(largest_in).max().unwrap_or(0);
    if largest < infinity {
        return Extent { amax: value(largest), non_finite: None };
    }
    let first = values.iter().position(|&v| magnitude(v) >= infinity);
    Extent {
        amax: fouroversix_cpu::amax(Path::best(), values).expect("the best path is available"),
        non_finite: first.map(|index| (index, values[index].to_f32())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extents() {
        let finite = extent(Values::F32(&[1.0, -3.5, 0.0]));
        assert_eq!(finite, Extent { amax: 3.5, non_finite: None });
        let empty = extent(Values::Bf16(&[]));
        assert_eq!(empty, Extent { amax: 0.0, non_finite: None });
        let infinite = extent(Values::F16(&[f16::ONE, f16::NEG_INFINITY, f16::INFINITY]));
        assert_eq!(infinite.amax, f32::INFINITY);
        assert_eq!(infinite.non_finite, Some((1, f32::NEG_INFINITY)));
        let nan = extent(Values::Bf16(&[bf16::NAN, bf16::from_f32(-2.0)]));
        assert_eq!(nan.amax, 2.0);
        assert!(matches!(nan.non_finite, Some((0, value)) if value.is_nan()));
    }

    #[test]
    fn unaligned_bytes_are_copied() {
        let bytes: Vec<u8> = [1.5_f32, -2.0].iter().flat_map(|v| v.to_le_bytes()).collect();
        let mut shifted = [0_u8; 16];
        for shift in 0..4 {
            shifted[shift..shift + 8].copy_from_slice(&bytes);
            let mut scratch = Vec::new();
            let Values::F32(read) =
                values(&shifted[shift..shift + 8], InputType::F32, &mut scratch)
            else {
                panic!("F32 bytes read as another type");
            };
            assert_eq!(read, [1.5, -2.0]);
        }
    }
}
