//! A group of blocks in vectors, and the element types that one is read from. Lane `l` of everything
//! belongs to block `l`.

use fouroversix_core::Element;
use half::{bf16, f16};

use crate::block::Block;
use crate::signs::Signs;
use crate::simd::vector::Vector;

/// `LANES` blocks of 16 elements.
#[derive(Clone, Copy)]
pub(crate) struct Group<V: Vector> {
    /// Magnitudes, element after element.
    pub(crate) magnitudes: [V::F; 16],
    /// Signs where the codes have them: of element `i` in bit `4·(i % 8) + 3` of word `i / 8`.
    pub(crate) signs: [V::U; 2],
    /// The largest magnitude of each block. A block with an element that is not finite has one
    /// that is not below the limit of its [`Specials`].
    pub(crate) amax: V::F,
}

impl<V: Vector> Group<V> {
    /// Element `i` of the block of `lane`, as FP32.
    ///
    /// # Safety
    /// As [`Vector`].
    #[inline(always)]
    pub(crate) unsafe fn element(&self, lane: usize, i: usize) -> f32 {
        // SAFETY: the caller's.
        unsafe {
            let magnitude = V::lane(&self.magnitudes[i], lane).to_bits();
            let sign = V::lane_u(&self.signs[i / 8], lane) >> (4 * (i % 8) + 3) & 1;
            f32::from_bits(magnitude | sign << 31)
        }
    }

    /// The block of `lane`, whatever its elements are.
    ///
    /// # Safety
    /// As [`Vector`].
    #[inline(always)]
    pub(crate) unsafe fn block(&self, lane: usize, specials: &Specials) -> Block {
        // SAFETY: the caller's.
        std::array::from_fn(|i| (specials.value)(unsafe { self.element(lane, i) }))
    }
}

/// How a group holds elements that are not finite: with magnitudes that are not below a limit.
#[derive(Clone, Copy)]
pub(crate) struct Specials {
    /// Above every finite magnitude.
    pub(crate) limit: f32,
    /// What an element of a group with such a magnitude stands for.
    pub(crate) value: fn(f32) -> f32,
}

impl Specials {
    /// As FP32 does.
    pub(crate) const IEEE: Self = Self { limit: f32::INFINITY, value: |element| element };
}

/// An element type that groups can be read from.
///
/// # Safety
/// The functions' callers: as [`Vector`].
pub(crate) trait Load: Element {
    /// How its groups hold elements that are not finite.
    const SPECIALS: Specials;

    /// `LANES` blocks as they are in memory, transposed: a word of 32 bits of each, then the next.
    type Raw<V: Vector>: Copy;

    /// Blocks that lie along rows: block `l` starts at `from + l·stride`.
    ///
    /// # Safety
    /// The blocks are readable, and `stride` is even.
    unsafe fn blocks<V: Vector>(from: *const Self, stride: usize) -> Self::Raw<V>;

    /// Blocks that lie along columns: element `i` of block `l` is at `from + i·stride + l`.
    ///
    /// # Safety
    /// The blocks are readable.
    unsafe fn columns<V: Vector>(from: *const Self, stride: usize) -> Self::Raw<V>;

    /// The group of blocks.
    unsafe fn group<V: Vector>(raw: Self::Raw<V>) -> Group<V>;

    /// Blocks as FP32, with the signs that a transform gives them.
    unsafe fn signed<V: Vector>(raw: Self::Raw<V>, signs: &Signs) -> [V::F; 16];

    /// Elements rounded to the type, to nearest even.
    unsafe fn narrow<V: Vector>(elements: [V::F; 16]) -> Self::Raw<V>;

    /// The sum of numbers that are not below the magnitudes of a block; infinite or NaN where an
    /// element is.
    unsafe fn bound<V: Vector>(raw: Self::Raw<V>) -> V::F;

    /// [`Load::bound`] of `LANES` blocks that follow each other.
    ///
    /// # Safety
    /// The blocks are readable.
    unsafe fn bounds<V: Vector>(from: *const Self) -> V::F;
}

