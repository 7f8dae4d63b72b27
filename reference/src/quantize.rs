//! Quantization of whole tensors.

use crate::block::{Decision, Tile16, decide_row, decide_tile};
use crate::candidate::{Row16, encode_row};
use crate::config::{Config, Rounding};
use crate::e2m1::E2m1;
use crate::e4m3::E4m3;
use crate::error::Error;
use crate::rule::{E4m3Max, Rule, Scaling};
use crate::scale::{GlobalScale, amax};
use crate::stochastic::{Direction, encode_row_stochastic};
use crate::transform::transform;

/// One quantization of a `[rows, cols]` tensor, scales linear.
///
/// Of a columnwise quantization, `rows` and `cols` are those of the transpose.
#[derive(Clone, Debug, PartialEq)]
pub struct Quantized {
    /// E2M1 codes, `[rows, cols/2]`, the even element in the low nibble.
    pub codes: Vec<u8>,
    /// E4M3 block scales, `[rows, cols/16]`. The scale of a 16x16 block repeats on its 16 rows.
    pub scales: Vec<u8>,
    /// `[1]`, or `[rows]` when row-scaled: found in the input, or as supplied.
    pub global_amax: Vec<f32>,
    /// Rows.
    pub rows: usize,
    /// Columns.
    pub cols: usize,
    /// Which elements share a scale.
    pub scaling: Scaling,
    /// The bound A that the global scale was made with.
    pub e4m3_max: E4m3Max,
}

impl Quantized {
    /// The code of an element.
    ///
    /// # Panics
    /// If `row` or `col` lies outside.
    #[must_use]
    pub fn code(&self, row: usize, col: usize) -> E2m1 {
        assert!(row < self.rows && col < self.cols, "element outside the tensor");
        let byte = self.codes[(row * self.cols + col) / 2];
        E2m1::from_bits(if col.is_multiple_of(2) { byte & 0xF } else { byte >> 4 })
    }

    /// The block scale of an element.
    ///
    /// # Panics
    /// If `row` or `col` lies outside.
    #[must_use]
    pub fn scale(&self, row: usize, col: usize) -> E4m3 {
        assert!(row < self.rows && col < self.cols, "element outside the tensor");
        E4m3::from_bits(self.scales[row * (self.cols / 16) + col / 16])
    }

    /// The amax that a row was quantized with.
    #[must_use]
    pub fn row_amax(&self, row: usize) -> f32 {
        match self.scaling {
            Scaling::Row => self.global_amax[row],
            Scaling::Tensor | Scaling::Tile => self.global_amax[0],
        }
    }
}

/// Quantizes `x`, a row-major `[rows, cols]` tensor, along its rows.
///
/// `amax`, when given, is used as it is in place of the largest magnitudes: one value, or `rows`
/// values when row-scaled.
///
/// NaN elements are ignored by every maximum and become code 7; ∞ follows the arithmetic. An empty
/// tensor gives empty codes and scales; its amax is 0.
///
/// # Errors
/// [`Error::Dimension`] when `cols`, or for [`Scaling::Tile`] also `rows`, is not a multiple of 16;
/// [`Error::Length`] when a slice's length does not match; [`Error::Amax`] when a supplied amax is
/// negative or NaN.
pub fn quantize(
    x: &[f32],
    rows: usize,
    cols: usize,
    rule: Rule,
    scaling: Scaling,
    amax: Option<&[f32]>,
) -> Result<Quantized, Error> {
    quantize_with(x, rows, cols, &Config::new(rule, scaling), amax)
}

/// Quantizes `x`, a row-major `[rows, cols]` tensor, along its rows, with all that a [`Config`] can
/// ask for: its rowwise transform first, and its rounding last.
///
/// `amax` is that of the transformed values (step T2). Otherwise as [`quantize`].
///
/// # Errors
/// As [`quantize`], and [`Error::Transform`].
pub fn quantize_with(
    x: &[f32],
    rows: usize,
    cols: usize,
    config: &Config,
    amax: Option<&[f32]>,
) -> Result<Quantized, Error> {
    quantize_output(x, rows, cols, config, Direction::Rowwise, amax)
}

