//! The launch contract: which kernel a request needs, on which grid, and what may go wrong.
//!
//! Nothing here talks to a driver. A host turns a request into a [`Launch`] once, fills in the
//! parameter struct of [`crate::abi`] and launches it as often as it likes; the executor of the
//! conformance tests does the same on a CPU.

use std::fmt;

use crate::abi::{
    COLUMNS_BYTES, COLUMNS_COLS, Divisor, E4M3_MAX_256, QuantizeTensor, ROW_SCALED, STRICT,
    SWIZZLED, TILE_COLS, TILE_ROWS,
};
use crate::config::{Config, E4m3Max, ErrorPath, InputType, Metric, Rule, ScaleLayout, Scaling};

/// Threads of a block in the kernels that give each thread a block of 16 elements.
const THREADS: u32 = 128;
/// Threads of a block in the kernels of blocks that run down columns.
const COLUMNS_THREADS: u32 = 256;
/// Shared memory of those kernels: their tile.
const COLUMNS_SHARED: u32 = COLUMNS_COLS * COLUMNS_BYTES;
/// Threads of a block in the kernels of 16x16 blocks.
const TILE_THREADS: u32 = 128;
/// Shared memory of those kernels with columnwise outputs: the tile's codes and scales.
const TILE_SHARED: u32 = 4 * 544 + 16;
/// Threads of a block in the amax kernels.
const AMAX_THREADS: u32 = 256;
/// Shared memory of the kernels that reduce over a block.
const REDUCE_SHARED: u32 = 128;
/// Most blocks of 16 in one tensor: kernels count them in 31 bits.
const MAX_BLOCKS: u64 = 1 << 31;

/// A kernel and its grid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Launch {
    /// The kernel's name: that of its entry and of its PTX file.
    pub kernel: String,
    /// Blocks. A zero means there is nothing to do: don't launch.
    pub grid: [u32; 3],
    /// Threads of a block, one-dimensional.
    pub threads: u32,
    /// Bytes of dynamic shared memory.
    pub shared_bytes: u32,
}

/// A request that the kernels can't serve.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LaunchError {
    /// A dimension is not a multiple of what the block shape needs.
    Dimension {
        /// `"rows"` or `"columns"`.
        dimension: &'static str,
        /// Its length.
        length: usize,
        /// What it must be a multiple of.
        multiple: usize,
    },
    /// More elements than a kernel can index.
    TooLarge {
        /// Rows.
        rows: usize,
        /// Columns.
        cols: usize,
    },
    /// More tensors than a grid has layers.
    TooManyTensors {
        /// How many.
        tensors: usize,
    },
}

impl fmt::Display for LaunchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dimension { dimension, length, multiple } => write!(
                f,
                "the tensor has {length} {dimension}, which is not a multiple of {multiple}: pad it \
                 or leave it unquantized"
            ),
            Self::TooLarge { rows, cols } => write!(
                f,
                "a tensor of {rows} x {cols} is more than one launch can index: split it along its longer side"
            ),
            Self::TooManyTensors { tensors } => write!(
                f,
                "{tensors} tensors are more than the 65535 of one grouped launch: launch in parts"
            ),
        }
    }
}

impl std::error::Error for LaunchError {}

/// As in kernel names.
fn rule_name(rule: Rule) -> &'static str {
    match rule {
        Rule::Plain => "plain",
        Rule::FourOverSix { metric: Metric::Mae, .. } => "mae",
        Rule::FourOverSix { metric: Metric::Mse, .. } => "mse",
    }
}

/// The flags that a configuration passes to its kernel.
#[must_use]
pub fn flags(config: &Config) -> u32 {
    let mut flags = rule_flags(config.rule());
    if config.scaling() == Scaling::Row {
        flags |= ROW_SCALED;
    }
    if config.scale_layout() == ScaleLayout::Swizzled128x4 {
        flags |= SWIZZLED;
    }
    flags
}

/// The part of the flags that an amax kernel and a rule need.
#[must_use]
pub fn rule_flags(rule: Rule) -> u32 {
    let mut flags = 0;
    if let Rule::FourOverSix { error_path: ErrorPath::Strict, .. } = rule {
        flags |= STRICT;
    }
    if rule.e4m3_max() == E4m3Max::M256 {
        flags |= E4M3_MAX_256;
    }
    flags
}