/// Two 16-bit elements, in the halves of a `u32`, and FP32.
trait Widen<V: Vector> {
    /// Magnitudes, as [`Specials`] says.
    unsafe fn widen(pair: V::U) -> [V::F; 2];
    /// Any elements.
    unsafe fn signed(pair: V::U) -> [V::F; 2];
    /// Rounds to nearest even.
    unsafe fn narrow(even: V::F, odd: V::F) -> V::U;
    /// Numbers that are not below the magnitudes.
    unsafe fn bound(pair: V::U) -> [V::F; 2];
}

impl<V: Vector> Widen<V> for bf16 {
    #[inline(always)]
    unsafe fn signed(pair: V::U) -> [V::F; 2] {
        // SAFETY: as the caller's.
        unsafe { <Self as Widen<V>>::widen(pair) }
    }

    /// The low half of a NaN is zero, as it is of bf16 elements and of a NaN that sums make.
    #[inline(always)]
    unsafe fn narrow(even: V::F, odd: V::F) -> V::U {
        // SAFETY: as the caller's.
        unsafe { V::blend_u16(V::shr::<16>(V::to_bf16(even)), V::to_bf16(odd)) }
    }

    /// The odd one keeps the even one as its lower bits.
    #[inline(always)]
    unsafe fn bound(pair: V::U) -> [V::F; 2] {
        // SAFETY: as the caller's.
        unsafe {
            let magnitudes = V::and(pair, V::splat_u(0x7FFF_7FFF));
            [V::from_bits(V::shl::<16>(magnitudes)), V::from_bits(magnitudes)]
        }
    }

    #[inline(always)]
    unsafe fn widen(pair: V::U) -> [V::F; 2] {
        // SAFETY: as the caller's.
        unsafe {
            let high = V::and(pair, V::splat_u(0xFFFF_0000));
            [V::from_bits(V::shl::<16>(pair)), V::from_bits(high)]
        }
    }
}

impl<V: Vector> Widen<V> for f16 {
    #[inline(always)]
    unsafe fn signed(pair: V::U) -> [V::F; 2] {
        // SAFETY: as the caller's.
        unsafe { [V::from_f16(V::and(pair, V::splat_u(0xFFFF))), V::from_f16(V::shr::<16>(pair))] }
    }

    #[inline(always)]
    unsafe fn narrow(even: V::F, odd: V::F) -> V::U {
        // SAFETY: as the caller's.
        unsafe { V::or(V::to_f16(even), V::shl::<16>(V::to_f16(odd))) }
    }

    #[inline(always)]
    unsafe fn bound(pair: V::U) -> [V::F; 2] {
        // SAFETY: as the caller's.
        unsafe { <Self as Widen<V>>::signed(V::and(pair, V::splat_u(0x7FFF_7FFF))) }
    }

    /// Shifted into FP32's fields the exponent is 112 too small, for subnormals as well: the
    /// product is exact.
    #[inline(always)]
    unsafe fn widen(pair: V::U) -> [V::F; 2] {
        // SAFETY: as the caller's.
        unsafe {
            let rebias = V::splat(f32::from_bits((127 + 112) << 23));
            let low = V::shr::<3>(V::shl::<16>(pair));
            let high = V::shr::<3>(V::and(pair, V::splat_u(0xFFFF_0000)));
            [V::mul(V::from_bits(low), rebias), V::mul(V::from_bits(high), rebias)]
        }
    }
}

