//! A group of blocks in vectors, and the element types that one is read from. Lane `l` of everything
//! belongs to block `l`.

use fouroversix_core::Element;
use half::{bf16, f16};

use crate::block::Block;
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
pub(crate) trait Load: Element {
    /// How its groups hold elements that are not finite.
    const SPECIALS: Specials;

    /// Blocks that lie along rows: block `l` starts at `from + l·stride`.
    ///
    /// # Safety
    /// As [`Vector`]; the blocks are readable, and `stride` is even.
    unsafe fn blocks<V: Vector>(from: *const Self, stride: usize) -> Group<V>;

    /// Blocks that lie along columns: element `i` of block `l` is at `from + i·stride + l`.
    ///
    /// # Safety
    /// As [`Vector`]; the blocks are readable.
    unsafe fn columns<V: Vector>(from: *const Self, stride: usize) -> Group<V>;
}

/// Two magnitudes, in the halves of a `u32`, to FP32.
trait Widen<V: Vector> {
    unsafe fn widen(pair: V::U) -> [V::F; 2];
}

impl<V: Vector> Widen<V> for bf16 {
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

            #[inline(always)]
            unsafe fn blocks<V: Vector>(from: *const Self, stride: usize) -> Group<V> {
                // SAFETY: as the caller's; an even stride is a whole number of pairs.
                unsafe { from_pairs::<V, Self>(V::load_transposed(from.cast(), stride / 2)) }
            }

            #[inline(always)]
            unsafe fn columns<V: Vector>(from: *const Self, stride: usize) -> Group<V> {
                // SAFETY: as the caller's.
                unsafe {
                    let mut pairs = [V::splat_u(0); 8];
                    for (k, pair) in pairs.iter_mut().enumerate() {
                        let even = V::load_u16(from.add(2 * k * stride).cast());
                        let odd = V::load_u16(from.add((2 * k + 1) * stride).cast());
                        *pair = V::or(even, V::shl::<16>(odd));
                    }
                    from_pairs::<V, Self>(pairs)
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

    #[inline(always)]
    unsafe fn blocks<V: Vector>(from: *const Self, stride: usize) -> Group<V> {
        // SAFETY: as the caller's.
        unsafe {
            let left = V::load_transposed(from.cast(), stride);
            let right = V::load_transposed(from.add(8).cast(), stride);
            let mut words = [V::splat_u(0); 16];
            words[..8].copy_from_slice(&left);
            words[8..].copy_from_slice(&right);
            from_words(words)
        }
    }

    #[inline(always)]
    unsafe fn columns<V: Vector>(from: *const Self, stride: usize) -> Group<V> {
        // SAFETY: as the caller's.
        unsafe {
            let mut words = [V::splat_u(0); 16];
            for (i, word) in words.iter_mut().enumerate() {
                *word = V::load_u32(from.add(i * stride).cast());
            }
            from_words(words)
        }
    }
}
