//! The two levels of scale: one global factor, and an E4M3 byte for each block.

use crate::e4m3::E4m3;
use crate::rule::E4m3Max;

/// The global scale of a tensor or of a row.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GlobalScale {
    /// The largest magnitude it was made from, or the one that the caller supplied.
    pub amax: f32,
    /// The bound A.
    pub e4m3_max: E4m3Max,
    /// `S_enc`, by which inputs are multiplied: `6·A / amax`, at most the largest finite f32.
    pub encode: f32,
    /// `S_dec`, its reciprocal.
    pub decode: f32,
}

impl GlobalScale {
    /// Step 2: `S_enc = min(fl(6·A / amax), FMAX)` and `S_dec = fl(1 / S_enc)`.
    ///
    /// `S_enc` is 1 when `amax` is 0 (nothing to scale) or so large that the quotient is 0
    /// (`amax` = ∞). It clamps below amax = 7.9e-36 at A = 448.
    #[must_use]
    pub fn new(amax: f32, e4m3_max: E4m3Max) -> Self {
        let quotient = (6.0 * e4m3_max.value() / amax).min(f32::MAX);
        let encode = if amax == 0.0 || quotient == 0.0 { 1.0 } else { quotient };
        Self { amax, e4m3_max, encode, decode: 1.0 / encode }
    }

    /// `6·A`, exact: the value that `amax` is mapped to.
    #[must_use]
    pub const fn range(&self) -> f32 {
        6.0 * self.e4m3_max.value()
    }
}

/// Step 1: the largest magnitude of some elements. NaN is ignored; of no elements it is 0.
#[must_use]
pub fn amax<'a>(elements: impl IntoIterator<Item = &'a f32>) -> f32 {
    let mut largest = 0.0;
    for element in elements {
        // False for NaN.
        if element.abs() > largest {
            largest = element.abs();
        }
    }
    largest
}

/// Step 3: the scale of a block under plain NVFP4.
#[must_use]
pub fn plain_scale(block_amax: f32, global: &GlobalScale) -> E4m3 {
    let sixth = 1.0 / 6.0;
    let factor = global.encode * sixth;
    let scale = block_amax * factor;
    E4m3::from_f32(scale.min(E4m3::MAX))
}

/// The two scales of a block under Four Over Six.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScalePair {
    /// Maps the block's largest magnitude to 4.
    pub map4: E4m3,
    /// Maps it to 6.
    pub map6: E4m3,
}

impl ScalePair {
    /// Step 4: both scales, each rounded from the same FP32 value; the clamp is 448 whatever A is.
    #[must_use]
    pub fn new(block_amax: f32, global: &GlobalScale) -> Self {
        let sixth_of_amax = block_amax / 6.0;
        let base = sixth_of_amax * global.encode;
        let larger = base * 1.5;
        Self {
            map4: E4m3::from_f32(larger.min(E4m3::MAX)),
            map6: E4m3::from_f32(base.min(E4m3::MAX)),
        }
    }
}

/// Step 5: the factor that inputs of a block are multiplied by before they are rounded to E2M1.
///
/// It is the largest finite f32 where the block's scale is 0 or its product with `S_dec`
/// underflows.
#[must_use]
pub fn block_encode_scale(scale: E4m3, global: &GlobalScale) -> f32 {
    let decode = scale.to_f32() * global.decode;
    (1.0 / decode).min(f32::MAX)
}
