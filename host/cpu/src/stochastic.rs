//! Stochastic rounding of a group (step T4): a lane is a block.
//!
//! **Trick 4, where a product lies on the grid.** Let `a = |p|`, and `V = 256·code + k`: the E2M1 value
//! at or below it, and how many 256ths of the way to the next one it has gone, rounded down. The
//! stochastic code is `(V + r) >> 8`. E2M1 has one mantissa bit and its lowest exponent is 1.0's,
//! below which steps stay the same. So from 1 on the FP32 bits of `a` are `V`, 14 bits that do not
//! count, and in front an exponent's `126 << 23`. Below 1, where `V = floor(512·a)`, that is true of
//! `(a + 1)/2`, which is in `[1/2, 1)`: linear there, too. The larger of `a` and `(a + 1)/2` is always the
//! right one, where the sum is not rounded up to the next 256th ([`Vector::half_of_next`]).
//!
//! **Trick 5, saturation for nothing.** Elements go in pairs, in the halves of 32 bits: `bits >> 9` leaves
//! 16 bits, `32·V` and what is behind it, less 2^15 by the exponent. To that as a signed number `32·r` is
//! added: sums from 2^16 on, as those of `a` in `[6, 8)` may be, saturate at code 7, and what is behind `V`
//! carries nothing. The code is the upper three bits, the first of them the wrong way round.
//!
//! Tests try every class of values with all bytes on every path.

use crate::candidate::quads;
use crate::elements::Place;
use crate::group::Group;
use crate::random::Random;
use crate::simd::vector::{Vector, Work};

/// The bits that are the wrong way round.
const TURNED: u32 = 0x4444_4444;

/// A group to be encoded under the chosen scale; with `CLAMP` any product will do, without it those below
/// 8. The output is its words of codes: elements 0 to 7, elements 8 to 15.
pub(crate) struct Draw<'a, V: Vector, const CLAMP: bool> {
    pub(crate) random: &'a Random,
    pub(crate) place: Place,
    /// Of finite elements.
    pub(crate) group: &'a Group<V>,
    pub(crate) encode: V::F,
}

impl<V: Vector, const CLAMP: bool> Work<V> for Draw<'_, V, CLAMP> {
    type Output = [V::U; 2];

    #[inline(always)]
    unsafe fn run(self) -> [V::U; 2] {
        let Self { random, place, group, encode } = self;
        // SAFETY: the caller's.
        unsafe { codes::<V, CLAMP>(group, encode, &random.words::<V>(&place)) }
    }
}

/// The words of codes of a group, by its random words.
#[inline(always)]
unsafe fn codes<V: Vector, const CLAMP: bool>(
    group: &Group<V>,
    encode: V::F,
    random: &[V::U; 4],
) -> [V::U; 2] {
    // SAFETY: the caller's.
    unsafe {
        let [first, second, third, fourth] = quads(&group.magnitudes);
        let turned = V::splat_u(TURNED);
        let [a, b] = quad::<V, CLAMP>(first, random[0], encode);
        let [c, d] = quad::<V, CLAMP>(second, random[1], encode);
        let front = V::xor(V::code_nibbles([a, b, c, d]), turned);
        let [a, b] = quad::<V, CLAMP>(third, random[2], encode);
        let [c, d] = quad::<V, CLAMP>(fourth, random[3], encode);
        let back = V::xor(V::code_nibbles([a, b, c, d]), turned);
        [V::or(front, group.signs[0]), V::or(back, group.signs[1])]
    }
}

/// `32·(V + r)` of four elements in two pairs, by the word of their random bytes.
#[inline(always)]
unsafe fn quad<V: Vector, const CLAMP: bool>(
    x: &[V::F; 4],
    random: V::U,
    encode: V::F,
) -> [V::U; 2] {
    // SAFETY: the caller's.
    unsafe {
        let mask = V::splat_u(0x1FE0_1FE0);
        let front = V::and(V::shl::<5>(random), mask);
        let back = V::and(V::shr::<3>(random), mask);
        [
            V::add_saturating(pair::<V, CLAMP>(x[0], x[1], encode), front),
            V::add_saturating(pair::<V, CLAMP>(x[2], x[3], encode), back),
        ]
    }
}

