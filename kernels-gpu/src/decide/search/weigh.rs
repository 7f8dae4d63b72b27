//! What a candidate costs: the contract's differences, by an instruction set's arithmetic, and their sum.

use super::super::isa::Target;
use super::filter::Halves;
use crate::ptx;

/// What an instruction set does for a search.
pub(crate) trait Weigh {
    /// `fl(x·S_enc)`, as [`Weigh::differences`] takes it.
    fn scaled(x: &[f32; 16], s_enc: f32) -> [f32; 16];

    /// `fl(E2M1(x·encode)·scale − scaled)` of elements 8·`HALF` to 8·`HALF` + 7, or its negative.
    fn differences<const HALF: usize>(
        x: &[f32; 16],
        scaled: &[f32; 16],
        encode: f32,
        scale: f32,
    ) -> [f32; 8];

    /// The codes of `x·encode` as stored nibbles, whatever it is but NaN.
    fn codes(x: &[f32; 16], encode: f32, signs: [u32; 2]) -> [u32; 2];
}

/// 16 elements of a line.
#[derive(Clone, Copy)]
pub(crate) struct Line {
    x: [f32; 16],
    scaled: [f32; 16],
}

impl Line {
    #[inline(always)]
    pub(crate) fn new(x: [f32; 16], s_enc: f32) -> Self {
        Self { x, scaled: Target::scaled(&x, s_enc) }
    }

    /// The magnitudes over a scale, in FP16.
    #[inline(always)]
    pub(crate) fn halves(&self, over: f32) -> Halves {
        let pair = |i: usize| {
            let [a, b] = [0, 1].map(|half| ptx::mul_abs_rn(self.scaled[2 * i + half], over));
            ptx::cvt_rn_f16x2_f32(b, a)
        };
        [pair(0), pair(1), pair(2), pair(3), pair(4), pair(5), pair(6), pair(7)]
    }

    /// The error of a candidate (steps 5 to 7), added up in the contract's order. `magnitudes` is the same for
    /// all lanes.
    #[inline(always)]
    pub(super) fn error(&self, encode: f32, scale: f32, magnitudes: bool) -> f32 {
        let Self { x, scaled } = self;
        let add = |mut sum: f32, [a, b, c, d, e, f, g, h]: [f32; 8]| {
            if magnitudes {
                for d in [a, b, c, d, e, f, g, h] {
                    sum += ptx::abs(d);
                }
            } else {
                for d in [a, b, c, d, e, f, g, h] {
                    sum += d * d;
                }
            }
            sum
        };
        let sum = add(0.0, Target::differences::<0>(x, scaled, encode, scale));
        add(sum, Target::differences::<1>(x, scaled, encode, scale))
    }

    /// Its codes, as stored.
    #[inline(always)]
    pub(crate) fn codes(&self, encode: f32, signs: [u32; 2]) -> [u32; 2] {
        Target::codes(&self.x, encode, signs)
    }
}
