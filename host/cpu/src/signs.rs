//! Which elements of a block change their sign before a transform.

use fouroversix_core::SignMask;

/// A mask as the bits that it flips.
#[derive(Clone, Debug)]
pub(crate) struct Signs {
    words: [u32; 16],
    pairs: [u32; 8],
}

impl Signs {
    pub(crate) fn new(mask: SignMask) -> Self {
        let words: [u32; 16] = std::array::from_fn(|i| u32::from(mask.0 >> i & 1) << 31);
        let pairs = std::array::from_fn(|k| words[2 * k] >> 16 | words[2 * k + 1]);
        Self { words, pairs }
    }

    /// Those of an element as FP32.
    pub(crate) const fn of_word(&self, i: usize) -> u32 {
        self.words[i]
    }

    /// Those of a pair of 16-bit elements, the first in the low half.
    pub(crate) const fn of_pair(&self, k: usize) -> u32 {
        self.pairs[k]
    }
}