/// Quantizes a matrix along its rows as the output of one direction.
fn quantize_output(
    x: &[f32],
    rows: usize,
    cols: usize,
    config: &Config,
    direction: Direction,
    amax: Option<&[f32]>,
) -> Result<Quantized, Error> {
    config.check()?;
    check_multiple("columns", cols)?;
    check_length("the input", x.len(), rows * cols)?;
    let transformed = config.transforms.of(direction).map(|s| transform(x, s, config.element));
    let x = transformed.as_deref().unwrap_or(x);
    let input = Input::new(x, rows, cols, config.rule, config.scaling, amax)?;
    let mut quantized = Quantized {
        codes: Vec::with_capacity(rows * cols / 2),
        scales: Vec::with_capacity(rows * cols / 16),
        global_amax: input.globals.iter().map(|global| global.amax).collect(),
        rows,
        cols,
        scaling: config.scaling,
        e4m3_max: config.rule.e4m3_max(),
    };
    for row in 0..rows {
        for block in 0..cols / 16 {
            // A tile is decided in its first row; the others repeat what stands above them.
            let decided = config.scaling == Scaling::Tile && row % 16 != 0;
            let scale = if decided {
                quantized.scale(row - 1, block * 16)
            } else {
                input.decide(row, block).scale
            };
            quantized.scales.push(scale.to_bits());
            let codes = input.codes(row, block, scale, config.rounding, direction);
            for pair in codes.chunks_exact(2) {
                quantized.codes.push(pair[1].to_bits() << 4 | pair[0].to_bits());
            }
        }
    }
    Ok(quantized)
}

/// Step 10: quantizes the transpose of `x`, a row-major `[rows, cols]` tensor, along the transpose's
/// rows.
///
/// Every sum runs in the order of the transpose, so a 16x16 block can choose otherwise than it does
/// in [`quantize`]. `amax`, when given, is one value, or `cols` values when row-scaled.
///
/// # Errors
/// As [`quantize`], with both dimensions multiples of 16, and for rules other than the plain one
/// [`Error::RowScaledFourOverSixColumnwise`] or [`Error::RowScaledSearchColumnwise`].
pub fn quantize_columnwise(
    x: &[f32],
    rows: usize,
    cols: usize,
    rule: Rule,
    scaling: Scaling,
    amax: Option<&[f32]>,
) -> Result<Quantized, Error> {
    quantize_columnwise_with(x, rows, cols, &Config::new(rule, scaling), amax)
}

/// Quantizes the transpose of `x` along the transpose's rows, with all that a [`Config`] can ask for:
/// its columnwise transform first, and its rounding last.
///
/// # Errors
/// As [`quantize_columnwise`], and [`Error::Transform`].
pub fn quantize_columnwise_with(
    x: &[f32],
    rows: usize,
    cols: usize,
    config: &Config,
    amax: Option<&[f32]>,
) -> Result<Quantized, Error> {
    match (config.rule, config.scaling) {
        (Rule::FourOverSix { .. }, Scaling::Row) => {
            return Err(Error::RowScaledFourOverSixColumnwise);
        }
        (Rule::Search { .. }, Scaling::Row) => return Err(Error::RowScaledSearchColumnwise),
        _ => {}
    }
    check_multiple("rows", rows)?;
    check_multiple("columns", cols)?;
    check_length("the input", x.len(), rows * cols)?;
    let transposed = transpose(x, rows, cols);
    quantize_output(&transposed, cols, rows, config, Direction::Columnwise, amax)
}

/// The transpose of a row-major `[rows, cols]` tensor.
///
/// # Panics
/// If `x` does not hold `rows * cols` elements.
#[must_use]
pub fn transpose(x: &[f32], rows: usize, cols: usize) -> Vec<f32> {
    assert_eq!(x.len(), rows * cols, "elements and shape");
    (0..cols).flat_map(|col| (0..rows).map(move |row| x[row * cols + col])).collect()
}

