//! The contract's errors of the candidates that the filter leaves, and the best of them.

use super::super::division::{reciprocal, sixth};
use super::filter;
use crate::formats::e4m3;
use crate::ptx::{self, warp};
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

    /// Whether all of this file's arithmetic is the contract's for the block.
    #[inline(always)]
    pub(super) fn is_regular(&self, global: &GlobalScale) -> bool {
        global.limit > 0.0 && self.bmax < f32::INFINITY
    }

    /// The candidates to weigh: those that `left` has, where the filter holds.
    #[inline(always)]
    pub(super) fn open(&self, left: u32) -> u32 {
        let open = if self.byte < NORMAL { filter::ALL } else { left };
        if self.bmax == 0.0 { filter::MAP6 } else { open }
    }
}

/// The best candidate so far, and how close another comes.
#[derive(Clone, Copy)]
pub(super) struct Best {
    /// Its byte, moved up.
    pub(super) byte: u32,
    error: f32,
    /// Its place in the contract's order.
    place: u32,
    second: f32,
}

impl Best {
    #[inline(always)]
    fn meet(&mut self, byte: u32, place: u32, error: f32) {
        // No branches: `|` and `&` for `||` and `&&`.
        let better = (error < self.error) | (error == self.error) & (place < self.place);
        self.second = ptx::min(self.second, ptx::max(self.error, error));
        self.byte = if better { byte } else { self.byte };
        self.place = if better { place } else { self.place };
        self.error = if better { error } else { self.error };
    }

    /// Whether another order of additions, of 256 terms, gives the same choice.
    #[inline(always)]
    pub(super) fn is_certain_in_any_order(&self, start: &Start) -> bool {
        // 20 roundings on the way to a sum: 1 − 128u. What underflows is less than 1e-30, and nothing below
        // 1e38 overflows.
        const SURELY: f32 = 1.0 - 128.0 / 16_777_216.0;
        let second = ptx::fma_rn(ptx::min(self.second, 1e38), SURELY, -1e-30);
        second > self.error || start.bmax == 0.0
    }
}

/// The best of the candidates in `open`. `error_of` gives that of a factor and a scale. All lanes of the warp
/// call it; each has a candidate of its own at a time.
#[inline(always)]
pub(super) fn sweep(
    start: &Start,
    mut open: u32,
    global: &GlobalScale,
    error_of: impl Fn(f32, f32) -> f32,
) -> Best {
    let mut best = Best { byte: start.byte, error: f32::INFINITY, place: 0, second: f32::INFINITY };
    loop {
        let bit = 31 - (open | 1).leading_zeros();
        let step = filter::step(bit);
        let byte = start.byte.wrapping_add_signed(step * BYTE as i32);
        // map6 is a candidate also as 0.
        let is_scale = (byte.wrapping_sub(BYTE) < LARGEST) | (step == 0);
        let scale = value(byte);
        let error = error_of(reciprocal(scale * global.s_dec), scale);
        // c, c+1, c−1, c+2, c−2, …
        let place = 2 * step.unsigned_abs() - u32::from(step > 0);
        best.meet(byte, place, if (open != 0) & is_scale { error } else { f32::INFINITY });
        open &= !(1 << bit);
        if !warp::any(open != 0) {
            return best;
        }
    }
}
