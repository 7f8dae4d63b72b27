//! What a set's E2M1 arithmetic can do: the trait that the files beside this one implement.

use crate::decide::metric::Metric;
use crate::load::input::Input;

/// A block encoded with one of its two scales.
#[derive(Clone, Copy)]
pub(crate) struct Candidate {
    /// Codes of `x·encode`, in the set's own form: [`Isa::nibbles`] makes them nibbles.
    pub(crate) codes: [u32; 2],
    /// The cheap error: `Σ term(E2M1(y) − y)`, in any order of additions.
    pub(crate) error: f32,
}

/// The arithmetic of one instruction set.
pub(crate) trait Isa {
    /// A power of two, factor of every scaled value `y`, see `grid`; 1 where E2M1 is native.
    const GRID: f32;

    /// Whether a branch between the hot loop's halves saves registers, see `decide/block.rs`.
    const IN_HALVES: bool;

    /// `E2M1(y)` as a value, for `0 ≤ y < 7·GRID`.
    fn round(y: f32) -> f32;

    /// The largest magnitude of a block; NaN if any element is. `x` is `raw`, widened.
    fn amax<T: Input>(raw: T::Raw, x: &[f32; 16]) -> f32;

    /// A candidate for each factor of `encode`. Factors and errors include `GRID`; `|x|·encode < 7·GRID`.
    fn candidates<M: Metric, const N: usize>(x: &[f32; 16], encode: [f32; N]) -> [Candidate; N];

    /// Whether all 16 values `a·scale_a` equal `b·scale_b` in magnitude.
    fn same_values(a: [u32; 2], scale_a: f32, b: [u32; 2], scale_b: f32) -> bool;

    /// A candidate's codes as stored nibbles. `signs` is that of [`Input::signs`].
    fn nibbles(codes: [u32; 2], signs: [u32; 2]) -> [u32; 2];
}
