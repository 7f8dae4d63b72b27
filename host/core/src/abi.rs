//! What a launch passes to a kernel: plain structs, the same bytes on host and device.
//!
//! Device addresses are `u64` here so that the structs have one layout everywhere. Null means
//! "not wanted" for outputs and "none" for options. What else a launch promises of them is the launch
//! contract, whose clauses are numbered in the module `launch`.

use crate::config::InputType;
use crate::training::{Panel, RandomState, SignMask};

/// The tensor-wide (or row-wide) values that every block needs, computed once on the device.
///
/// The amax kernels and `global_scales` write it; the quantize kernels read it. 16 bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[repr(C, align(16))]
pub struct GlobalScale {
    /// Largest magnitude, NaN ignored.
    pub amax: f32,
    /// `min(fl(6·A / amax), FMAX)`, or 1.
    pub s_enc: f32,
    /// `fl(1 / s_enc)`.
    pub s_dec: f32,
    /// 6.5, in the unit of the instruction set's E2M1 arithmetic, where the hot path's proof holds
    /// (`2⁻⁵⁰ ≤ s_dec ≤ 2⁵⁰`); else 0: no block passes the test `scaled amax < limit`, and all take
    /// the exact path.
    pub limit: f32,
}

/// One tensor of a quantize launch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C, align(8))]
pub struct QuantizeTensor {
    /// `[rows, cols]` elements, row-major, 16-byte aligned.
    pub input: u64,
    /// `[rows, cols/2]` bytes, 8-byte aligned. Rowwise output.
    pub codes: u64,
    /// Rowwise block scales.
    pub scales: u64,
    /// `[cols, rows/2]` bytes, 16-byte aligned. Columnwise output.
    pub codes_t: u64,
    /// Columnwise block scales.
    pub scales_t: u64,
    /// [`GlobalScale`]: one, or one for each row with [`ROW_SCALED`].
    pub global: u64,
    /// [`GlobalScale`] of the columnwise output: the same one, or one for each column with
    /// [`ROW_SCALED`].
    pub global_t: u64,
    /// Rows.
    pub rows: u32,
    /// Columns.
    pub cols: u32,
    /// `rows · cols / 16`, below 2³¹.
    pub blocks: u32,
    /// Zero.
    pub reserved: u32,
    /// Division by `cols / 16`.
    pub by_blocks: Divisor,
}

/// The parameter of every quantize kernel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C, align(8))]
pub struct QuantizeParams {
    /// The tensor, where the launch has one.
    pub tensor: QuantizeTensor,
    /// `[gridDim.z]` [`QuantizeTensor`]s in device memory for a grouped kernel, else null.
    pub group: u64,
    /// With [`SKIPPABLE`], a `u32` in device memory: the launch does nothing when it is not zero.
    pub skip: u64,
    /// [`STRICT`], [`E4M3_MAX_256`], [`ROW_SCALED`], [`SWIZZLED`], [`SKIPPABLE`], [`TRANSFORMS`],
    /// [`MAGNITUDES`].
    pub flags: u32,
    /// Zero.
    pub reserved: u32,
}

/// The parameter of quantize kernels that round stochastically or transform.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C, align(8))]
pub struct TrainingParams {
    /// What the kernel of nearest rounding takes.
    pub quantize: QuantizeParams,
    /// Where random bytes come from; not looked at by kernels of nearest rounding.
    pub random: Random,
    /// The signs of the rowwise and of the columnwise output's transform; not looked at by kernels without
    /// transforms.
    pub signs: [Signs; 2],
}

/// The parameter of `amax_transform_*`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C, align(8))]
pub struct TransformAmaxParams {
    /// What `amax_*` takes; of `amax_transform_columnwise_*` with the rows and columns that there are.
    pub amax: AmaxParams,
    /// The signs of the output's transform.
    pub signs: Signs,
}

/// Which elements change their signs before a transform (step T1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Signs {
    /// What an input's words are combined with by exclusive or: 8 words of two elements each for 16-bit
    /// types, 16 of one.
    pub words: [u32; 16],
    /// Bit i is element i's.
    pub mask: u32,
    /// Zero.
    pub reserved: u32,
}

