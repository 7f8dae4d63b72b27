//! What differs between instruction sets, behind one trait.
//!
//! | PTX target | E4M3 conversions | E2M1 conversions | packed f32x2 |
//! |---|---|---|---|
//! | sm_80 | integer arithmetic | two FMAs ([`grid`]) | – |
//! | sm_89 (Ada, Hopper) | native | two FMAs | – |
//! | sm_100f, sm_120f (Blackwell) | native | native ([`native`]) | native |

#[cfg(not(any(isa = "sm_100f", isa = "sm_120f", isa = "sm_90_as_blackwell")))]
mod grid;
#[cfg(any(isa = "sm_100f", isa = "sm_120f", isa = "sm_90_as_blackwell"))]
mod native;

use super::input::Input;
use super::metric::Metric;

/// A block encoded with one of its scales.
#[derive(Clone, Copy)]
pub(crate) struct Candidate {
    /// The codes of `x·encode`, for [`Isa::nibbles`] to finish.
    pub(crate) codes: [u32; 2],
    /// The error `Σ term(E2M1(y) − y)` in the scaled domain, any rounding.
    pub(crate) error: f32,
}

/// The arithmetic of one instruction set.
pub(crate) trait Isa {
    /// A power of two that multiplies every scaled value `y`, see [`grid`]. 1 where E2M1 is native.
    const GRID: f32;

    /// Whether the hot loop does better in two halves, see [`super::block::encode`].
    const IN_HALVES: bool;

    /// `E2M1(y)` as a value, for `0 ≤ y < 7·GRID`.
    fn round(y: f32) -> f32;

    /// The largest magnitude of a block; NaN if any element is. `x` is `raw`, widened.
    fn amax<T: Input>(raw: T::Raw, x: &[f32; 16]) -> f32;

    /// What each factor of `encode` makes of `x`. The factors carry `GRID`, so the errors do too;
    /// `|x|·encode < 7·GRID`.
    fn candidates<M: Metric, const N: usize>(x: &[f32; 16], encode: [f32; N]) -> [Candidate; N];

    /// Whether all 16 values `a·scale_a` equal `b·scale_b` in magnitude.
    fn same_values(a: [u32; 2], scale_a: f32, b: [u32; 2], scale_b: f32) -> bool;

    /// A candidate's codes as they are stored. `signs` is what [`Input::signs`] says.
    fn nibbles(codes: [u32; 2], signs: [u32; 2]) -> [u32; 2];
}

#[cfg(not(any(isa = "sm_100f", isa = "sm_120f", isa = "sm_90_as_blackwell")))]
pub(crate) type Target = grid::Grid;
#[cfg(any(isa = "sm_100f", isa = "sm_120f", isa = "sm_90_as_blackwell"))]
pub(crate) type Target = native::Native;
