//! Random tensors, fast: every core fills its part, and a seed gives the same tensor anywhere.

use fouroversix::{Element, InputType};
use half::f16;
use rand_xoshiro::SplitMix64;
use rand_xoshiro::rand_core::{Rng, SeedableRng};
use rayon::prelude::*;

/// Elements that one seed fills.
const CHUNK: usize = 1 << 16;

/// What a random tensor is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Distribution {
    /// Nearly normal with variance 1: the sum of four uniform numbers.
    Normal,
    /// Any finite value of the type, all bit patterns alike.
    AnyFinite,
    /// Sixteen binades, all alike, significands uniform.
    Binades,
    /// Normal, times a power of two that falls from block to block until block scales are
    /// subnormal and zero.
    FallingBlocks,
    /// Integers from −12 to 12: exact ties everywhere.
    Integers,
    /// Mostly zeros of either sign.
    Sparse,
    /// Normal, with NaN and infinities here and there.
    NonFinite,
}

impl Distribution {
    /// All, in the order in which batches take them.
    pub(crate) const ALL: [Self; 7] = [
        Self::Normal,
        Self::Binades,
        Self::FallingBlocks,
        Self::AnyFinite,
        Self::Integers,
        Self::Sparse,
        Self::NonFinite,
    ];
}

/// Fills `out` with what `seed` says.
pub(crate) fn fill<T: Element>(distribution: Distribution, seed: u64, out: &mut [T]) {
    out.par_chunks_mut(CHUNK).enumerate().for_each(|(chunk, out)| {
        let mut rng =
            SplitMix64::seed_from_u64(seed ^ (chunk as u64).wrapping_mul(0xD1B5_4A32_D192_ED03));
        for (index, element) in out.iter_mut().enumerate() {
            *element = T::from_f32(value(distribution, T::TYPE, rng.next_u64(), index));
        }
    });
}

fn value(distribution: Distribution, element: InputType, bits: u64, index: usize) -> f32 {
    match distribution {
        Distribution::Normal => normal(bits),
        Distribution::AnyFinite => any_finite(element, bits),
        Distribution::Binades => {
            let exponent = 127 - 8 + (bits >> 60) as u32;
            let sign = (bits as u32) & 0x8000_0000;
            f32::from_bits(sign | exponent << 23 | (bits >> 32) as u32 & 0x007F_FFFF)
        }
        Distribution::FallingBlocks => normal(bits) * (-((index / 16 % 24) as f32)).exp2(),
        Distribution::Integers => ((bits >> 32) % 25) as f32 - 12.0,
        Distribution::Sparse if bits & 15 == 0 => normal(bits),
        Distribution::Sparse => f32::from_bits((bits >> 8) as u32 & 0x8000_0000),
        Distribution::NonFinite => match bits >> 54 {
            0 => f32::NAN,
            1 => -f32::NAN,
            2 => f32::INFINITY,
            3 => f32::NEG_INFINITY,
            _ => normal(bits),
        },
    }
}

/// The sum of the four 16-bit parts, centred and scaled to variance 1, its low bits random too.
fn normal(bits: u64) -> f32 {
    let part = |shift: u32| (bits >> shift & 0xFFFF) as i32;
    let sum = part(0) + part(16) + part(32) + part(48) - 131_070;
    let low = (bits.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 40) as f32 * (1.0 / 16_777_216.0);
    (sum as f32 + low) * (1.0 / 37_837.0)
}

fn any_finite(element: InputType, bits: u64) -> f32 {
    // An exponent of all ones becomes one less.
    let finite = |bits: u32, exponent: u32| {
        if bits & exponent == exponent { bits ^ (exponent & !(exponent << 1)) } else { bits }
    };
    match element {
        InputType::F16 => f16::from_bits(finite(bits as u32 & 0xFFFF, 0x7C00) as u16).to_f32(),
        InputType::Bf16 => f32::from_bits(finite((bits as u32) << 16, 0x7F80_0000)),
        InputType::F32 => f32::from_bits(finite(bits as u32, 0x7F80_0000)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use half::bf16;

    fn filled<T: Element>(distribution: Distribution) -> Vec<f32> {
        let mut out = vec![T::from_f32(0.0); 3 * CHUNK];
        fill(distribution, 7, &mut out);
        out.into_iter().map(Element::to_f32).collect()
    }

    #[test]
    fn normal_has_the_moments_it_claims() {
        let values = filled::<f32>(Distribution::Normal);
        let count = values.len() as f64;
        let mean = values.iter().map(|v| f64::from(*v)).sum::<f64>() / count;
        let power = values.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>() / count;
        assert!(mean.abs() < 0.02 && (power - 1.0).abs() < 0.02, "{mean} {power}");
        assert_ne!(values[..CHUNK], values[CHUNK..2 * CHUNK], "chunks differ");
    }

    #[test]
    fn only_one_distribution_is_not_finite() {
        for distribution in Distribution::ALL {
            let finite = [
                filled::<bf16>(distribution),
                filled::<f16>(distribution),
                filled::<f32>(distribution),
            ]
            .concat()
            .iter()
            .all(|value| value.is_finite());
            assert_eq!(finite, distribution != Distribution::NonFinite, "{distribution:?}");
        }
    }

    #[test]
    fn any_finite_reaches_every_exponent() {
        let mut seen = [false; 32];
        for value in filled::<f16>(Distribution::AnyFinite) {
            seen[usize::from(f16::from_f32(value).to_bits() >> 10 & 31)] = true;
        }
        assert_eq!(seen.iter().filter(|seen| **seen).count(), 31);
    }
}
