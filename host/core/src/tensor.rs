//! Quantized tensors.

use std::fmt;

use crate::config::{Config, E4m3Max, ScaleLayout, Scaling};
use crate::debug::Few;
use crate::shape::{ShapeError, check_dimension, expect_length};

/// An NVFP4 tensor in host memory, owned.
#[derive(Clone, PartialEq)]
pub struct Nvfp4Tensor {
    codes: Vec<u8>,
    scales: Vec<u8>,
    global_amax: Vec<f32>,
    shape: [usize; 2],
    scale_layout: ScaleLayout,
    e4m3_max: E4m3Max,
}

impl Nvfp4Tensor {
    /// Puts a tensor together from its parts, for example as read from a file.
    ///
    /// - `codes`: E2M1 codes, `[rows, cols/2]` bytes row-major: element `2j` of a row in the low
    ///   nibble of its byte `j`, element `2j + 1` in the high one. A code is `sign << 3 | index`
    ///   into {0, 0.5, 1, 1.5, 2, 3, 4, 6}.
    /// - `scales`: E4M3 block scales, one for 16 elements of a row, [`ScaleLayout::bytes`] bytes.
    /// - `global_amax`: largest magnitude of the input, NaN ignored: one, or one for each row when
    ///   row-scaled.
    /// - `shape`: `[rows, cols]` in elements.
    ///
    /// # Errors
    /// [`ShapeError::Dimension`] when `cols` is not a multiple of 16, [`ShapeError::Length`] when a buffer
    /// does not have the length that the shape asks for.
    pub fn from_parts(
        codes: Vec<u8>,
        scales: Vec<u8>,
        global_amax: Vec<f32>,
        shape: [usize; 2],
        scale_layout: ScaleLayout,
        e4m3_max: E4m3Max,
    ) -> Result<Self, ShapeError> {
        let tensor = Self { codes, scales, global_amax, shape, scale_layout, e4m3_max };
        tensor.view().check()?;
        Ok(tensor)
    }

    /// A tensor of zeros with room for `shape`, which has been checked.
    fn zeroed(
        shape: [usize; 2],
        amax_count: usize,
        scale_layout: ScaleLayout,
        e4m3_max: E4m3Max,
    ) -> Self {
        let [rows, cols] = shape;
        Self {
            codes: vec![0; rows * cols / 2],
            scales: vec![0; scale_layout.bytes(rows, cols)],
            global_amax: vec![0.0; amax_count],
            shape,
            scale_layout,
            e4m3_max,
        }
    }

    /// The buffers, to write to.
    #[must_use]
    pub fn parts_mut(&mut self) -> Nvfp4Mut<'_> {
        Nvfp4Mut {
            codes: &mut self.codes,
            scales: &mut self.scales,
            global_amax: &mut self.global_amax,
        }
    }

    /// E2M1 codes, `[rows, cols/2]` bytes; see [`Nvfp4Tensor::from_parts`].
    #[must_use]
    pub fn codes(&self) -> &[u8] {
        &self.codes
    }

    /// E4M3 block scales, [`ScaleLayout::bytes`] bytes.
    #[must_use]
    pub fn scales(&self) -> &[u8] {
        &self.scales
    }

    /// The global amax: one, or one for each row.
    #[must_use]
    pub fn global_amax(&self) -> &[f32] {
        &self.global_amax
    }

    /// `[rows, cols]` in elements.
    #[must_use]
    pub const fn shape(&self) -> [usize; 2] {
        self.shape
    }

    /// How the scales lie.
    #[must_use]
    pub const fn scale_layout(&self) -> ScaleLayout {
        self.scale_layout
    }

    /// The bound that the global scale `6·A / amax` was made with.
    #[must_use]
    pub const fn e4m3_max(&self) -> E4m3Max {
        self.e4m3_max
    }

    /// The tensor borrowed.
    #[must_use]
    pub fn view(&self) -> Nvfp4View<'_> {
        Nvfp4View {
            codes: &self.codes,
            scales: &self.scales,
            global_amax: &self.global_amax,
            shape: self.shape,
            scale_layout: self.scale_layout,
            e4m3_max: self.e4m3_max,
        }
    }

    /// Gives up the codes, scales and global amax, in this order.
    #[must_use]
    pub fn into_parts(self) -> (Vec<u8>, Vec<u8>, Vec<f32>) {
        (self.codes, self.scales, self.global_amax)
    }
}

impl fmt::Debug for Nvfp4Tensor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.view().describe("Nvfp4Tensor", f)
    }
}

/// An NVFP4 tensor, or some rows of one, in somebody else's buffers.
///
/// The fields are those of [`Nvfp4Tensor::from_parts`]. Functions that take a view check it, so
/// one may be written down field by field.
#[derive(Clone, Copy, PartialEq)]
pub struct Nvfp4View<'a> {
    /// E2M1 codes, `[rows, cols/2]` bytes.
    pub codes: &'a [u8],
    /// E4M3 block scales, [`ScaleLayout::bytes`] bytes.
    pub scales: &'a [u8],
    /// One, or one for each row.
    pub global_amax: &'a [f32],
    /// `[rows, cols]` in elements.
    pub shape: [usize; 2],
    /// How `scales` lie.
    pub scale_layout: ScaleLayout,
    /// The bound that the global scale was made with.
    pub e4m3_max: E4m3Max,
}