/// Checks a shape against a configuration.
///
/// # Errors
/// [`LaunchError::Dimension`] where columns are not a multiple of 16, or rows where blocks span
/// them; [`LaunchError::TooLarge`] from 2³⁵ elements on, with few
/// rows or columns and outputs that span rows from 2³³ on.
pub fn check_shape(config: &Config, [rows, cols]: [usize; 2]) -> Result<(), LaunchError> {
    check_dimension("columns", cols)?;
    if config.outputs().columnwise() || config.scaling() == Scaling::Tile {
        check_dimension("rows", rows)?;
        // The 1x16 kernels among these find scales by 32-bit offsets, in the padded layout too. One rule
        // for all of them: it refuses nothing below 2³³ elements.
        let padded = |lines: usize, length: usize| {
            lines.next_multiple_of(128) as u64 * (length / 16).next_multiple_of(4) as u64
        };
        if padded(rows, cols).max(padded(cols, rows)) > u64::from(u32::MAX) {
            return Err(LaunchError::TooLarge { rows, cols });
        }
    }
    check_size(rows, cols)
}

fn check_dimension(dimension: &'static str, length: usize) -> Result<(), LaunchError> {
    if length.is_multiple_of(16) {
        Ok(())
    } else {
        Err(LaunchError::Dimension { dimension, length, multiple: 16 })
    }
}

fn check_size(rows: usize, cols: usize) -> Result<(), LaunchError> {
    let blocks = rows as u64 * (cols as u64 / 16);
    // 65535 layers of tiles is the grid's limit along rows.
    let rows_fit = rows as u64 <= 65535 * u64::from(TILE_ROWS);
    let small = u32::try_from(rows).is_ok() && u32::try_from(cols).is_ok();
    if small && rows_fit && blocks < MAX_BLOCKS {
        Ok(())
    } else {
        Err(LaunchError::TooLarge { rows, cols })
    }
}

/// The dimension part of a kernel's view of a tensor; the caller fills in the addresses.
///
/// The shape has passed [`check_shape`].
#[must_use]
pub fn tensor([rows, cols]: [usize; 2]) -> QuantizeTensor {
    let blocks = (cols / 16) as u32;
    QuantizeTensor {
        rows: rows as u32,
        cols: cols as u32,
        blocks: rows as u32 * blocks,
        by_blocks: Divisor::new(blocks.max(1)),
        ..QuantizeTensor::default()
    }
}

/// Quantizes one tensor with global scales that are on the device. Takes
/// [`crate::abi::QuantizeParams`].
///
/// # Errors
/// Those of [`check_shape`].
pub fn quantize(
    config: &Config,
    input: InputType,
    shape: [usize; 2],
) -> Result<Launch, LaunchError> {
    check_shape(config, shape)?;
    Ok(quantize_checked(config, input, &[shape], ""))
}

/// Quantizes many tensors of one configuration and type in one launch. Takes
/// [`crate::abi::QuantizeParams`] with `group` set.
///
/// # Errors
/// Those of [`check_shape`] for any of the shapes, and [`LaunchError::TooManyTensors`].
pub fn quantize_grouped(
    config: &Config,
    input: InputType,
    shapes: &[[usize; 2]],
) -> Result<Launch, LaunchError> {
    if shapes.len() > 65535 {
        return Err(LaunchError::TooManyTensors { tensors: shapes.len() });
    }
    for shape in shapes {
        check_shape(config, *shape)?;
    }
    Ok(quantize_checked(config, input, shapes, "_grouped"))
}

