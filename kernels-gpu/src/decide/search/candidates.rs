//! The 13 candidates: bytes beside map6's, sets of them as bits, and what a byte stands for.

use super::super::division::{reciprocal, sixth};
use crate::formats::e4m3;
use crate::ptx;
use fouroversix_core::abi::GlobalScale;

/// A step from one byte to the next, where a byte stands: at the top of an FP32 number.
pub(super) const BYTE: u32 = 1 << 20;
/// The largest byte of a scale.
pub(super) const LARGEST: u32 = 126 * BYTE;
/// From here on a byte's candidates have normal scales.
const NORMAL: u32 = 12 * BYTE;

/// The value of a byte. Exact, subnormals included.
#[inline(always)]
pub(super) fn value(byte: u32) -> f32 {
    f32::from_bits(byte) * f32::from_bits((127 + 120) << 23)
}

/// The factor that encodes with a scale, for a regular block.
#[inline(always)]
pub(super) fn encoding(scale: f32, global: &GlobalScale) -> f32 {
    // 1/0 is NaN here, of which FMAX is the smaller.
    ptx::min(reciprocal(scale * global.s_dec), f32::MAX)
}

/// Where a search starts.
pub(super) struct Start {
    /// map6's byte, moved up.
    pub(super) byte: u32,
    /// The largest magnitude, NaN if there is one.
    pub(super) bmax: f32,
}

impl Start {
    #[inline(always)]
    pub(super) fn new(bmax: f32, global: &GlobalScale) -> Self {
        let byte = u32::from(e4m3::byte(sixth(bmax) * global.s_enc)) * BYTE;
        Self { byte, bmax }
    }

    /// Whether the arithmetic outside `exact.rs` is the contract's for the block.
    #[inline(always)]
    pub(super) fn is_regular(&self, global: &GlobalScale) -> bool {
        global.limit > 0.0 && self.bmax < f32::INFINITY
    }

    /// The candidates to weigh: those that `left` has, where the filter holds.
    #[inline(always)]
    pub(super) fn open(&self, left: u32, global: &GlobalScale) -> u32 {
        // A supplied amax may be lower than the largest magnitude: then scales end at 448, and y at nothing.
        let holds = (self.byte >= NORMAL) & (self.bmax * global.s_enc < 6.5 * value(self.byte));
        let open = if holds { left } else { ALL };
        if self.bmax == 0.0 { MAP6 } else { open }
    }
}

/// A candidate for each bit: steps −4 to 2 from bit 9 on, 3 to 8 from bit 25 on.
pub(super) const ALL: u32 = 0x7E00_FE00;
/// That of map6's own byte.
pub(super) const MAP6: u32 = 1 << 13;

/// The bit of a step.
#[inline(always)]
pub(super) fn bit(step: i32) -> u32 {
    1 << (step + if step < 3 { 13 } else { 22 })
}

/// The step of a bit's number.
#[inline(always)]
pub(super) fn step(number: u32) -> i32 {
    number as i32 - if number < 16 { 13 } else { 22 }
}
