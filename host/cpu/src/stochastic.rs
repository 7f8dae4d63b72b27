//! Stochastic rounding of a group (step T4): a lane is a block.
//!
//! **Trick 4, where a product lies on the grid.** Let `a = |p|`, and `V = 256·code + k`: the E2M1 value
//! at or below it, and how many 256ths of the way to the next one it has gone, rounded down. The
//! stochastic code is `(V + r) >> 8`. E2M1 has one mantissa bit and its lowest exponent is 1.0's,
//! below which steps stay the same. So from 1 on `V` is the FP32 bits of `a` without their last 14,
//! less those of the exponent: `(bits(a) >> 14) - (126 << 9)`. Below 1 it is `floor(512·a)`, which is
//! the same function of `(a + 1)/2`, in `[1/2, 1)`: linear there, too. The larger of `a` and
//! `(a + 1)/2` is always the right one. The sum must not round up to the next 256th: cut down to its
//! leading nine mantissa bits `a` loses none of the 256ths, and from 2^-13 on `a/2 + 1/2` is then
//! exact; below, rounding can't reach the first of them. With 6 as the limit, saturation is `V = 7·256`,
//! which no byte moves. Tests try every class of values with all bytes on every path.
//!
//! Elements go in pairs, in the halves of 32 bits, and so do their random bytes.

use crate::candidate::quads;
use crate::elements::Place;
use crate::group::Group;
use crate::random::Random;
use crate::simd::vector::{Vector, Work};

/// `-(126 << 9)` modulo 2^16, in both halves.
const BIAS: u32 = 0x0400_0400;

/// A group to be encoded under the chosen scale. The output is its words of codes: elements 0 to 7,
/// elements 8 to 15.
pub(crate) struct Draw<'a, V: Vector> {
    pub(crate) random: &'a Random,
    pub(crate) place: Place,
    /// Of finite elements.
    pub(crate) group: &'a Group<V>,
    pub(crate) encode: V::F,
}

impl<V: Vector> Work<V> for Draw<'_, V> {
    type Output = [V::U; 2];

    #[inline(always)]
    unsafe fn run(self) -> [V::U; 2] {
        let Self { random, place, group, encode } = self;
        // SAFETY: the caller's.
        unsafe { codes(group, encode, &random.words::<V>(&place)) }
    }
}

/// The words of codes of a group, by its random words.
#[inline(always)]
unsafe fn codes<V: Vector>(group: &Group<V>, encode: V::F, random: &[V::U; 4]) -> [V::U; 2] {
    // SAFETY: the caller's.
    unsafe {
        let [first, second, third, fourth] = quads(&group.magnitudes);
        let [a, b] = quad::<V>(first, random[0], encode);
        let [c, d] = quad::<V>(second, random[1], encode);
        let front = V::or(V::code_nibbles([a, b, c, d]), group.signs[0]);
        let [a, b] = quad::<V>(third, random[2], encode);
        let [c, d] = quad::<V>(fourth, random[3], encode);
        [front, V::or(V::code_nibbles([a, b, c, d]), group.signs[1])]
    }
}

/// `V + r` of four elements in two pairs, by the word of their random bytes.
#[inline(always)]
unsafe fn quad<V: Vector>(x: &[V::F; 4], random: V::U, encode: V::F) -> [V::U; 2] {
    // SAFETY: the caller's.
    unsafe {
        let mask = V::splat_u(0x00FF_00FF);
        let bias = V::splat_u(BIAS);
        let front = V::or(V::and(random, mask), bias);
        let back = V::or(V::and(V::shr::<8>(random), mask), bias);
        [
            V::add_u16(positions::<V>(x[0], x[1], encode), front),
            V::add_u16(positions::<V>(x[2], x[3], encode), back),
        ]
    }
}

/// `V` of two elements, less [`BIAS`].
#[inline(always)]
unsafe fn positions<V: Vector>(even: V::F, odd: V::F, encode: V::F) -> V::U {
    // SAFETY: the caller's.
    unsafe {
        let even = linear::<V>(V::mul(even, encode));
        let odd = linear::<V>(V::mul(odd, encode));
        V::blend_u16(V::shr::<14>(V::to_bits(even)), V::shl::<2>(V::to_bits(odd)))
    }
}

/// The number in `[1/2, 6]` whose bits tell where a magnitude lies.
#[inline(always)]
unsafe fn linear<V: Vector>(a: V::F) -> V::F {
    // SAFETY: the caller's.
    unsafe {
        let a = V::min(a, V::splat(6.0));
        let half = V::splat(0.5);
        let leading = V::from_bits(V::and(V::to_bits(a), V::splat_u(0xFFFF_C000)));
        V::max(a, V::mul_add(leading, half, half))
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
        let mut values = vec![0.0, 1e-45, 3e-39, f32::MIN_POSITIVE, 1e-30, 6.5, 7.0, 1e9, f32::MAX];
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
                    let words = unsafe {
                        let random = V::splat_u(u32::from_le_bytes([byte; 4]));
                        codes(&group, V::splat(1.0), &[random; 4])
                    };
                    for (at, x) in chunk.iter().enumerate() {
                        let (i, l) = (at / V::LANES, at % V::LANES);
                        // SAFETY: a lane.
                        let word = unsafe { V::lane_u(&words[i / 8], l) };
                        let signed = if (i + i / 8) % 2 == 1 { -x } else { *x };
                        let expected = stochastic_e2m1(signed, byte);
                        assert_eq!((word >> (4 * (i % 8))) as u8 & 0xF, expected, "{x} {byte}");
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
                    codes(&group, V::splat(1.0), &random)
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
