//! How a quantized tensor lies in a checkpoint: names, types and the meaning of its global scale.

use std::fmt;

use fouroversix_core::debug::Few;
use fouroversix_core::{E4m3Max, Element, named, serde_by_name};
use fouroversix_cpu::formats::{E2M1_SIGNED, E4M3};

pub use fouroversix_core::Values;

/// A checkpoint format that serving stacks load.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Format {
    /// compressed-tensors' `nvfp4-pack-quantized`: the global scale divides. The default.
    #[default]
    CompressedTensors,
    /// Model Optimizer's `NVFP4`: the global scale multiplies.
    ModelOpt,
}

named!(Format, "checkpoint format", [CompressedTensors, ModelOpt]);
serde_by_name!(Format);

impl Format {
    /// `compressed-tensors` or `modelopt`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::CompressedTensors => "compressed-tensors",
            Self::ModelOpt => "modelopt",
        }
    }

    /// Names of the tensors that replace `tensor` (`"<module>.weight"`).
    #[must_use]
    pub fn part_names(self, tensor: &str) -> PartNames {
        let scales = format!("{tensor}_scale");
        match self {
            Self::CompressedTensors => PartNames {
                codes: format!("{tensor}_packed"),
                scales,
                global: format!("{tensor}_global_scale"),
            },
            Self::ModelOpt => {
                PartNames { codes: tensor.to_owned(), scales, global: format!("{tensor}_scale_2") }
            }
        }
    }

    /// Shape of the global scale: one number, or one for each of `rows` rows when row-scaled.
    #[must_use]
    pub fn global_shape(self, count: usize) -> Vec<usize> {
        match (self, count) {
            (Self::ModelOpt, 1) => Vec::new(),
            _ => vec![count],
        }
    }

    /// The stored global scale of a tensor or row of magnitude `amax`.
    ///
    /// For [`Format::CompressedTensors`] that is the divisor `S_enc = 6·A / amax`, rounded once and
    /// clamped to the largest finite f32. For [`Format::ModelOpt`] it is the multiplier
    /// `amax / (6·A)`, rounded once. Where `S_enc` is not that quotient's inverse (amax zero or
    /// infinite: 1; quotient above the largest f32: that), the multiplier is `1 / S_enc`.
    #[must_use]
    pub fn global_scale(self, amax: f32, e4m3_max: E4m3Max) -> f32 {
        let full = 6.0 * e4m3_max.value();
        let encode = encode_scale(amax, e4m3_max);
        match self {
            Self::CompressedTensors => encode,
            Self::ModelOpt if encode == full / amax => amax / full,
            Self::ModelOpt => encode.recip(),
        }
    }

    /// A stored global scale with its meaning.
    #[must_use]
    pub const fn global(self, values: Vec<f32>) -> StoredGlobal {
        match self {
            Self::CompressedTensors => StoredGlobal::Divisor(values),
            Self::ModelOpt => StoredGlobal::Multiplier(values),
        }
    }
}

/// `S_enc` of the numeric contract: `min(6·A / amax, FMAX)`, and 1 where amax is 0 or infinite.
#[must_use]
pub fn encode_scale(amax: f32, e4m3_max: E4m3Max) -> f32 {
    let scale = (6.0 * e4m3_max.value() / amax).min(f32::MAX);
    if amax == 0.0 || scale == 0.0 { 1.0 } else { scale }
}

/// Names of a quantized tensor's parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartNames {
    /// The codes, U8 `[rows, cols/2]`.
    pub codes: String,
    /// The block scales, F8_E4M3 `[rows, cols/16]`.
    pub scales: String,
    /// The global scale, F32.
    pub global: String,
}

/// The global scale as stored: one number, or one for each row.
#[derive(Clone, PartialEq)]
pub enum StoredGlobal {
    /// A weight is `q · (s / g)`.
    Divisor(Vec<f32>),
    /// A weight is `q · (s · g)`.
    Multiplier(Vec<f32>),
}

impl StoredGlobal {
    /// The numbers.
    #[must_use]
    pub fn values(&self) -> &[f32] {
        match self {
            Self::Divisor(values) | Self::Multiplier(values) => values,
        }
    }

