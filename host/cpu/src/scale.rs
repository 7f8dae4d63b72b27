//! The global scale of a tensor or row, and the block scales made from it.

use fouroversix_core::E4m3Max;

use crate::formats::{E4M3, e4m3};

/// What a global amax stands for: it maps to `6·A`, the largest product of an element code and a
/// block scale.
#[derive(Clone, Copy, Debug)]
pub(crate) struct GlobalScale {
    /// As computed or supplied.
    pub(crate) amax: f32,
    /// Step 2: `S_enc = min(fl(6·A / amax), FMAX)`, 1 when `amax` is 0 or ∞.
    pub(crate) encode: f32,
    /// `S_dec = fl(1 / S_enc)`.
    pub(crate) decode: f32,
    /// `6·A`.
    pub(crate) full_range: f32,
}

impl GlobalScale {
    pub(crate) fn new(amax: f32, bound: E4m3Max) -> Self {
        let full_range = 6.0 * bound.value();
        let ratio = (full_range / amax).min(f32::MAX);
        let encode = if amax == 0.0 || ratio == 0.0 { 1.0 } else { ratio };
        Self { amax, encode, decode: 1.0 / encode, full_range }
    }

    /// The plain block scale (step 3).
    pub(crate) fn plain(&self, block_amax: f32) -> BlockScale {
        let scale = block_amax * (self.encode * (1.0 / 6.0));
        self.block(scale.min(448.0))
    }

    /// The two block scales of Four Over Six (step 4).
    pub(crate) fn candidates(&self, block_amax: f32) -> ScalePair {
        let base = block_amax / 6.0 * self.encode;
        ScalePair { map4: self.block((base * 1.5).min(448.0)), map6: self.block(base.min(448.0)) }
    }

    fn block(&self, scale: f32) -> BlockScale {
        self.with_code(e4m3(scale))
    }

    /// The block scale with these E4M3 bits, positive and finite.
    pub(crate) fn with_code(&self, code: u8) -> BlockScale {
        let value = E4M3[usize::from(code)];
        // 1/0 and the reciprocal of a small subnormal are ∞: the contract clamps them.
        let encode = (1.0 / (value * self.decode)).min(f32::MAX);
        BlockScale { code, value, encode }
    }
}

/// An E4M3 block scale.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BlockScale {
    /// E4M3 bits.
    pub(crate) code: u8,
    /// Their value.
    pub(crate) value: f32,
    /// What an element is multiplied by before it is rounded to E2M1 (step 5).
    pub(crate) encode: f32,
}

/// The scales of the two candidates of a block.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ScalePair {
    /// The block maximum maps to 4.
    pub(crate) map4: BlockScale,
    /// The block maximum maps to 6.
    pub(crate) map6: BlockScale,
}
