//! The door between what is loaded and what is quantized: a transform, or none.
//!
//! The hot path gets a block in registers and the exact path an element a lane, so neither reads transformed
//! values from memory: they are nowhere.

use super::block::Block;
use super::input::Input;
use crate::ptx::warp;
use fouroversix_core::abi::Signs;

/// What becomes of a block's elements before anything else.
pub(crate) trait Transform: Copy {
    /// Whether the two outputs may have different elements, and amaxes.
    const BY_OUTPUT: bool;
    /// The 16 elements of a lane's block.
    fn block<T: Input>(self, raw: T::Raw) -> T::Raw;
    /// Element `lane % 16` of a block that all lanes of the warp share.
    fn shared<T: Input>(self, block: impl Block, lane: u32) -> f32;
}

/// None.
#[derive(Clone, Copy)]
pub(crate) struct Identity;

impl Transform for Identity {
    const BY_OUTPUT: bool = false;

    #[inline(always)]
    fn block<T: Input>(self, raw: T::Raw) -> T::Raw {
        raw
    }

    #[inline(always)]
    fn shared<T: Input>(self, block: impl Block, lane: u32) -> f32 {
        block.element::<T>(u64::from(lane % 16))
    }
}

/// The Hadamard transform of the signed group (step T1): `T(H16/4 · diag(signs) · x)`, as four rounds of
/// FP32 sums and differences.
#[derive(Clone, Copy)]
pub(crate) struct Hadamard<'a> {
    signs: &'a Signs,
    /// Whether this output is transformed: beside one that is, another need not be.
    asked: bool,
}

impl<'a> Hadamard<'a> {
    /// Of an output that is transformed.
    #[inline(always)]
    pub(crate) fn new(signs: &'a Signs) -> Self {
        Self { signs, asked: true }
    }

    /// Of an output that is, if `asked`.
    #[inline(always)]
    pub(crate) fn if_asked(signs: &'a Signs, asked: bool) -> Self {
        Self { signs, asked }
    }
}

impl Transform for Hadamard<'_> {
    const BY_OUTPUT: bool = true;

    #[inline(always)]
    fn block<T: Input>(self, raw: T::Raw) -> T::Raw {
        if !self.asked {
            return raw;
        }
        let mut z = T::widen(T::flip(raw, &self.signs.words));
        macro_rules! round {
            ($h:literal: $($i:literal)*) => {$(
                (z[$i], z[$i + $h]) = (z[$i] + z[$i + $h], z[$i] - z[$i + $h]);
            )*};
        }
        round!(1: 0 2 4 6 8 10 12 14);
        round!(2: 0 1 4 5 8 9 12 13);
        round!(4: 0 1 2 3 8 9 10 11);
        round!(8: 0 1 2 3 4 5 6 7);
        T::narrow(z.map(|sum| sum * 0.25))
    }

    #[inline(always)]
    fn shared<T: Input>(self, block: impl Block, lane: u32) -> f32 {
        let x = block.element::<T>(u64::from(lane % 16));
        if !self.asked {
            return x;
        }
        let sign = self.signs.mask >> (lane % 16) << 31;
        let mut z = f32::from_bits(x.to_bits() ^ sign);
        for h in [1, 2, 4, 8] {
            let other = warp::shuffle_xor(z, h);
            z = if lane & h == 0 { z + other } else { other - z };
        }
        T::round(z * 0.25)
    }
}