impl Signs {
    /// Of a mask, for elements of a type.
    #[must_use]
    pub const fn new(SignMask(mask): SignMask, input: InputType) -> Self {
        let mask = mask as u32;
        let mut words = [0; 16];
        let mut i = 0;
        while i < 16 {
            let sign = mask >> i << 31;
            match input {
                InputType::F32 => words[i] = sign,
                InputType::Bf16 | InputType::F16 if i % 2 == 0 => words[i / 2] |= sign >> 16,
                InputType::Bf16 | InputType::F16 => words[i / 2] |= sign,
            }
            i += 1;
        }
        Self { words, mask, reserved: 0 }
    }
}

/// Rounds of Philox4x32.
pub const PHILOX_ROUNDS: usize = 10;

/// The random state of a launch, and where its tensors lie in those that they are panels of (step T3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C, align(8))]
pub struct Random {
    /// The key of each round, of the seed.
    pub keys: [[u32; 2]; PHILOX_ROUNDS],
    /// The stream of the first tensor's rowwise output: twice the offset.
    pub stream: u64,
    /// `[2]` u64 in device memory, seed and offset, 16-byte aligned, in place of `keys` and `stream`; or
    /// null.
    pub state: u64,
    /// The segment of the first block, rowwise and columnwise.
    pub first: [u64; 2],
    /// Blocks of a columnwise line of the whole tensor that are not in the panel.
    pub gap: u32,
    /// Zero.
    pub reserved: u32,
}

impl Random {
    /// For a random state, and for a panel of so many columns where there is one.
    #[must_use]
    pub const fn new(state: RandomState, panel: Option<Panel>, [rows, cols]: [usize; 2]) -> Self {
        let mut key = [state.seed as u32, (state.seed >> 32) as u32];
        let mut keys = [key; PHILOX_ROUNDS];
        let mut round = 1;
        while round < PHILOX_ROUNDS {
            key = next_key(key);
            keys[round] = key;
            round += 1;
        }
        let stream = state.offset.wrapping_mul(2);
        let random = Self { keys, stream, state: 0, first: [0; 2], gap: 0, reserved: 0 };
        match panel {
            None => random,
            Some(Panel { first_row, rows: whole }) => Self {
                first: [first_row as u64 * (cols / 16) as u64, (first_row / 16) as u64],
                gap: (whole / 16).saturating_sub(rows / 16) as u32,
                ..random
            },
        }
    }
}

/// The key of the next round of Philox4x32.
#[inline(always)]
#[must_use]
pub const fn next_key([low, high]: [u32; 2]) -> [u32; 2] {
    [low.wrapping_add(0x9E37_79B9), high.wrapping_add(0xBB67_AE85)]
}

/// Rows that four thread blocks of a `2d_rowwise` kernel take, 16 each, and one of a search with columnwise codes.
pub const TILE_ROWS: u32 = 64;
/// Columns that a warp of a `2d` kernel takes.
pub const TILE_COLS: u32 = 64;
/// Rows that a thread block takes in the other `2d` kernels with columnwise codes.
pub const TRANSPOSED_ROWS: u32 = 128;
/// Bytes of shared memory of such a kernel: 8 groups of 16 rows of 32 bytes, 528 apart, and the scales.
pub const TRANSPOSED_BYTES: u32 = 8 * 528 + 8 * 4;
/// The same where codes are rounded stochastically: whole columns of codes as well, 80 bytes apart, and the
/// products.
pub const TURNED_BYTES: u32 = TRANSPOSED_BYTES + 64 * 80 + 8 * 2048;
/// Bytes of shared memory of a `2d_rowwise` kernel: 16 rows of 16 blocks' codes, 160 bytes apart, and the scales.
pub const GATHERED_ROWS_BYTES: u32 = 16 * 160 + 16;
/// Columns of the tile of the `1d_columnwise` and `1d_both` kernels.
pub const COLUMNS_COLS: u32 = 128;
/// Bytes of a column of it: 128 rows, or 64 of FP32.
pub const COLUMNS_BYTES: u32 = 256;
/// Columns of a thread block of the `amax_columns` kernels.
pub const AMAX_COLUMNS: u32 = 32;
/// Warps of it, at most.
pub const AMAX_COLUMNS_WARPS: u32 = 16;

/// The error of a candidate is measured in the input domain.
pub const STRICT: u32 = 1;
/// A = 256 instead of 448.
pub const E4M3_MAX_256: u32 = 2;
/// A global scale for each row.
pub const ROW_SCALED: u32 = 4;
/// Scales in the 128x4 layout of the tensor cores.
pub const SWIZZLED: u32 = 8;
/// `skip` is to be looked at.
pub const SKIPPABLE: u32 = 16;

