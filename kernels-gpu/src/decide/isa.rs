//! E2M1 arithmetic of an instruction set, behind one trait.
//!
//! What a set can do is a row of the table in `fouroversix_core::instruction_set`; each capability is a
//! cfg here:
//!
//! | cfg | with it | without it |
//! |---|---|---|
//! | `fp8_cvt` | E4M3 conversions | integer arithmetic (`formats/e4m3.rs`) |
//! | `fp4_kernels` | kernels written for E2M1 conversions ([`native`]) | two FMAs round to E2M1 ([`grid`]) |
//! | `fp4_cvt` | those conversions | emulated, to measure those kernels elsewhere |
//! | `f32x2` | FP32 arithmetic on pairs | two instructions (`ptx/packed.rs`) |
//! | `f32_f16` | FP32 arithmetic with an FP16 operand | a conversion before it |
//! | `max_abs` | the maximum of magnitudes | the signs masked off before it |

#[cfg(not(fp4_kernels))]
mod grid;
#[cfg(fp4_kernels)]
mod native;

use super::metric::Metric;
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
    /// A power of two, factor of every scaled value `y`, see [`grid`]; 1 where E2M1 is native.
    const GRID: f32;

    /// Whether a branch between the hot loop's halves saves registers, see [`super::block::encode`].
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

#[cfg(not(fp4_kernels))]
pub(crate) type Target = grid::Grid;
#[cfg(fp4_kernels)]
pub(crate) type Target = native::Native;