    /// Whether kind and bits are the same, NaN included.
    pub(crate) fn same_bits(&self, other: &Self) -> bool {
        let bits = |global: &Self| global.values().iter().map(|v| v.to_bits()).collect::<Vec<_>>();
        std::mem::discriminant(self) == std::mem::discriminant(other) && bits(self) == bits(other)
    }

    /// What the block scale byte `scale` multiplies codes with, rounded once; `index` counts the
    /// global scales where there are several.
    #[inline]
    #[must_use]
    pub fn block_scale(&self, index: usize, scale: u8) -> f32 {
        let scale = E4M3[usize::from(scale)];
        let pick = |values: &[f32]| if values.len() == 1 { values[0] } else { values[index] };
        match self {
            Self::Divisor(values) => scale / pick(values),
            Self::Multiplier(values) => scale * pick(values),
        }
    }
}

/// A quantized tensor of a checkpoint, borrowed from its file.
#[derive(Clone)]
pub struct StoredTensor<'a> {
    /// `[rows, cols]` in elements; the rows of all matrices of a stack.
    pub shape: [usize; 2],
    /// How many matrices lie one after the other and the rows of each, where the tensor has three
    /// dimensions.
    pub stack: Option<[usize; 2]>,
    /// E2M1 codes, `[rows, cols/2]`, the even element in the low nibble.
    pub codes: &'a [u8],
    /// E4M3 block scales, `[rows, cols/16]`.
    pub scales: &'a [u8],
    /// The global scale.
    pub global: StoredGlobal,
}

impl fmt::Debug for StoredGlobal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self {
            Self::Divisor(_) => "Divisor",
            Self::Multiplier(_) => "Multiplier",
        };
        f.debug_tuple(name).field(&Few(self.values())).finish()
    }
}

impl fmt::Debug for StoredTensor<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoredTensor")
            .field("shape", &self.shape)
            .field("stack", &self.stack)
            .field("codes", &Few(self.codes))
            .field("scales", &Few(self.scales))
            .field("global", &self.global)
            .finish()
    }
}