/// A group from its 8 vectors of element pairs.
#[inline(always)]
unsafe fn from_pairs<V: Vector, T: Widen<V>>(pairs: [V::U; 8]) -> Group<V> {
    // SAFETY: as the caller's.
    unsafe {
        let mut magnitudes = [V::splat(0.0); 16];
        let mut max = V::splat_u(0);
        for k in 0..8 {
            let pair = V::and(pairs[k], V::splat_u(0x7FFF_7FFF));
            max = V::max_u16(max, pair);
            [magnitudes[2 * k], magnitudes[2 * k + 1]] = T::widen(pair);
        }
        let signs = [
            V::sign_nibbles([pairs[0], pairs[1], pairs[2], pairs[3]]),
            V::sign_nibbles([pairs[4], pairs[5], pairs[6], pairs[7]]),
        ];
        let [even, odd] = T::widen(max);
        // As integers, so that a NaN is not lost.
        let amax = V::from_bits(V::max_u32(V::to_bits(even), V::to_bits(odd)));
        Group { magnitudes, signs, amax }
    }
}

/// A group of FP32 blocks from its 16 vectors of elements.
#[inline(always)]
unsafe fn from_words<V: Vector>(words: [V::U; 16]) -> Group<V> {
    // SAFETY: as the caller's.
    unsafe {
        let mut magnitudes = [V::splat(0.0); 16];
        let mut max = V::splat_u(0);
        let mut signs = [V::splat_u(0); 2];
        for i in 0..16 {
            let magnitude = V::and(words[i], V::splat_u(0x7FFF_FFFF));
            max = V::max_u32(max, magnitude);
            magnitudes[i] = V::from_bits(magnitude);
            let sign = V::and(words[i], V::splat_u(0x8000_0000));
            signs[i / 8] = V::or(V::shr::<4>(signs[i / 8]), sign);
        }
        Group { magnitudes, signs, amax: V::from_bits(max) }
    }
}

macro_rules! load_16_bit {
    ($element:ty, $specials:expr) => {
        impl Load for $element {
            const SPECIALS: Specials = $specials;
            type Raw<V: Vector> = [V::U; 8];

            #[inline(always)]
            unsafe fn blocks<V: Vector>(from: *const Self, stride: usize) -> [V::U; 8] {
                // SAFETY: as the caller's; an even stride is a whole number of pairs.
                unsafe { V::load_transposed(from.cast(), stride / 2) }
            }

            #[inline(always)]
            unsafe fn columns<V: Vector>(from: *const Self, stride: usize) -> [V::U; 8] {
                // SAFETY: as the caller's.
                unsafe {
                    let mut pairs = [V::splat_u(0); 8];
                    for (k, pair) in pairs.iter_mut().enumerate() {
                        let even = V::load_u16(from.add(2 * k * stride).cast());
                        let odd = V::load_u16(from.add((2 * k + 1) * stride).cast());
                        *pair = V::or(even, V::shl::<16>(odd));
                    }
                    pairs
                }
            }

            #[inline(always)]
            unsafe fn group<V: Vector>(raw: [V::U; 8]) -> Group<V> {
                // SAFETY: as the caller's.
                unsafe { from_pairs::<V, Self>(raw) }
            }

            #[inline(always)]
            unsafe fn signed<V: Vector>(raw: [V::U; 8], signs: &Signs) -> [V::F; 16] {
                // SAFETY: as the caller's.
                unsafe {
                    let mut elements = [V::splat(0.0); 16];
                    for k in 0..8 {
                        let pair = V::xor(raw[k], V::splat_u(signs.of_pair(k)));
                        [elements[2 * k], elements[2 * k + 1]] = <Self as Widen<V>>::signed(pair);
                    }
                    elements
                }
            }

            #[inline(always)]
            unsafe fn narrow<V: Vector>(elements: [V::F; 16]) -> [V::U; 8] {
                // SAFETY: as the caller's.
                unsafe {
                    let mut pairs = [V::splat_u(0); 8];
                    for k in 0..8 {
                        let (even, odd) = (elements[2 * k], elements[2 * k + 1]);
                        pairs[k] = <Self as Widen<V>>::narrow(even, odd);
                    }
                    pairs
                }
            }

            #[inline(always)]
            unsafe fn bound<V: Vector>(raw: [V::U; 8]) -> V::F {
                // SAFETY: as the caller's.
                unsafe {
                    let mut sums = [V::splat(0.0); 2];
                    for pair in raw {
                        let [even, odd] = <Self as Widen<V>>::bound(pair);
                        sums = [V::add(sums[0], even), V::add(sums[1], odd)];
                    }
                    V::add(sums[0], sums[1])
                }
            }

            #[inline(always)]
            unsafe fn bounds<V: Vector>(from: *const Self) -> V::F {
                // SAFETY: as the caller's: 16 elements for each lane are eight vectors.
                unsafe {
                    let mut sums = [V::splat(0.0); 8];
                    for k in 0..8 {
                        let pairs = V::load_u32(from.add(2 * V::LANES * k).cast());
                        let [even, odd] = <Self as Widen<V>>::bound(pairs);
                        sums[k] = V::add(even, odd);
                    }
                    V::sums_of_eight(sums)
                }
            }
        }
    };
}

