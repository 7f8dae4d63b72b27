//! How the elements of stored matrices are encoded, and what they stand for.

use fouroversix_core::{Element, InputType};
use fouroversix_cpu::formats::{E2M1_SIGNED, E4M3};

use super::header::TensorEntry;

/// Elements that share an E8M0 scale.
const MX_BLOCK: usize = 32;

/// An encoding of elements.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Encoding {
    /// Floats, which a view takes as they are.
    Floats(InputType),
    /// E4M3 times a float of a grid: one for each `block` of rows and columns.
    Fp8 {
        /// The tensor that holds the factors, of all matrices.
        scales: String,
        block: [usize; 2],
    },
    /// E2M1, two in a byte, times a power of two for each 32 columns, its exponent E8M0.
    Mxfp4 {
        /// The tensor that holds the exponents.
        scales: String,
    },
}

impl Encoding {
    /// Bits that an element takes, scales aside.
    pub(crate) const fn bits(&self) -> u64 {
        match self {
            Self::Floats(input) => 8 * input.bytes() as u64,
            Self::Fp8 { .. } => 8,
            Self::Mxfp4 { .. } => 4,
        }
    }
}

/// Codes and scales of matrices, ready to be turned into floats.
pub(crate) enum Decoder<'a> {
    Fp8 {
        codes: &'a [u8],
        /// Row-major, one matrix after the other; or one for all.
        scales: Vec<f32>,
        block: [usize; 2],
        /// Rows and columns of a matrix, and of its grid of scales.
        shape: [usize; 2],
        grid: [usize; 2],
    },
    Mxfp4 {
        codes: &'a [u8],
        scales: &'a [u8],
    },
}

impl Decoder<'_> {
    /// The elements from number `at` on, counted over all matrices, of one row: the code's value times
    /// its scale in FP32, rounded once, then to `T`.
    pub(crate) fn decode<T: Element>(&self, at: usize, out: &mut [T]) {
        match self {
            Self::Fp8 { codes, scales, block, shape: [rows, cols], grid } => {
                let (line, column) = (at / cols, at % cols);
                let (matrix, row) = (line / rows, line % rows);
                let first = (matrix * grid[0] + row / block[0]) * grid[1];
                let mut done = 0;
                while done < out.len() {
                    let place = (column + done) / block[1];
                    let end = out.len().min((place + 1) * block[1] - column);
                    let scale = scales[if scales.len() == 1 { 0 } else { first + place }];
                    for (out, &code) in out[done..end].iter_mut().zip(&codes[at + done..]) {
                        *out = T::from_f32(E4M3[usize::from(code)] * scale);
                    }
                    done = end;
                }
            }
            Self::Mxfp4 { codes, scales } => {
                for (at, out) in (at..).zip(out) {
                    let code = codes[at / 2] >> (at % 2 * 4) & 15;
                    let scale = power_of_two(scales[at / MX_BLOCK]);
                    *out = T::from_f32(E2M1_SIGNED[usize::from(code)] * scale);
                }
            }
        }
    }
}

/// What an E8M0 byte stands for: 2^(byte − 127), and NaN for 255.
pub(crate) fn power_of_two(byte: u8) -> f32 {
    match byte {
        // A subnormal number.
        0 => f32::from_bits(1 << 22),
        255 => f32::NAN,
        _ => f32::from_bits(u32::from(byte) << 23),
    }
}

/// The numbers of a tensor of floats or of E8M0 exponents, in FP32, which holds them all.
pub(crate) fn factors(bytes: &[u8], entry: &TensorEntry) -> Vec<f32> {
    let pairs = || bytes.chunks_exact(2).map(|pair| u16::from_le_bytes([pair[0], pair[1]]));
    match entry.dtype.input_type() {
        Some(InputType::Bf16) => pairs().map(|bits| half::bf16::from_bits(bits).to_f32()).collect(),
        Some(InputType::F16) => pairs().map(|bits| half::f16::from_bits(bits).to_f32()).collect(),
        Some(InputType::F32) => {
            let words = bytes.chunks_exact(4);
            words.map(|word| f32::from_le_bytes([word[0], word[1], word[2], word[3]])).collect()
        }
        None => bytes.iter().map(|&byte| power_of_two(byte)).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn e8m0_is_a_power_of_two() {
        assert_eq!(power_of_two(127), 1.0);
        assert_eq!(power_of_two(0), 2.0_f32.powi(-127));
        assert_eq!(power_of_two(1), 2.0_f32.powi(-126));
        assert_eq!(power_of_two(254), 2.0_f32.powi(127));
        assert!(power_of_two(255).is_nan());
    }

    #[test]
    fn fp8_takes_the_scale_of_its_block_and_ragged_edges_have_their_own() {
        // Blocks of 2x3 over 3x5: a grid of 2x2.
        let codes = [0x38_u8; 30];
        let scales = vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0];
        let decoder =
            Decoder::Fp8 { codes: &codes, scales, block: [2, 3], shape: [3, 5], grid: [2, 2] };
        let row = |at: usize, count: usize| {
            let mut out = vec![0.0_f32; count];
            decoder.decode(at, &mut out);
            out
        };
        assert_eq!(row(0, 5), [1.0, 1.0, 1.0, 2.0, 2.0]);
        assert_eq!(row(10, 5), [3.0, 3.0, 3.0, 4.0, 4.0]);
        // The second matrix, from its second column on.
        assert_eq!(row(16, 4), [5.0, 5.0, 6.0, 6.0]);
        assert_eq!(row(27, 2), [7.0, 8.0]);
    }

    #[test]
    fn mxfp4_reads_the_low_nibble_first() {
        let mut codes = [0_u8; 32];
        codes[0] = 0xA1;
        codes[16] = 0x7F;
        let decoder = Decoder::Mxfp4 { codes: &codes, scales: &[128, 126] };
        let mut out = [0.0_f32; 3];
        decoder.decode(0, &mut out);
        assert_eq!(out, [1.0, -2.0, 0.0]);
        decoder.decode(32, &mut out[..2]);
        assert_eq!(out[..2], [-3.0, 3.0]);
    }
}
