//! What a block becomes: codes and a scale.

/// The sign bits of eight codes.
pub(crate) const SIGNS: u32 = 0x8888_8888;

/// An encoded block: 16 codes, and the scale before its rounding to E4M3.
#[derive(Clone, Copy)]
pub(crate) struct Encoded {
    pub(crate) codes: [u32; 2],
    pub(crate) scale: f32,
}

impl Encoded {
    /// A block of zeros: no arithmetic, signs kept.
    #[inline(always)]
    pub(crate) fn zero(signs: [u32; 2]) -> Self {
        Self { codes: signs.map(|half| half & SIGNS), scale: 0.0 }
    }
}