impl StoredTensor<'_> {
    /// The dimensions of the tensor before quantization: two, or three of a stack.
    #[must_use]
    pub fn dimensions(&self) -> Vec<usize> {
        let [rows, cols] = self.shape;
        match self.stack {
            Some([matrices, rows_each]) => vec![matrices, rows_each, cols],
            None => vec![rows, cols],
        }
    }

    /// Which of several global scales holds for a row.
    fn global_of(&self, row: usize) -> usize {
        self.stack.map_or(row, |[_, rows_each]| row / rows_each)
    }

    /// `[row, column]` of the first weight that is finite as stored and infinite in `T`, or
    /// infinite in FP32 already.
    pub(crate) fn first_overflow<T: Element>(&self) -> Option<[usize; 2]> {
        let blocks = self.shape[1] / 16;
        self.scales.iter().enumerate().find_map(|(index, &byte)| {
            let scale = self.global.block_scale(self.global_of(index / blocks), byte);
            if T::from_f32(6.0 * scale).to_f32().is_finite() {
                return None;
            }
            let codes = &self.codes[index * 8..index * 8 + 8];
            let nibbles = codes.iter().flat_map(|byte| [byte & 15, byte >> 4]);
            let weights = nibbles.map(|code| T::from_f32(E2M1_SIGNED[usize::from(code)] * scale));
            let at = weights.map(T::to_f32).position(|weight| !weight.is_finite())?;
            Some([index / blocks, index % blocks * 16 + at])
        })
    }

    /// The weights of rows `first..first + out.len()/cols`, as loaders of the format compute them:
    /// `T(fl(q · fl(s / g)))`, or `T(fl(q · fl(s · g)))` where the global scale multiplies. The
    /// conversion to `T` rounds to nearest even; −0 keeps its sign; a NaN scale gives NaN.
    ///
    /// # Panics
    /// If `out` is not whole rows, or the rows are not in the tensor.
    pub fn dequantize_rows<T: Element>(&self, first: usize, out: &mut [T]) {
        let cols = self.shape[1];
        if cols == 0 {
            assert!(out.is_empty(), "rows of no columns hold no elements");
            return;
        }
        assert_eq!(out.len() % cols, 0, "the output must be whole rows");
        for (i, row_out) in out.chunks_exact_mut(cols).enumerate() {
            let row = first + i;
            let global = self.global_of(row);
            let codes = &self.codes[row * cols / 2..(row + 1) * cols / 2];
            let scales = &self.scales[row * cols / 16..(row + 1) * cols / 16];
            let blocks = row_out.chunks_exact_mut(16).zip(codes.chunks_exact(8)).zip(scales);
            for ((block, codes), &scale) in blocks {
                let scale = self.global.block_scale(global, scale);
                for (pair, &code) in block.chunks_exact_mut(2).zip(codes) {
                    pair[0] = T::from_f32(E2M1_SIGNED[usize::from(code & 15)] * scale);
                    pair[1] = T::from_f32(E2M1_SIGNED[usize::from(code >> 4)] * scale);
                }
            }
        }
    }

    /// As [`StoredTensor::dequantize_rows`]: the weights of one row from column `col` on.
    pub(crate) fn dequantize_span<T: Element>(&self, row: usize, col: usize, out: &mut [T]) {
        let cols = self.shape[1];
        let global = self.global_of(row);
        let codes = &self.codes[row * cols / 2..(row + 1) * cols / 2];
        let scales = &self.scales[row * cols / 16..(row + 1) * cols / 16];
        let mut known = (usize::MAX, 0.0);
        for (at, out) in (col..).zip(out) {
            if known.0 != at / 16 {
                known = (at / 16, self.global.block_scale(global, scales[at / 16]));
            }
            let code = codes[at / 2] >> (at % 2 * 4) & 15;
            *out = T::from_f32(E2M1_SIGNED[usize::from(code)] * known.1);
        }
    }

    /// All weights, row-major: [`StoredTensor::dequantize_rows`] from row 0.
    #[must_use]
    pub fn dequantize<T: Element>(&self) -> Vec<T> {
        let mut out = vec![T::from_f32(0.0); self.shape[0] * self.shape[1]];
        self.dequantize_rows(0, &mut out);
        out
    }
}

#[cfg(test)]
mod tests {
    use half::bf16;

    use super::*;

    #[test]
    fn global_scales_of_ordinary_and_odd_amax() {
        let ct = Format::CompressedTensors;
        let modelopt = Format::ModelOpt;
        assert_eq!(ct.global_scale(1.5, E4m3Max::M256), 1024.0);
        assert_eq!(modelopt.global_scale(1.5, E4m3Max::M256), 1.5 / 1536.0);
        for amax in [0.0, f32::INFINITY] {
            assert_eq!(ct.global_scale(amax, E4m3Max::M448), 1.0);
            assert_eq!(modelopt.global_scale(amax, E4m3Max::M448), 1.0);
        }
        assert_eq!(ct.global_scale(1e-40, E4m3Max::M448), f32::MAX);
        assert_eq!(modelopt.global_scale(1e-40, E4m3Max::M448), f32::MAX.recip());
    }

    #[test]
    fn dequantizes_in_the_order_of_the_format() {
        // 1.5 · (3 / 7) and 1.5 · (3 · 0.1): the inner operation rounds first.
        let codes = [0x83; 8];
        let scales = [0x44];
        let stored = |global| StoredTensor {
            shape: [1, 16],
            stack: None,
            codes: &codes,
            scales: &scales,
            global,
        };
        let divided = stored(StoredGlobal::Divisor(vec![7.0])).dequantize::<f32>();
        assert_eq!(divided[0], 1.5 * (3.0_f32 / 7.0));
        assert_eq!(divided[1].to_bits(), (-0.0_f32).to_bits());
        let multiplied = stored(StoredGlobal::Multiplier(vec![0.1])).dequantize::<bf16>();
        assert_eq!(multiplied[0], bf16::from_f32(1.5 * (3.0_f32 * 0.1)));
    }
}