fn quantize_checked(
    config: &Config,
    input: InputType,
    shapes: &[[usize; 2]],
    grouped: &str,
) -> Launch {
    use crate::config::Outputs;
    let element_bytes = input.bytes() as u32;
    let (input, rule) = (input.name(), rule_name(config.rule()));
    let outputs = match config.outputs() {
        Outputs::Rowwise => "rowwise",
        Outputs::Columnwise => "columnwise",
        Outputs::Both => "both",
    };
    let two_d = config.scaling() == Scaling::Tile;
    if !two_d && config.outputs() == Outputs::Rowwise {
        let blocks = shapes.iter().map(|[rows, cols]| (*rows * (*cols / 16)) as u32);
        let blocks = blocks.max().unwrap_or(0);
        return Launch {
            kernel: format!("quantize_1d_rowwise{grouped}_{input}_{rule}"),
            grid: [blocks.div_ceil(THREADS), 1, shapes.len() as u32],
            threads: THREADS,
            shared_bytes: 0,
        };
    }
    let [tile_rows, tile_cols] =
        if two_d { [TILE_ROWS, TILE_COLS] } else { [COLUMNS_BYTES / element_bytes, COLUMNS_COLS] };
    let tiles = |shape: &[usize; 2], i: usize, edge: u32| (shape[i] as u32).div_ceil(edge);
    let mut grid = [
        shapes.iter().map(|shape| tiles(shape, 1, tile_cols)).max().unwrap_or(0),
        shapes.iter().map(|shape| tiles(shape, 0, tile_rows)).max().unwrap_or(0),
        shapes.len() as u32,
    ];
    if grid.contains(&0) {
        grid = [0; 3];
    }
    Launch {
        kernel: format!(
            "quantize_{}_{outputs}{grouped}_{input}_{rule}",
            if two_d { "2d" } else { "1d" }
        ),
        grid,
        threads: if two_d { TILE_THREADS } else { COLUMNS_THREADS },
        shared_bytes: match (config.outputs().columnwise(), two_d) {
            (false, _) => 0,
            (true, true) => TILE_SHARED,
            (true, false) => COLUMNS_SHARED,
        },
    }
}

/// Row scaling in one pass: finds each row's amax, writes its [`crate::abi::GlobalScale`] to
/// `global` and quantizes the row. Takes [`crate::abi::QuantizeParams`].
///
/// # Errors
/// Those of [`check_shape`].
pub fn quantize_rows(
    config: &Config,
    input: InputType,
    shape: [usize; 2],
) -> Result<Launch, LaunchError> {
    check_shape(config, shape)?;
    let [rows, cols] = shape;
    Ok(Launch {
        kernel: format!("quantize_rows_{}_{}", input.name(), rule_name(config.rule())),
        grid: [if cols == 0 { 0 } else { rows as u32 }, 1, 1],
        // Measured on H100: many small blocks overlap better than few large ones.
        threads: row_threads(cols, 128),
        shared_bytes: REDUCE_SHARED,
    })
}

/// Whole warps, a thread for each block of a row while that is at most `most`.
fn row_threads(cols: usize, most: u32) -> u32 {
    ((cols / 16) as u32).next_multiple_of(32).clamp(32, most)
}

/// The tensor's amax and its global scale. Takes [`crate::abi::AmaxParams`] with `rows · cols`
/// elements, a multiple of 16. `multiprocessors` is the device's.
#[must_use]
pub fn amax(input: InputType, elements: u64, multiprocessors: u32) -> Launch {
    Launch {
        kernel: format!("amax_{}", input.name()),
        grid: [amax_blocks(elements, amax_resident(multiprocessors)), 1, 1],
        threads: AMAX_THREADS,
        shared_bytes: REDUCE_SHARED,
    }
}

/// The amaxes and global scales of many tensors in one launch. Takes [`crate::abi::AmaxParams`]
/// with a table of them as its input, one for each of `elements`, which are multiples of 16.
///
/// # Errors
/// [`LaunchError::TooManyTensors`].
pub fn amax_grouped(
    input: InputType,
    elements: &[u64],
    multiprocessors: u32,
) -> Result<Launch, LaunchError> {
    let tensors = elements.len();
    if tensors > 65535 {
        return Err(LaunchError::TooManyTensors { tensors });
    }
    let most = amax_resident(multiprocessors).div_ceil(tensors.max(1) as u32);
    let largest = elements.iter().copied().max().unwrap_or(0);
    Ok(Launch {
        kernel: format!("amax_grouped_{}", input.name()),
        grid: [amax_blocks(largest, most), 1, tensors as u32],
        threads: AMAX_THREADS,
        shared_bytes: REDUCE_SHARED,
    })
}

/// Blocks of threads that a device holds at a time.
fn amax_resident(multiprocessors: u32) -> u32 {
    multiprocessors.max(1) * 8
}

