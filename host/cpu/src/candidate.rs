//! A group quantized to one scale, or to two: the inner loop, written once for every instruction set.
//!
//! **Trick 1, rounding to E2M1.** For `0 <= y < 7` the E2M1 grid has step 1/2 up to 2, 1 up to 4,
//! 2 above. With `m = max(y, 1 + 2^-21)` and fused operations, `t = y - m·2^22` is rounded to a
//! multiple of `ulp(t)`, which is 1/2, 1 or 2 as `|t|` is in `[2^22, 2^23)`, `[2^23, 2^24)` or
//! above. As `|t| = m·2^22 - y`, its binade is that of `m`, but for a few `y` just above 2 or 4
//! where it is the one below: there the step is finer, and `y` still rounds to 2 or 4 as it must.
//! `m·2^22` is a multiple of the step too, so `q = t + m·2^22` is exact, `y` moved to the grid; ties
//! went to even multiples, as `m·2^22` is an even one at a tie. (With `y + m·2^22` the sum would
//! change binade too early, and 2 - 2^-23 round to 1.5.) A test runs every FP32 value in `[0, 7)`.
//!
//! **Trick 2, packing without integers.** `2q` is one of 0, 1, 2, 3, 4, 6, 8, 12, so the sum of
//! `2q_i·16^i` over four elements on top of 2^23 is an integer below 2^24: exact, and its low 16
//! bits hold a nibble for each element. A table of 16 nibbles turns `2q` into codes, eight at a
//! time. Magnitudes only: the sign bits come from `x`, which also keeps the sign of zeros.

use crate::group::Group;
use crate::lane_scale::{LanePair, LaneScale};
use crate::measure::{Estimate, Measure, NoErrors};
use crate::simd::vector::Vector;

/// A group's codes for one scale, and the estimated errors.
#[derive(Clone, Copy)]
pub(crate) struct Candidate<V: Vector> {
    /// Magnitudes as trick 2 leaves them, four elements in each.
    pub(crate) packed: Packed<V>,
    /// In the domain of `x·S_enc`.
    pub(crate) error: V::F,
}

/// Four vectors of four elements' `2q` each.
pub(crate) type Packed<V> = [<V as Vector>::F; 4];

/// The codes' magnitudes for one scale. With `CLAMP` any `y` will do, without it `y < 7`.
///
/// # Safety
/// As [`Vector`], also below.
#[inline(always)]
pub(crate) unsafe fn nearest<V: Vector, const CLAMP: bool>(
    group: &Group<V>,
    scale: &LaneScale<V>,
) -> Packed<V> {
    // SAFETY: the caller's.
    unsafe {
        let mut none = V::splat(0.0);
        let [first, second, third, fourth] = quads(&group.magnitudes);
        // Written out: in a loop the four sums would live in memory.
        [
            quad::<V, CLAMP, NoErrors>(first, scale, &mut none),
            quad::<V, CLAMP, NoErrors>(second, scale, &mut none),
            quad::<V, CLAMP, NoErrors>(third, scale, &mut none),
            quad::<V, CLAMP, NoErrors>(fourth, scale, &mut none),
        ]
    }
}

/// Both candidates, quad by quad in turns: two independent chains keep the units busy.
#[inline(always)]
pub(crate) unsafe fn pair<V: Vector, M: Measure>(
    group: &Group<V>,
    scales: &LanePair<V>,
) -> [Candidate<V>; 2] {
    // SAFETY: the caller's.
    unsafe {
        let LanePair { map4, map6, .. } = scales;
        let zero = V::splat(0.0);
        let (mut err4, mut err6) = ([zero; 2], [zero; 2]);
        let [first, second, third, fourth] = quads(&group.magnitudes);
        let a4 = quad::<V, false, M>(first, map4, &mut err4[0]);
        let a6 = quad::<V, false, M>(first, map6, &mut err6[0]);
        let b4 = quad::<V, false, M>(second, map4, &mut err4[1]);
        let b6 = quad::<V, false, M>(second, map6, &mut err6[1]);
        let c4 = quad::<V, false, M>(third, map4, &mut err4[0]);
        let c6 = quad::<V, false, M>(third, map6, &mut err6[0]);
        let d4 = quad::<V, false, M>(fourth, map4, &mut err4[1]);
        let d6 = quad::<V, false, M>(fourth, map6, &mut err6[1]);
        [
            Candidate {
                packed: [a4, b4, c4, d4],
                error: M::scaled::<V>(V::add(err4[0], err4[1]), map4.value),
            },
            Candidate {
                packed: [a6, b6, c6, d6],
                error: M::scaled::<V>(V::add(err6[0], err6[1]), map6.value),
            },
        ]
    }
}

/// Elements four by four.
#[inline(always)]
pub(crate) fn quads<T>(elements: &[T; 16]) -> [&[T; 4]; 4] {
    let (quads, _) = elements.as_chunks::<4>();
    [&quads[0], &quads[1], &quads[2], &quads[3]]
}

/// Four elements: their `2q` packed, their errors added to `error`.
#[inline(always)]
unsafe fn quad<V: Vector, const CLAMP: bool, M: Estimate>(
    elements: &[V::F; 4],
    scale: &LaneScale<V>,
    error: &mut V::F,
) -> V::F {
    // SAFETY: the caller's.
    unsafe {
        let sixteen = V::splat(16.0);
        let packed = one::<V, CLAMP, M>(elements[3], scale, error);
        let q = one::<V, CLAMP, M>(elements[2], scale, error);
        let packed = V::mul_add(packed, sixteen, q);
        let q = one::<V, CLAMP, M>(elements[1], scale, error);
        let packed = V::mul_add(packed, sixteen, q);
        let q = one::<V, CLAMP, M>(elements[0], scale, error);
        let packed = V::mul_add(packed, sixteen, q);
        V::mul_add(packed, V::splat(2.0), V::splat(8_388_608.0))
    }
}

#[inline(always)]
unsafe fn one<V: Vector, const CLAMP: bool, M: Estimate>(
    x: V::F,
    scale: &LaneScale<V>,
    error: &mut V::F,
) -> V::F {
    // SAFETY: the caller's.
    unsafe {
        let y = V::mul(x, scale.encode);
        let q = V::round_e2m1(if CLAMP { V::min(y, V::splat(6.0)) } else { y });
        *error = M::add::<V>(*error, V::sub(q, y));
        q
    }
}

/// The words of codes of a group: elements 0 to 7, elements 8 to 15.
#[inline(always)]
pub(crate) unsafe fn code_words<V: Vector>(packed: &Packed<V>, signs: &[V::U; 2]) -> [V::U; 2] {
    // SAFETY: the caller's.
    unsafe {
        [
            code_word::<V>(packed[0], packed[1], signs[0]),
            code_word::<V>(packed[2], packed[3], signs[1]),
        ]
    }
}

#[inline(always)]
unsafe fn code_word<V: Vector>(low: V::F, high: V::F, signs: V::U) -> V::U {
    // SAFETY: the caller's.
    unsafe {
        let low = V::and(V::to_bits(low), V::splat_u(0xFFFF));
        let high = V::shl::<16>(V::to_bits(high));
        V::or(V::codes_of_doubled(V::or(low, high)), signs)
    }
}
