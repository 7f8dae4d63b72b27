//! What a candidate costs: the contract's differences, by an instruction set's arithmetic, and their sum.

use super::super::isa::Target;
use super::sweep::Errors;
use crate::load::input::{F32, Input};
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

/// 16 magnitudes, two a word.
pub(super) type Halves = [u32; 8];

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

    /// The magnitudes times a power of two, in FP16.
    #[inline(always)]
    pub(crate) fn halves(&self, power: f32) -> Halves {
        let pair = |i: usize| {
            let [a, b] = [0, 1].map(|half| ptx::mul_abs_rn(self.scaled[2 * i + half], power));
            ptx::cvt_rn_f16x2_f32(b, a)
        };
        [pair(0), pair(1), pair(2), pair(3), pair(4), pair(5), pair(6), pair(7)]
    }

    /// Its codes, as stored.
    #[inline(always)]
    pub(crate) fn codes(&self, encode: f32) -> [u32; 2] {
        // Not the input's own signs: a 16-bit type's words would take registers beside the widened elements.
        Target::codes(&self.x, encode, F32::signs(self.x))
    }
}

impl Errors for Line {
    /// Steps 5 to 7. `magnitudes` is the same for all lanes.
    #[inline(always)]
    fn error(&self, encode: f32, scale: f32, magnitudes: bool) -> f32 {
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
}
