//! What a set's E2M1 arithmetic can do: the trait that the files beside this one implement.

use crate::decide::metric::Metric;
use crate::load::input::Input;
use crate::ptx;

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

    /// Whether a candidate's codes have their signs.
    const SIGNED_CODES: bool;

    /// `E2M1(y)` as a value, for `0 ≤ y < 7·GRID`.
    fn round(y: f32) -> f32;

    /// The largest magnitude of a block; NaN if any element is. `x` is `raw`, widened.
    fn amax<T: Input>(raw: T::Raw, x: &[f32; 16]) -> f32;

    /// A candidate for each factor of `encode`. Factors and errors include `GRID`; `|x|·encode < 7·GRID`.
    fn candidates<M: Metric, const N: usize>(x: &[f32; 16], encode: [f32; N]) -> [Candidate; N];

    /// A word with bit 0 of each code set.
    const ONES: u32;

    /// Half a candidate's codes as stored nibbles. `signs` is that of [`Input::signs`].
    fn nibbles(codes: u32, signs: u32) -> u32;
}

/// Whether both candidates have the same 16 values, by their codes: map6's are `s6` times E2M1 numbers, map4's
/// `s4` times.
///
/// With `s4 = 1.5·s6` these are the pairs of 6 and 4, 3 and 2, 1.5 and 1, and zeros: map6's code is 7, 5, 3 or
/// 0, and map4's the even one below. Candidates whose scales have another ratio may have the same values as
/// well; the answer is no, and the contract's own errors decide.
#[inline(always)]
pub(crate) fn same_values<I: Isa>(map6: &Candidate, map4: &Candidate, s6: f32, s4: f32) -> bool {
    let ones = I::ONES;
    let differs = |half: usize| {
        let (six, four) = (map6.codes[half], map4.codes[half]);
        // Code 1, 0.5, is the odd one without a partner: bit 0 is set where bit 1 or bit 2 is.
        (six ^ four ^ (six & ones)) | ((six >> 1 | six >> 2) ^ six) & ones
    };
    // `opaque` keeps the question from being hoisted onto the hot path.
    let [s6, s4] = [s6, s4].map(|scale| f32::from_bits(ptx::opaque(scale.to_bits())));
    s4 == 1.5 * s6 && differs(0) | differs(1) == 0
}
