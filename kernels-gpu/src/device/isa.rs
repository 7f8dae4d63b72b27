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

use super::metric::Metric;

/// The arithmetic of one instruction set.
pub(crate) trait Isa {
    /// A power of two that multiplies every scaled value `y`, see [`grid`]. 1 where E2M1 is native.
    const GRID: f32;

    /// The 16 codes of one candidate, in whatever form is cheap to choose between.
    type Codes: Copy;

    /// The codes of `|x|·encode`, and the error `Σ term(E2M1(y) − y)` in the scaled domain.
    ///
    /// `encode` carries the factor `GRID`, so the error does too. `|x|·encode < 7·GRID`.
    fn candidate<M: Metric>(x: &[f32; 16], encode: f32) -> (Self::Codes, f32);

    /// `a` if `condition`, else `b`.
    fn select(condition: bool, a: Self::Codes, b: Self::Codes) -> Self::Codes;

    /// Whether all 16 values `a·scale_a` equal `b·scale_b` in magnitude.
    fn same_values(a: Self::Codes, scale_a: f32, b: Self::Codes, scale_b: f32) -> bool;

    /// The 16 nibbles as they are stored. Bit 3 of a nibble of `signs` is an element's sign.
    fn nibbles(codes: Self::Codes, signs: [u32; 2]) -> [u32; 2];
}

#[cfg(not(any(isa = "sm_100f", isa = "sm_120f", isa = "sm_90_as_blackwell")))]
pub(crate) type Target = grid::Grid;
#[cfg(any(isa = "sm_100f", isa = "sm_120f", isa = "sm_90_as_blackwell"))]
pub(crate) type Target = native::Native;