/// `32·V` of two elements.
#[inline(always)]
unsafe fn pair<V: Vector, const CLAMP: bool>(even: V::F, odd: V::F, encode: V::F) -> V::U {
    // SAFETY: the caller's.
    unsafe {
        let even = linear::<V, CLAMP>(V::mul(even, encode));
        let odd = linear::<V, CLAMP>(V::mul(odd, encode));
        V::blend_u16(V::shr::<9>(V::to_bits(even)), V::shl::<7>(V::to_bits(odd)))
    }
}

/// The number whose bits tell where a magnitude lies.
#[inline(always)]
unsafe fn linear<V: Vector, const CLAMP: bool>(a: V::F) -> V::F {
    // SAFETY: the caller's.
    unsafe {
        let a = if CLAMP { V::min(a, V::splat(6.0)) } else { a };
        V::max(a, V::half_of_next(a))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::{E2M1_SIGNED, stochastic_e2m1};
    use crate::tests::on_every_vector;

    /// Magnitudes of every class: each 256th of each step and its neighbours, what is near 0, what
    /// saturates.
    fn magnitudes() -> Vec<f32> {
        let mut values =
            vec![0.0, 1e-45, 3e-39, f32::MIN_POSITIVE, 1e-30, 6.5, 7.99, 8.0, 1e9, f32::MAX];
        for code in 0..7 {
            let [low, next] = [E2M1_SIGNED[code], E2M1_SIGNED[code + 1]];
            for k in 0..=256_u16 {
                let point = low + (next - low) * f32::from(k) / 256.0;
                values.extend([point.next_down().max(0.0), point, point.next_up()]);
            }
        }
        values
    }

    #[test]
    fn every_class_of_values_with_every_byte() {
        fn check<V: Vector>() {
            let mut values = magnitudes();
            values.resize(values.len().next_multiple_of(16 * V::LANES), 1.25);
            for chunk in values.chunks_exact(16 * V::LANES) {
                let lane = |i: usize| chunk[i * V::LANES..].as_ptr();
                // SAFETY: the path is available, and there are 16 vectors.
                let group = unsafe {
                    Group::<V> {
                        magnitudes: std::array::from_fn(|i| V::load(lane(i))),
                        signs: [V::splat_u(0x8080_8080), V::splat_u(0x0808_0808)],
                        amax: V::splat(0.0),
                    }
                };
                for byte in 0..=255_u8 {
                    // SAFETY: as above.
                    let [words, clamped] = unsafe {
                        let random = V::splat_u(u32::from_le_bytes([byte; 4]));
                        let (one, random) = (V::splat(1.0), [random; 4]);
                        [
                            codes::<V, false>(&group, one, &random),
                            codes::<V, true>(&group, one, &random),
                        ]
                    };
                    for (at, x) in chunk.iter().enumerate() {
                        let (i, l) = (at / V::LANES, at % V::LANES);
                        let words = if *x < 8.0 { &words } else { &clamped };
                        // SAFETY: a lane.
                        let [word, clamped] =
                            [words, &clamped].map(|words| unsafe { V::lane_u(&words[i / 8], l) });
                        let signed = if (i + i / 8) % 2 == 1 { -x } else { *x };
                        let expected = stochastic_e2m1(signed, byte);
                        for word in [word, clamped] {
                            assert_eq!((word >> (4 * (i % 8))) as u8 & 0xF, expected, "{x} {byte}");
                        }
                    }
                }
            }
        }
        on_every_vector!(check);
    }

    /// Bytes and elements belong together: each byte of a word moves its own element.
    #[test]
    fn an_element_has_its_own_byte() {
        fn check<V: Vector>() {
            for i in 0..16 {
                // SAFETY: the path is available.
                let words = unsafe {
                    let group = Group::<V> {
                        magnitudes: [V::splat(2.5); 16],
                        signs: [V::splat_u(0); 2],
                        amax: V::splat(2.5),
                    };
                    let mut random = [V::splat_u(0); 4];
                    random[i / 4] = V::splat_u(0x80 << (8 * [0, 2, 1, 3][i % 4]));
                    codes::<V, false>(&group, V::splat(1.0), &random)
                };
                for (j, word) in words.iter().enumerate() {
                    // SAFETY: a lane.
                    let word = unsafe { V::lane_u(word, V::LANES - 1) };
                    let moved = if i / 8 == j { 1 << (4 * (i % 8)) } else { 0 };
                    assert_eq!(word, 0x4444_4444 + moved, "{i}");
                }
            }
        }
        on_every_vector!(check);
    }
}
