//! The oracle: scalar, bit-exact emulation of NVFP4 and Four Over Six quantization.
#![forbid(unsafe_code)]

/// How the two candidates of a block are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Metric {
    /// Sum of absolute differences.
    Mae,
    /// Sum of squared differences.
    Mse,
}

/// Where the two candidates of a block are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorPath {
    /// Input domain.
    Strict,
    /// Scaled domain.
    Fast,
}

/// The E4M3 bound A.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum E4m3Max {
    /// 448.
    M448,
    /// 256.
    M256,
}

/// How a block's scale is chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Rule {
    /// NVFP4 as it is.
    Plain,
    /// Adaptive.
    FourOverSix {
        /// Absolute or squared error.
        metric: Metric,
        /// Input or scaled domain.
        error_path: ErrorPath,
        /// The E4M3 bound.
        e4m3_max: E4m3Max,
    },
}

/// Which elements share a block scale, and which share a global amax.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scaling {
    /// 1x16 blocks, one amax.
    Tensor,
    /// 1x16 blocks, an amax for each row.
    Row,
    /// 16x16 blocks, one amax.
    Tile,
}

/// One quantization of a `[rows, cols]` tensor, scales linear.
#[derive(Clone, Debug, PartialEq)]
pub struct Quantized {
    /// E2M1 codes, `[rows, cols/2]`, the even element in the low nibble.
    pub codes: Vec<u8>,
    /// E4M3 block scales, `[rows, cols/16]`.
    pub scales: Vec<u8>,
    /// `[1]`, or `[rows]` when row-scaled.
    pub global_amax: Vec<f32>,
    /// Rows.
    pub rows: usize,
    /// Columns.
    pub cols: usize,
}