load_16_bit!(bf16, Specials::IEEE);
// Infinity and NaN are widened as if they were numbers of the next binade: 2^16, and above.
load_16_bit!(
    f16,
    Specials {
        limit: 65536.0,
        value: |element| match element.abs() {
            finite if finite < 65536.0 => element,
            65536.0 => f32::INFINITY.copysign(element),
            _ => f32::NAN,
        },
    }
);

impl Load for f32 {
    const SPECIALS: Specials = Specials::IEEE;
    type Raw<V: Vector> = [V::U; 16];

    #[inline(always)]
    unsafe fn blocks<V: Vector>(from: *const Self, stride: usize) -> [V::U; 16] {
        // SAFETY: as the caller's.
        unsafe {
            let left = V::load_transposed(from.cast(), stride);
            let right = V::load_transposed(from.add(8).cast(), stride);
            let mut words = [V::splat_u(0); 16];
            words[..8].copy_from_slice(&left);
            words[8..].copy_from_slice(&right);
            words
        }
    }

    #[inline(always)]
    unsafe fn columns<V: Vector>(from: *const Self, stride: usize) -> [V::U; 16] {
        // SAFETY: as the caller's.
        unsafe {
            let mut words = [V::splat_u(0); 16];
            for (i, word) in words.iter_mut().enumerate() {
                *word = V::load_u32(from.add(i * stride).cast());
            }
            words
        }
    }

    #[inline(always)]
    unsafe fn group<V: Vector>(raw: [V::U; 16]) -> Group<V> {
        // SAFETY: as the caller's.
        unsafe { from_words(raw) }
    }

    #[inline(always)]
    unsafe fn signed<V: Vector>(raw: [V::U; 16], signs: &Signs) -> [V::F; 16] {
        // SAFETY: as the caller's.
        unsafe {
            let mut elements = [V::splat(0.0); 16];
            for i in 0..16 {
                elements[i] = V::from_bits(V::xor(raw[i], V::splat_u(signs.of_word(i))));
            }
            elements
        }
    }

    #[inline(always)]
    unsafe fn narrow<V: Vector>(elements: [V::F; 16]) -> [V::U; 16] {
        // SAFETY: as the caller's.
        unsafe {
            let mut words = [V::splat_u(0); 16];
            for i in 0..16 {
                words[i] = V::to_bits(elements[i]);
            }
            words
        }
    }

    #[inline(always)]
    unsafe fn bound<V: Vector>(raw: [V::U; 16]) -> V::F {
        // SAFETY: as the caller's.
        unsafe {
            let mut sums = [V::splat(0.0); 2];
            for i in 0..8 {
                sums[0] = V::add(sums[0], V::abs(V::from_bits(raw[2 * i])));
                sums[1] = V::add(sums[1], V::abs(V::from_bits(raw[2 * i + 1])));
            }
            V::add(sums[0], sums[1])
        }
    }

    #[inline(always)]
    unsafe fn bounds<V: Vector>(from: *const Self) -> V::F {
        // SAFETY: as the caller's.
        unsafe { Self::bound::<V>(Self::blocks::<V>(from, 16)) }
    }
}