/// The rowwise and the columnwise output are transformed: looked at by kernels of both outputs with
/// transforms.
pub const TRANSFORMS: [u32; 2] = [32, 64];

/// Scale search compares sums of magnitudes instead of squares.
pub const MAGNITUDES: u32 = 128;

/// The parameter of `amax_*`, `amax_rows_*`, `amax_columns_*` and `global_scales`, and an entry of `amax_grouped_*`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C, align(8))]
pub struct AmaxParams {
    /// Elements, 16-byte aligned; for `global_scales`, `[count]` FP32 amaxes; for `amax_grouped_*`,
    /// `[gridDim.z]` of these structs in device memory, whose `skip` and `flags` are not looked at.
    pub input: u64,
    /// [`GlobalScale`]: one, or one for each row or column.
    pub global: u64,
    /// `[2]` u32 (running maximum, finished thread blocks), zero before the first launch; every launch
    /// leaves it zero. Used by `amax_*`; launches that may overlap need one each.
    pub workspace: u64,
    /// A `u32` in device memory, or null: the launch does nothing when it is not zero.
    pub skip: u64,
    /// `amax_*`: 1. `amax_rows_*` and `amax_columns_*`: rows. `global_scales`: number of amaxes.
    pub rows: u64,
    /// Elements (of a row), a multiple of 16.
    pub cols: u64,
    /// [`E4M3_MAX_256`].
    pub flags: u32,
    /// Zero.
    pub reserved: u32,
}

/// The parameter of `dequantize_*`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C, align(8))]
pub struct DequantizeParams {
    /// `[rows, cols/2]` bytes, 8-byte aligned.
    pub codes: u64,
    /// Block scales, linear or [`SWIZZLED`].
    pub scales: u64,
    /// FP32 amax: one, or one for each row with [`ROW_SCALED`].
    pub amax: u64,
    /// `[rows, cols]` elements, 16-byte aligned.
    pub output: u64,
    /// A `u32` in device memory, or null: the launch does nothing when it is not zero.
    pub skip: u64,
    /// Rows.
    pub rows: u32,
    /// Columns.
    pub cols: u32,
    /// Division by `cols / 16`.
    pub by_blocks: Divisor,
    /// [`E4M3_MAX_256`], [`ROW_SCALED`], [`SWIZZLED`], and the distance between amaxes in FP32
    /// words in the upper 16 bits (1, or 4 to read the first field of [`GlobalScale`]s).
    pub flags: u32,
    /// Zero.
    pub reserved: u32,
}

/// Exact division of a `u32` below 2³¹ by a constant: `n / d = mulhi(n, multiplier) >> shift`.
///
/// With `shift = ceil(log2 d) − 1` and `multiplier = ceil(2^(32 + shift) / d) < 2³²` the error of
/// the multiplier, below `d`, shifts the quotient by less than `1/d` while `n < 2³¹`
/// (Granlund and Montgomery). `d = 1` is spelled multiplier 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Divisor {
    multiplier: u32,
    shift: u32,
}

impl Divisor {
    /// For `n / d`, `1 ≤ d < 2³¹`.
    #[must_use]
    pub const fn new(d: u32) -> Self {
        if d <= 1 {
            return Self { multiplier: 0, shift: 0 };
        }
        let shift = 31 - (d - 1).leading_zeros();
        let multiplier = (1u64 << (32 + shift)).div_ceil(d as u64);
        Self { multiplier: multiplier as u32, shift }
    }

    /// `n / d`.
    #[inline(always)]
    #[must_use]
    pub const fn divide(self, n: u32) -> u32 {
        if self.multiplier == 0 {
            return n;
        }
        (((n as u64 * self.multiplier as u64) >> 32) as u32) >> self.shift
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn divides_like_the_operator() {
        let edges = [0u32, 1, 2, 3, 15, 16, 17, 1000, 65535, 65536, (1 << 31) - 2, (1 << 31) - 1];
        // Under Miri few: it takes a minute for a thousand of them.
        let small = if cfg!(miri) { 1..40 } else { 1..5000 };
        for d in small.chain(edges.into_iter().filter(|d| *d > 0)) {
            let by = Divisor::new(d);
            for n in edges.into_iter().chain((1..64).flat_map(|k| {
                let n = (u64::from(d) * k).min((1 << 31) - 1) as u32;
                [n - 1, n, (n + 1).min((1 << 31) - 1)]
            })) {
                assert_eq!(by.divide(n), n / d, "{n} / {d}");
            }
        }
    }
}