impl fmt::Debug for Nvfp4View<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.describe("Nvfp4View", f)
    }
}

impl Nvfp4View<'_> {
    fn describe(&self, name: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [rows, cols] = self.shape;
        f.debug_struct(name)
            .field("shape", &format_args!("[{rows}, {cols}]"))
            .field("codes", &Few(self.codes))
            .field("scales", &Few(self.scales))
            .field("scale_layout", &self.scale_layout)
            .field("global_amax", &Few(self.global_amax))
            .field("e4m3_max", &self.e4m3_max)
            .finish()
    }

    /// Checks the lengths of the buffers against the shape.
    ///
    /// # Errors
    /// As [`Nvfp4Tensor::from_parts`].
    pub fn check(&self) -> Result<(), ShapeError> {
        let [rows, cols] = self.shape;
        check_dimension("columns", cols)?;
        expect_length("the code buffer", self.codes.len(), rows.saturating_mul(cols / 2))?;
        expect_length("the scale buffer", self.scales.len(), self.scale_layout.bytes(rows, cols))?;
        if self.global_amax.len() != 1 {
            expect_length("the global amax buffer", self.global_amax.len(), rows)?;
        }
        Ok(())
    }
}

/// Where one quantization of a `[rows, cols]` input goes, in the caller's buffers. Every byte of
/// them is written, the padding of a swizzled scale buffer with zeros.
pub struct Nvfp4Mut<'a> {
    /// `rows·cols/2` bytes.
    pub codes: &'a mut [u8],
    /// [`ScaleLayout::bytes`] bytes.
    pub scales: &'a mut [u8],
    /// One, or with row scaling one for each row.
    pub global_amax: &'a mut [f32],
}

impl fmt::Debug for Nvfp4Mut<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Nvfp4Mut")
            .field("codes", &Few(self.codes))
            .field("scales", &Few(self.scales))
            .field("global_amax", &Few(self.global_amax))
            .finish()
    }
}

/// Where a quantization goes: the parts that [`crate::Outputs`] asks for.
#[derive(Debug, Default)]
pub struct QuantizedMut<'a> {
    /// For the quantization of the input.
    pub rowwise: Option<Nvfp4Mut<'a>>,
    /// For that of its transpose: shape `[cols, rows]`.
    pub columnwise: Option<Nvfp4Mut<'a>>,
}

/// What a quantization produced: the parts that [`crate::Outputs`] asked for.
#[derive(Clone, Debug, PartialEq)]
pub struct Quantized {
    /// The input, quantized along its rows.
    pub rowwise: Option<Nvfp4Tensor>,
    /// Its transpose, quantized along the input's columns: shape `[cols, rows]`.
    pub columnwise: Option<Nvfp4Tensor>,
}

impl Quantized {
    /// The configured outputs for an input of `shape`, which has been checked, full of zeros.
    #[must_use]
    pub fn zeroed([rows, cols]: [usize; 2], config: &Config) -> Self {
        let zeroed = |[rows, cols]: [usize; 2]| {
            let amax_count = if config.scaling() == Scaling::Row { rows } else { 1 };
            let bound = config.rule().e4m3_max();
            Nvfp4Tensor::zeroed([rows, cols], amax_count, config.scale_layout(), bound)
        };
        let outputs = config.outputs();
        Self {
            rowwise: outputs.rowwise().then(|| zeroed([rows, cols])),
            columnwise: outputs.columnwise().then(|| zeroed([cols, rows])),
        }
    }

    /// The output, where there is one only.
    #[must_use]
    pub fn into_one(self) -> Option<Nvfp4Tensor> {
        match (self.rowwise, self.columnwise) {
            (Some(one), None) | (None, Some(one)) => Some(one),
            _ => None,
        }
    }

    /// The rowwise output and the columnwise one, where there are both.
    #[must_use]
    pub fn into_both(self) -> Option<[Nvfp4Tensor; 2]> {
        Some([self.rowwise?, self.columnwise?])
    }

    /// The buffers, to write to.
    #[must_use]
    pub fn parts_mut(&mut self) -> QuantizedMut<'_> {
        QuantizedMut {
            rowwise: self.rowwise.as_mut().map(Nvfp4Tensor::parts_mut),
            columnwise: self.columnwise.as_mut().map(Nvfp4Tensor::parts_mut),
        }
    }
}

/// How often a quantization chose map4, the candidate that maps the block maximum to 4.
///
/// A block is a 1x16 block or, with [`crate::Scaling::Tile`], a 16x16 tile: what makes one choice.
/// With [`crate::Outputs::Both`] the two quantizations are added up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Choices {
    /// Blocks that took map4; none under the plain rule and under scale search.
    pub map4: u64,
    /// All blocks.
    pub blocks: u64,
}

impl Choices {
    /// `map4 / blocks`, 0 when there are no blocks.
    #[must_use]
    pub fn map4_share(self) -> f64 {
        if self.blocks == 0 { 0.0 } else { self.map4 as f64 / self.blocks as f64 }
    }
}

impl std::ops::Add for Choices {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self { map4: self.map4 + other.map4, blocks: self.blocks + other.blocks }
    }
}

impl std::iter::Sum for Choices {
    fn sum<I: Iterator<Item = Self>>(parts: I) -> Self {
        parts.fold(Self::default(), |sum, part| sum + part)
    }
}