/// A thread for each block of elements, while that is at most `most` blocks of threads. An empty
/// tensor has an amax too: 0.
fn amax_blocks(elements: u64, most: u32) -> u32 {
    (elements / 16).div_ceil(u64::from(AMAX_THREADS)).clamp(1, u64::from(most)) as u32
}

/// Every row's amax and global scale. Takes [`crate::abi::AmaxParams`].
///
/// # Errors
/// [`LaunchError`] where columns are not a multiple of 16 or the tensor is too large.
pub fn amax_rows(input: InputType, [rows, cols]: [usize; 2]) -> Result<Launch, LaunchError> {
    check_dimension("columns", cols)?;
    check_size(rows, cols)?;
    Ok(Launch {
        kernel: format!("amax_rows_{}", input.name()),
        grid: [rows as u32, 1, 1],
        threads: row_threads(cols, 512),
        shared_bytes: REDUCE_SHARED,
    })
}

/// Every column's amax and global scale. Takes [`crate::abi::AmaxParams`].
///
/// # Errors
/// [`LaunchError`] where columns are not a multiple of 16 or the tensor is too large.
pub fn amax_columns(input: InputType, [rows, cols]: [usize; 2]) -> Result<Launch, LaunchError> {
    check_dimension("columns", cols)?;
    check_size(rows, cols)?;
    Ok(Launch {
        kernel: format!("amax_columns_{}", input.name()),
        grid: [(cols as u32).div_ceil(32), 1, 1],
        threads: 32,
        shared_bytes: 0,
    })
}

/// The global scales of amaxes that the caller supplies. Takes [`crate::abi::AmaxParams`].
#[must_use]
pub fn global_scales(count: usize) -> Launch {
    Launch {
        kernel: "global_scales".to_owned(),
        grid: [(count as u32).div_ceil(THREADS), 1, 1],
        threads: THREADS,
        shared_bytes: 0,
    }
}

/// Codes and scales back to numbers. Takes [`crate::abi::DequantizeParams`].
///
/// # Errors
/// [`LaunchError`] where columns are not a multiple of 16 or the tensor is too large.
pub fn dequantize(output: InputType, shape: [usize; 2]) -> Result<Launch, LaunchError> {
    by_blocks("dequantize_", output, shape)
}

/// The byte-equal copy that quantizing (rowwise, or both ways with `codes_t` set) is measured
/// against. Takes [`crate::abi::QuantizeParams`].
///
/// # Errors
/// [`LaunchError`] where columns are not a multiple of 16 or the tensor is too large.
pub fn copy_quantize(input: InputType, shape: [usize; 2]) -> Result<Launch, LaunchError> {
    by_blocks("copy_quantize_", input, shape)
}

/// The byte-equal copy that dequantizing is measured against. Takes
/// [`crate::abi::DequantizeParams`].
///
/// # Errors
/// [`LaunchError`] where columns are not a multiple of 16 or the tensor is too large.
pub fn copy_dequantize(output: InputType, shape: [usize; 2]) -> Result<Launch, LaunchError> {
    by_blocks("copy_dequantize_", output, shape)
}

fn by_blocks(kernel: &str, ty: InputType, [rows, cols]: [usize; 2]) -> Result<Launch, LaunchError> {
    check_dimension("columns", cols)?;
    check_size(rows, cols)?;
    let blocks = rows as u32 * (cols / 16) as u32;
    Ok(Launch {
        kernel: format!("{kernel}{}", ty.name()),
        grid: [blocks.div_ceil(THREADS), 1, 1],
        threads: THREADS,
        shared_bytes: 0,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Outputs;

    /// The scales of the tallest tile, 16 rows padded to 128, are the last that 32 bits can count.
    #[test]
    fn padded_scales_that_32_bits_cannot_count_are_refused() {
        let config = |outputs| {
            Config::new(Rule::Plain, Scaling::Tensor, outputs, ScaleLayout::Swizzled128x4).unwrap()
        };
        let shape = [16, 1 << 29];
        for outputs in [Outputs::Columnwise, Outputs::Both] {
            let refused = LaunchError::TooLarge { rows: 16, cols: 1 << 29 };
            assert_eq!(check_shape(&config(outputs), shape), Err(refused));
            assert_eq!(check_shape(&config(outputs), [16, shape[1] - 64]), Ok(()));
        }
        assert_eq!(check_shape(&config(Outputs::Rowwise), shape), Ok(()));
    }
}
