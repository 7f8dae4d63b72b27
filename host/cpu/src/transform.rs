//! The Hadamard transform of blocks on their way to be quantized (step T1): a lane is a block.

use fouroversix_core::SignMask;

use crate::block::Block;
use crate::group::Load;
use crate::signs::Signs;
use crate::simd::vector::Vector;

/// A transform, by its signs.
#[derive(Clone, Debug)]
pub(crate) struct Transform(pub(crate) Signs);

impl Transform {
    pub(crate) fn new(mask: SignMask) -> Self {
        Self(Signs::new(mask))
    }

    /// Blocks transformed, rounded to their type.
    ///
    /// # Safety
    /// As [`Vector`].
    #[inline(always)]
    pub(crate) unsafe fn raw<V: Vector, T: Load>(&self, raw: T::Raw<V>) -> T::Raw<V> {
        // SAFETY: the caller's.
        unsafe {
            let mut z = sums::<V>(T::signed::<V>(raw, &self.0));
            for sum in &mut z {
                *sum = V::mul(*sum, V::splat(0.25));
            }
            T::narrow::<V>(z)
        }
    }

    /// One block transformed, rounded to its type.
    pub(crate) fn block<T: Load>(&self, block: &Block) -> Block {
        self.block_sums(block).map(|sum| rounded::<T>(sum))
    }

    /// One block's [`sums`].
    pub(crate) fn block_sums(&self, block: &Block) -> Block {
        let mut z: Block =
            std::array::from_fn(|i| f32::from_bits(block[i].to_bits() ^ self.0.of_word(i)));
        for distance in [1, 2, 4, 8] {
            for i in (0..16).filter(|i| i & distance == 0) {
                let (low, high) = (z[i], z[i + distance]);
                (z[i], z[i + distance]) = (low + high, low - high);
            }
        }
        z
    }
}

/// What a sum becomes.
pub(crate) fn rounded<T: Load>(sum: f32) -> f32 {
    T::from_f32(sum * 0.25).to_f32()
}

/// The four rounds of sums and differences: first within fours of neighbours, then across them, so
/// that four values at a time are in registers.
#[inline(always)]
pub(crate) unsafe fn sums<V: Vector>(mut z: [V::F; 16]) -> [V::F; 16] {
    // SAFETY: as the caller's.
    unsafe {
        for i in [0, 4, 8, 12] {
            four::<V>(&mut z, i, 1);
        }
        for i in [0, 1, 2, 3] {
            four::<V>(&mut z, i, 4);
        }
        z
    }
}

/// Two rounds, `step` and `2·step` apart, of four values.
#[inline(always)]
unsafe fn four<V: Vector>(z: &mut [V::F; 16], first: usize, step: usize) {
    // SAFETY: as the caller's.
    unsafe {
        let [a, b] = [z[first], z[first + step]];
        let [c, d] = [z[first + 2 * step], z[first + 3 * step]];
        let [a, b] = [V::add(a, b), V::sub(a, b)];
        let [c, d] = [V::add(c, d), V::sub(c, d)];
        z[first] = V::add(a, c);
        z[first + step] = V::add(b, d);
        z[first + 2 * step] = V::sub(a, c);
        z[first + 3 * step] = V::sub(b, d);
    }
}

#[cfg(test)]
mod tests {
    use half::{bf16, f16};

    use super::*;
    use crate::tests::on_every_vector;

    /// What a vector function makes of a value on every lane.
    unsafe fn lane<V: Vector>(value: V::F) -> u32 {
        // SAFETY: the caller's.
        unsafe { V::lane(&value, V::LANES - 1).to_bits() }
    }

    #[test]
    fn every_f16_is_widened() {
        fn check<V: Vector>() {
            for bits in 0..=u16::MAX {
                // SAFETY: the path is available.
                let value = unsafe { lane::<V>(V::from_f16(V::splat_u(bits.into()))) };
                let (value, expected) = (f32::from_bits(value), f16::from_bits(bits).to_f32());
                assert_eq!(value.is_nan(), expected.is_nan(), "{bits:#x}");
                assert!(value.is_nan() || value.to_bits() == expected.to_bits(), "{bits:#x}");
            }
        }
        on_every_vector!(check);
    }

    /// Around every f16 and every point between two, and what overflows.
    #[test]
    fn narrowing_rounds_to_even() {
        fn check<V: Vector>() {
            let narrow = |value: f32| {
                // SAFETY: the path is available.
                unsafe {
                    let to_f16 = V::lane_u(&V::to_f16(V::splat(value)), 0);
                    let pairs = bf16::narrow::<V>([V::splat(value); 16]);
                    (to_f16, V::lane_u(&pairs[3], 0))
                }
            };
            let same = |value: f32| {
                let (to_f16, pair) = narrow(value);
                assert_eq!(to_f16, u32::from(f16::from_f32(value).to_bits()), "{value:e}");
                let upper = u32::from(bf16::from_f32(value).to_bits());
                assert_eq!(pair, upper << 16 | upper, "{value:e}");
            };
            for bits in (0..0x7C00).step_by(3) {
                let value = f16::from_bits(bits).to_f32();
                let next = f16::from_bits(bits + 1).to_f32();
                let middle = if next.is_finite() { value.midpoint(next) } else { 65520.0 };
                for value in [value, middle.next_down(), middle, middle.next_up()] {
                    same(value);
                    same(-value);
                }
            }
            for bits in (0..0x7F80_0000_u32).step_by(0x7FFF) {
                same(f32::from_bits(bits));
                same(-f32::from_bits(bits | 0x8000));
            }
            for value in [65519.99, 65520.0, 65536.0, 1e9, f32::MAX, f32::INFINITY] {
                same(value);
                same(-value);
            }
            let (to_f16, pair) = narrow(f32::NAN);
            assert!(f16::from_bits(to_f16 as u16).is_nan() && to_f16 >> 16 == 0);
            assert!(bf16::from_bits(pair as u16).is_nan());
        }
        on_every_vector!(check);
    }

    /// Rows of the matrix are orthogonal, and its first column has no sign.
    #[test]
    fn a_basis_vector_becomes_a_column() {
        let transform = Transform::new(SignMask(0b10));
        let column = |i: usize| {
            let mut block = [0.0; 16];
            block[i] = 4.0;
            transform.block::<f32>(&block)
        };
        assert_eq!(column(0), [1.0; 16]);
        for i in 0..16 {
            for j in 0..16 {
                let product: f32 = column(i).iter().zip(column(j)).map(|(a, b)| a * b).sum();
                assert_eq!(product, if i == j { 16.0 } else { 0.0 });
            }
        }
        let flipped: Block = std::array::from_fn(|j| if j % 2 == 0 { -1.0 } else { 1.0 });
        assert_eq!(column(1), flipped);
    }
}
