//! A block as plain numbers: what the exact path works on.

/// Sixteen elements that lie along the quantized dimension, as FP32.
pub(crate) type Block = [f32; 16];

/// A quantized block, or one row of a quantized tile.
#[derive(Clone, Copy, Debug)]
pub(crate) struct QuantizedBlock {
    /// E4M3 bits of its scale.
    pub(crate) scale: u8,
    /// An E2M1 code for each element.
    pub(crate) codes: [u8; 16],
}

impl QuantizedBlock {
    /// The codes as they are stored: two a byte, the first in the low half.
    pub(crate) fn packed(&self) -> [u8; 8] {
        std::array::from_fn(|j| self.codes[2 * j] | self.codes[2 * j + 1] << 4)
    }
}

/// The largest magnitude of a block; `f32::max` drops NaN.
pub(crate) fn block_amax(block: &Block) -> f32 {
    block.iter().fold(0.0, |max, x| f32::max(max, x.abs()))
}

/// The largest magnitude of a tile's rows, as [`block_amax`].
pub(crate) fn rows_amax(rows: &[Block; 16]) -> f32 {
    rows.iter().map(block_amax).fold(0.0, f32::max)
}

/// The errors of 16 rows added by the contract's tree: +8, +4, +2, +1.
pub(crate) fn sum_rows(mut rows: [f32; 16]) -> f32 {
    for half in [8, 4, 2, 1] {
        for i in 0..half {
            rows[i] += rows[i + half];
        }
    }
    rows[0]
}
