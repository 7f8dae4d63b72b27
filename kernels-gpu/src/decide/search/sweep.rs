//! The 13 candidates in the contract's order, and the best of them.

use super::super::division::{reciprocal, sixth};
use super::weigh::Sums;
use crate::formats::e4m3;
use crate::ptx::rolled::eight;
use crate::ptx::{self, warp};
use fouroversix_core::abi::GlobalScale;

/// A step from one byte to the next, where a byte stands: at the top of an FP32 number.
const BYTE: u32 = 1 << 20;
/// The largest byte of a scale.
const LARGEST: u32 = 126 * BYTE;
/// Steps below map6's byte.
const BELOW: u32 = 4;
/// From here on down clipping the maximum alone often rules a candidate out.
const CLIPS: u32 = 3;
/// What rounding leaves of a cheap sum for certain: 1 − 128u.
const SURELY: f32 = 1.0 - 128.0 / 16_777_216.0;

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
    byte: u32,
    /// The largest magnitude, NaN if there is one.
    bmax: f32,
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
}

/// The best candidate so far, and how close another comes.
#[derive(Clone, Copy)]
pub(super) struct Best {
    /// Its byte, moved up.
    pub(super) byte: u32,
    error: f32,
    second: f32,
}

impl Best {
    #[inline(always)]
    fn meet(&mut self, byte: u32, is_scale: bool, error: f32) {
        let error = if is_scale { error } else { f32::INFINITY };
        let better = error < self.error;
        self.second = ptx::min(self.second, ptx::max(self.error, error));
        self.byte = if better { byte } else { self.byte };
        self.error = if better { error } else { self.error };
    }

    /// Whether it is the contract's choice, if these errors are within rounding of the contract's.
    #[inline(always)]
    pub(super) fn is_certain(&self, start: &Start) -> bool {
        // Squares that underflow are off by less than 1e-30, and none below 1e38 overflows.
        let second = ptx::fma_rn(ptx::min(self.second, 1e38), SURELY, -1e-30);
        second > self.error || start.bmax == 0.0
    }
}

/// The errors that a sweep compares.
pub(super) trait Errors {
    /// Whether clipping the maximum alone may rule a candidate out: not in a sum of 256.
    const CLIP_RULES_OUT: bool;
    /// That of a scale. Without `CLIP`, |x·encode| < 7.
    fn of<const CLIP: bool>(&self, encode: f32, scale: f32, sums: Sums) -> f32;
}

/// The best of all candidates. All lanes of the warp call it.
#[inline(always)]
pub(super) fn sweep(
    errors: &impl Errors,
    start: &Start,
    global: &GlobalScale,
    sums: Sums,
    flags: u32,
) -> Best {
    let mut best = Best { byte: start.byte, error: f32::INFINITY, second: f32::INFINITY };
    let mut step = 0;
    // 0, 1, −1, 2, −2, 3, −3, 4, −4, 5, 6, 7, 8: one below and one above in turn.
    while step < eight(flags) {
        if step <= BELOW {
            below(errors, start, global, sums, step, &mut best);
        }
        step += 1;
        let byte = start.byte + step * BYTE;
        let scale = value(byte);
        let error = errors.of::<false>(reciprocal(scale * global.s_dec), scale, sums);
        best.meet(byte, byte <= LARGEST, error);
    }
    best
}

/// Weighs map6 itself or a candidate below it.
#[inline(always)]
fn below<E: Errors>(
    errors: &E,
    start: &Start,
    global: &GlobalScale,
    sums: Sums,
    step: u32,
    best: &mut Best,
) {
    let byte = start.byte.wrapping_sub(step * BYTE);
    // map6 is a candidate also as 0.
    let is_scale = start.byte >= if step == 0 { 0 } else { (step + 1) * BYTE };
    let scale = value(byte);
    if E::CLIP_RULES_OUT && step >= CLIPS {
        // The maximum's code is 6. Rounding keeps order: a sum of terms that are not negative is never less
        // than one of them.
        let least = sums.term(ptx::fma_rn(6.0, scale, ptx::neg(start.bmax * global.s_enc)));
        if !warp::any(is_scale && least * SURELY <= best.error) {
            return;
        }
    }
    let error = errors.of::<true>(reciprocal(scale * global.s_dec), scale, sums);
    best.meet(byte, is_scale, error);
}
