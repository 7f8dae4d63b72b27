//! What a candidate costs: differences of an instruction set, and how they are added up.

use super::super::isa::Target;
use crate::ptx;
use fouroversix_core::abi::MAGNITUDES;

/// What an instruction set does for a search.
pub(crate) trait Weigh {
    /// `fl(x·S_enc)`, as [`Weigh::differences`] takes it.
    fn scaled(x: &[f32; 16], s_enc: f32) -> [f32; 16];

    /// `fl(E2M1(x·encode)·scale − scaled)` of elements 8·`HALF` to 8·`HALF` + 7, or its negative. Without
    /// `CLIP`, |x·encode| < 7.
    fn differences<const HALF: usize, const CLIP: bool>(
        x: &[f32; 16],
        scaled: &[f32; 16],
        encode: f32,
        scale: f32,
    ) -> [f32; 8];

    /// `sum` and the squares of eight differences, rounded in any way: at most 9 roundings on a square's way.
    fn add_squares(sum: f32, differences: [f32; 8]) -> f32;

    /// The codes of `x·encode` as stored nibbles, whatever it is but NaN.
    fn codes(x: &[f32; 16], encode: f32, signs: [u32; 2]) -> [u32; 2];
}

/// How differences are added up: the same for all lanes.
#[derive(Clone, Copy)]
pub(crate) struct Sums {
    /// Magnitudes, in the contract's order.
    magnitudes: bool,
    /// Squares, not as the contract rounds them.
    cheap: bool,
}

impl Sums {
    /// Those of a launch, squares cheaply.
    #[inline(always)]
    pub(crate) fn new(flags: u32) -> Self {
        let magnitudes = flags & MAGNITUDES != 0;
        Self { magnitudes, cheap: !magnitudes }
    }

    /// As the contract has them.
    #[inline(always)]
    pub(crate) fn exact(self) -> Self {
        Self { cheap: ptx::opaque(0) != 0, ..self }
    }

    /// Whether they may differ from the contract's.
    #[inline(always)]
    pub(crate) fn are_cheap(self) -> bool {
        self.cheap
    }

    /// What one difference adds.
    #[inline(always)]
    pub(crate) fn term(self, d: f32) -> f32 {
        if self.magnitudes { d.abs() } else { d * d }
    }

    /// `sum` and eight more.
    #[inline(always)]
    fn add(self, mut sum: f32, differences: [f32; 8]) -> f32 {
        macro_rules! each {
            (|$d:ident| $term:expr) => {{
                let [a, b, c, d, e, f, g, h] = differences.map(|$d| $term);
                for term in [a, b, c, d, e, f, g, h] {
                    sum += term;
                }
            }};
        }
        if self.cheap {
            sum = Target::add_squares(sum, differences);
        } else if self.magnitudes {
            each!(|d| ptx::abs(d));
        } else {
            each!(|d| d * d);
        }
        sum
    }
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

    /// The error of a candidate (steps 5 to 7). Without `CLIP`, |x·encode| < 7.
    #[inline(always)]
    pub(crate) fn error<const CLIP: bool>(&self, encode: f32, scale: f32, sums: Sums) -> f32 {
        let Self { x, scaled } = self;
        let sum = sums.add(0.0, Target::differences::<0, CLIP>(x, scaled, encode, scale));
        sums.add(sum, Target::differences::<1, CLIP>(x, scaled, encode, scale))
    }

    /// Its codes, as stored.
    #[inline(always)]
    pub(crate) fn codes(&self, encode: f32, signs: [u32; 2]) -> [u32; 2] {
        Target::codes(&self.x, encode, signs)
    }
}
