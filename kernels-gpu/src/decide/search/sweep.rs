//! The contract's errors of the candidates that the filter leaves, and the best of them.

use super::super::division::reciprocal;
use super::candidates::{BYTE, LARGEST, Start, step, value};
use crate::ptx::{self, warp};
use fouroversix_core::abi::GlobalScale;

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

/// What a sweep compares.
pub(super) trait Errors {
    /// A candidate's error, in the contract's order of additions.
    fn error(&self, encode: f32, scale: f32, magnitudes: bool) -> f32;
}

/// The best of the candidates in `open`. All lanes of the warp call it; each has a candidate of its own at a
/// time.
#[inline(always)]
pub(super) fn sweep(
    start: &Start,
    mut open: u32,
    global: &GlobalScale,
    errors: &impl Errors,
    magnitudes: bool,
) -> Best {
    let mut best = Best { byte: start.byte, error: f32::INFINITY, place: 0, second: f32::INFINITY };
    loop {
        let bit = 31 - (open | 1).leading_zeros();
        let step = step(bit);
        let byte = start.byte.wrapping_add_signed(step * BYTE as i32);
        // map6 is a candidate also as 0.
        let is_scale = (byte.wrapping_sub(BYTE) < LARGEST) | (step == 0);
        let scale = value(byte);
        let error = errors.error(reciprocal(scale * global.s_dec), scale, magnitudes);
        // c, c+1, c−1, c+2, c−2, …
        let place = 2 * step.unsigned_abs() - u32::from(step > 0);
        best.meet(byte, place, if (open != 0) & is_scale { error } else { f32::INFINITY });
        open &= !(1 << bit);
        if !warp::any(open != 0) {
            return best;
        }
    }
}