/// How [`quantize`] decides the block of row `row` and columns `16 · block` to `16 · block + 15`
/// (a tile's other rows included), for reports and for tests of ties.
///
/// # Errors
/// As [`quantize`].
///
/// # Panics
/// If the block lies outside the tensor.
#[expect(clippy::too_many_arguments, reason = "those of quantize, and which block")]
pub fn explain(
    x: &[f32],
    rows: usize,
    cols: usize,
    rule: Rule,
    scaling: Scaling,
    amax: Option<&[f32]>,
    row: usize,
    block: usize,
) -> Result<Decision, Error> {
    let input = Input::new(x, rows, cols, rule, scaling, amax)?;
    assert!(row < rows && block < cols / 16, "block outside the tensor");
    Ok(input.decide(row, block))
}

/// A checked input and its global scales.
struct Input<'a> {
    x: &'a [f32],
    cols: usize,
    rule: Rule,
    scaling: Scaling,
    globals: Vec<GlobalScale>,
}

impl<'a> Input<'a> {
    fn new(
        x: &'a [f32],
        rows: usize,
        cols: usize,
        rule: Rule,
        scaling: Scaling,
        supplied: Option<&[f32]>,
    ) -> Result<Self, Error> {
        check_multiple("columns", cols)?;
        if scaling == Scaling::Tile {
            check_multiple("rows", rows)?;
        }
        check_length("the input", x.len(), rows * cols)?;
        let amax = match (supplied, scaling) {
            (Some(supplied), _) => supplied.to_vec(),
            (None, Scaling::Tensor | Scaling::Tile) => vec![amax(x)],
            (None, Scaling::Row) => {
                (0..rows).map(|row| amax(&x[row * cols..(row + 1) * cols])).collect()
            }
        };
        let expected = if scaling == Scaling::Row { rows } else { 1 };
        check_length("amax", amax.len(), expected)?;
        check_amax(&amax)?;
        let globals =
            amax.into_iter().map(|amax| GlobalScale::new(amax, rule.e4m3_max())).collect();
        Ok(Self { x, cols, rule, scaling, globals })
    }

    fn global(&self, row: usize) -> &GlobalScale {
        &self.globals[if self.scaling == Scaling::Row { row } else { 0 }]
    }

    fn block(&self, row: usize, block: usize) -> Row16 {
        let start = row * self.cols + block * 16;
        std::array::from_fn(|i| self.x[start + i])
    }

    /// Step 5, or T3 and T4 in its place.
    fn codes(
        &self,
        row: usize,
        block: usize,
        scale: E4m3,
        rounding: Rounding,
        direction: Direction,
    ) -> [E2m1; 16] {
        let (elements, global) = (self.block(row, block), self.global(row));
        match rounding {
            Rounding::Nearest => encode_row(&elements, scale, global),
            Rounding::Stochastic(state) => {
                let segment = row as u64 * (self.cols / 16) as u64 + block as u64;
                let bytes = state.bytes(direction, segment);
                encode_row_stochastic(&elements, scale, global, &bytes)
            }
        }
    }

    fn decide(&self, row: usize, block: usize) -> Decision {
        let global = self.global(row);
        match self.scaling {
            Scaling::Tensor | Scaling::Row => {
                decide_row(&self.block(row, block), self.rule, global)
            }
            Scaling::Tile => {
                let top = row / 16 * 16;
                let tile: Tile16 = std::array::from_fn(|i| self.block(top + i, block));
                decide_tile(&tile, self.rule, global)
            }
        }
    }
}

fn check_multiple(dimension: &'static str, length: usize) -> Result<(), Error> {
    if length.is_multiple_of(16) {
        Ok(())
    } else {
        Err(Error::Dimension { dimension, length, multiple: 16 })
    }
}

fn check_amax(amax: &[f32]) -> Result<(), Error> {
    // −0 is 0.
    match amax.iter().position(|&amax| amax.is_nan() || amax < 0.0) {
        None => Ok(()),
        Some(index) => Err(Error::Amax { index, bits: amax[index].to_bits() }),
    }
}

fn check_length(slice: &'static str, actual: usize, expected: usize) -> Result<(), Error> {
    if actual == expected { Ok(()) } else { Err(Error::Length { slice, actual, expected }) }
}
