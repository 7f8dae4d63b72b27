//! Quantized tensors.

use fouroversix_kernels::config::{E4m3Max, ScaleLayout};

/// An NVFP4 tensor in host memory.
#[derive(Clone, Debug, PartialEq)]
pub struct Nvfp4Tensor {
    /// E2M1 codes, `[rows, cols/2]` bytes row-major: element `2j` of a row in the low nibble of its
    /// byte `j`, element `2j + 1` in the high one. A code is `sign << 3 | index` into
    /// {0, 0.5, 1, 1.5, 2, 3, 4, 6}.
    pub codes: Vec<u8>,
    /// E4M3 block scales, one for 16 elements of a row, [`ScaleLayout::bytes`] bytes.
    pub scales: Vec<u8>,
    /// Largest magnitude of the input, NaN ignored: one, or one for each row when row-scaled.
    pub global_amax: Vec<f32>,
    /// `[rows, cols]` in elements.
    pub shape: [usize; 2],
    /// How `scales` lie.
    pub scale_layout: ScaleLayout,
    /// The bound that the global scale `6·A / amax` was made with.
    pub e4m3_max: E4m3Max,
}

/// What a quantization produced: the parts that [`crate::Outputs`] asked for.
#[derive(Clone, Debug, PartialEq)]
pub struct Quantized {
    /// The input, quantized along its rows.
    pub rowwise: Option<Nvfp4Tensor>,
    /// Its transpose, quantized along the input's columns: shape `[cols, rows]`.
    pub columnwise: Option<Nvfp4Tensor>,
}
