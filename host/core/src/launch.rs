//! The launch contract: which kernel a request needs, on which grid, and what may go wrong.
//!
//! Nothing here talks to a driver. A host turns a request into a [`Launch`] once, fills in the
//! parameter struct of [`crate::abi`] and launches it as often as it likes; the executor of the
//! conformance tests does the same on a CPU.
//!
//! # The clauses of the contract
//!
//! What whoever launches a kernel promises. Kernels check none of it; the comments on their unsafe
//! code cite these clauses by number.
//!
//! 1. **Geometry.** Kernel, grid, threads and shared memory are those of a [`Launch`] that a function of
//!    this module made for the shapes at hand. A grid of zeros is not launched.
//! 2. **Parameter.** The kernel's one parameter is the struct of [`crate::abi`] that the function names.
//!    Dimensions, divisors and flags are those of the shape and the configuration ([`tensor`],
//!    [`flags`], [`rule_flags`]); reserved fields are zero.
//! 3. **Extent.** An address is that of device memory with as many bytes as its field says, allocated
//!    until the launch has finished. Outputs that the kernel does not produce may be null.
//! 4. **Alignment.** An address is a multiple of what its field says. Nothing is asked of block scales.
//! 5. **Padding.** Block scales with [`SWIZZLED`] have room for whole tiles: rows up to a multiple of 128,
//!    blocks of a row up to a multiple of 4. The kernel writes the padding: zeros.
//! 6. **Global scales.** `global` and `global_t` hold one [`GlobalScale`](crate::abi::GlobalScale), or
//!    with [`ROW_SCALED`] one for each row (`global_t`: each column). Kernels that read them find what an
//!    amax kernel of this instruction set and this configuration wrote.
//! 7. **No races.** While the kernel runs nobody else writes what it reads, nor touches what it writes;
//!    no output overlaps another or an input.
//! 8. **Groups.** A grouped kernel's table is device memory with an entry for each layer (z) of the grid,
//!    and every clause holds for every entry.
//! 9. **Workspace.** The workspace of an amax kernel is zero before its first launch, and is in one launch
//!    at a time: each leaves it zero.
//! 10. **Skip word.** Where it is looked at (quantize kernels: with
//!     [`SKIPPABLE`](crate::abi::SKIPPABLE); others: where it is not null) `skip` is the address of an
//!     aligned `u32` in device memory.
//! 11. **Random state.** [`Random`] is what [`random`] makes. Where its `state` is not null
//!     it is the address of two aligned `u64` in device memory, which nobody writes while the kernel runs.

use std::fmt;

use crate::abi::{
    AMAX_COLUMNS, AMAX_COLUMNS_WARPS, COLUMNS_BYTES, COLUMNS_COLS, Divisor, E4M3_MAX_256,
    MAGNITUDES, QuantizeTensor, ROW_SCALED, Random, STRICT, SWIZZLED, Signs, TILE_COLS, TILE_ROWS,
    TRANSFORMS, TRANSPOSED_ROWS,
};
use crate::config::{
    Config, E4m3Max, ErrorPath, Feature, InputType, Metric, Outputs, Rounding, Rule, ScaleLayout,
    Scaling, Transforms,
};
use crate::kernel::{Blocks, Kernel};
use crate::shape::{ShapeError, check_dimension};

/// Threads of a thread block in the kernels that give each thread a block of 16 elements.
const THREADS: u32 = 128;
/// Threads of a thread block in the kernels with blocks that run down columns, 16x16 ones too.
const COLUMNS_THREADS: u32 = 256;
/// Threads of a thread block in the kernels of 16x16 blocks along rows alone, and of their searches.
const TILE_THREADS: u32 = 128;
/// Threads of a thread block in the amax kernels.
const AMAX_THREADS: u32 = 256;
/// Most blocks of 16 in one tensor: kernels count them in 31 bits.
const MAX_BLOCKS: u64 = 1 << 31;

/// A kernel and its grid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Launch {
    /// Which kernel.
    pub kernel: Kernel,
    /// Thread blocks along x, y and z; all zero where there is nothing to do: don't launch.
    pub grid: [u32; 3],
    /// Threads of a thread block, along x.
    pub threads: u32,
    /// Bytes of dynamic shared memory.
    pub shared_bytes: u32,
}

impl Launch {
    /// A grid with a zero is none.
    fn new(kernel: Kernel, grid: [u32; 3], threads: u32) -> Self {
        let grid = if grid.contains(&0) { [0; 3] } else { grid };
        Self { kernel, grid, threads, shared_bytes: kernel.shared_bytes() }
    }
}

/// A request that the kernels can't serve.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LaunchError {
    /// The shape is not made of blocks, or has more elements than a kernel can index.
    Shape(ShapeError),
    /// More tensors than a grid has layers.
    TooManyTensors {
        /// How many.
        tensors: usize,
    },
    /// A group of tensors with what only one tensor can have.
    Group {
        /// What was asked for.
        with: &'static str,
    },
    /// A search with what its kernels don't have.
    Search {
        /// What was asked for.
        with: &'static str,
    },
}

impl fmt::Display for LaunchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Shape(error) => error.fmt(f),
            Self::TooManyTensors { tensors } => write!(
                f,
                "{tensors} tensors are more than the 65535 of one grouped launch: launch in parts"
            ),
            Self::Group { with } => write!(
                f,
                "{with} was asked for with a group of tensors, which has none: quantize them one by one"
            ),
            Self::Search { with } => write!(
                f,
                "{with} was asked for with scale search, which the kernels don't have: use the CPU path, or \
                 Four Over Six"
            ),
        }
    }
}

impl std::error::Error for LaunchError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Shape(error) => error.source(),
            Self::TooManyTensors { .. } | Self::Group { .. } | Self::Search { .. } => None,
        }
    }
}

impl From<ShapeError> for LaunchError {
    fn from(error: ShapeError) -> Self {
        Self::Shape(error)
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
    let Transforms { rowwise, columnwise } = config.transforms();
    for (transform, flag) in [rowwise, columnwise].into_iter().zip(TRANSFORMS) {
        flags |= if transform.is_some() { flag } else { 0 };
    }
    flags
}

/// The signs of a configuration's transforms as a launch passes them; zeros for an output without one.
#[must_use]
pub fn signs(config: &Config, input: InputType) -> [Signs; 2] {
    let Transforms { rowwise, columnwise } = config.transforms();
    [rowwise, columnwise].map(|mask| mask.map_or(Signs::default(), |mask| Signs::new(mask, input)))
}

/// The part of the flags that an amax kernel and a rule need.
#[must_use]
pub fn rule_flags(rule: Rule) -> u32 {
    let mut flags = 0;
    if let Rule::FourOverSix { error_path: ErrorPath::Strict, .. } = rule {
        flags |= STRICT;
    }
    if let Rule::Search { metric: Metric::Mae, .. } = rule {
        flags |= MAGNITUDES;
    }
    if rule.e4m3_max() == E4m3Max::M256 {
        flags |= E4M3_MAX_256;
    }
    flags
}

/// The random state of a configuration as a launch passes it, of a tensor or of the first of a group; zeros
/// where it rounds to nearest. `shape` is that of the tensor, where it is a panel.
#[must_use]
pub fn random(config: &Config, shape: [usize; 2]) -> Random {
    match config.rounding() {
        Rounding::Nearest => Random::default(),
        Rounding::Stochastic(state) => Random::new(state, config.panel(), shape),
    }
}

/// Checks that there are kernels for a configuration.
///
/// # Errors
/// [`LaunchError::Search`] where there are none.
pub fn check_features(config: &Config) -> Result<(), LaunchError> {
    let missing =
        [(Feature::Stochastic, "stochastic rounding"), (Feature::Transform, "a transform")];
    match missing.into_iter().find(|(feature, _)| config.uses(*feature)) {
        Some((_, with)) if config.uses(Feature::Search) => Err(LaunchError::Search { with }),
        _ => Ok(()),
    }
}

/// Checks a shape against a configuration.
///
/// # Errors
/// [`ShapeError::Dimension`] where columns are not a multiple of 16, or rows where blocks span
/// them; [`ShapeError::TooLarge`] from 2³⁵ elements on, with few
/// rows or columns and outputs that span rows from 2³³ on.
pub fn check_shape(config: &Config, [rows, cols]: [usize; 2]) -> Result<(), ShapeError> {
    check_dimension("columns", cols)?;
    if config.outputs().columnwise() || config.scaling() == Scaling::Tile {
        check_dimension("rows", rows)?;
        // The 1x16 kernels among these find scales by 32-bit offsets, in the padded layout too. One rule
        // for all of them: it refuses nothing below 2³³ elements.
        let padded = |lines: usize, length: usize| {
            lines.next_multiple_of(128) as u64 * (length / 16).next_multiple_of(4) as u64
        };
        if padded(rows, cols).max(padded(cols, rows)) > u64::from(u32::MAX) {
            return Err(ShapeError::TooLarge { rows, cols });
        }
    }
    check_size(rows, cols)
}

fn check_size(rows: usize, cols: usize) -> Result<(), ShapeError> {
    let blocks = rows as u64 * (cols as u64 / 16);
    // 65535 layers of tiles is the grid's limit along rows.
    let rows_fit = rows as u64 <= 65535 * u64::from(TILE_ROWS);
    let small = u32::try_from(rows).is_ok() && u32::try_from(cols).is_ok();
    if small && rows_fit && blocks < MAX_BLOCKS {
        Ok(())
    } else {
        Err(ShapeError::TooLarge { rows, cols })
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
/// [`crate::abi::QuantizeParams`], or [`crate::abi::TrainingParams`] where
/// [`Kernel::takes_training`].
///
/// # Errors
/// Those of [`check_features`] and [`check_shape`].
pub fn quantize(
    config: &Config,
    input: InputType,
    shape: [usize; 2],
) -> Result<Launch, LaunchError> {
    check_features(config)?;
    check_shape(config, shape)?;
    quantize_checked(config, input, &[shape], false)
}

/// Quantizes many tensors of one configuration and type in one launch. Takes what [`quantize`]'s kernel
/// takes, with `group` set.
///
/// # Errors
/// Those of [`check_features`], of [`check_shape`] for any of the shapes, [`LaunchError::TooManyTensors`] and
/// [`LaunchError::Group`].
pub fn quantize_grouped(
    config: &Config,
    input: InputType,
    shapes: &[[usize; 2]],
) -> Result<Launch, LaunchError> {
    if shapes.len() > 65535 {
        return Err(LaunchError::TooManyTensors { tensors: shapes.len() });
    }
    check_features(config)?;
    if config.panel().is_some() {
        return Err(LaunchError::Group { with: "a panel" });
    }
    if !config.transforms().is_none() {
        return Err(LaunchError::Group { with: "a transform" });
    }
    for shape in shapes {
        check_shape(config, *shape)?;
    }
    quantize_checked(config, input, shapes, true)
}

fn quantize_checked(
    config: &Config,
    input: InputType,
    shapes: &[[usize; 2]],
    grouped: bool,
) -> Result<Launch, LaunchError> {
    let blocks = if config.scaling() == Scaling::Tile { Blocks::Tile } else { Blocks::Row };
    let outputs = config.outputs();
    let [across, down, threads] = match (blocks, outputs) {
        (Blocks::Row, Outputs::Rowwise) => {
            let of = |[rows, cols]: &[usize; 2]| (*rows * (*cols / 16)) as u32;
            let largest = shapes.iter().map(of).max().unwrap_or(0);
            [largest.div_ceil(THREADS), 1, THREADS]
        }
        (Blocks::Row, _) => {
            let rows = COLUMNS_BYTES / input.bytes() as u32;
            let [across, down] = tiles(shapes, [rows, COLUMNS_COLS]);
            [across, down, COLUMNS_THREADS]
        }
        (Blocks::Tile, Outputs::Rowwise) => {
            let [across, down] = tiles(shapes, [TILE_ROWS, TILE_COLS]);
            // A thread block has four warps side by side: four thread blocks, as many strips of 16 rows, for four
            // times the columns.
            [across.next_multiple_of(TILE_COLS / 16), down, TILE_THREADS]
        }
        (Blocks::Tile, _) if matches!(config.rule(), Rule::Search { .. }) => {
            let [across, down] = tiles(shapes, [TILE_ROWS, TILE_COLS]);
            [across, down, TILE_THREADS]
        }
        (Blocks::Tile, _) => {
            let [across, down] = tiles(shapes, [TRANSPOSED_ROWS, TILE_COLS]);
            [across, down, COLUMNS_THREADS]
        }
    };
    let kernel = Kernel::quantize(blocks, outputs, grouped, input, config.rule().into());
    let kernel = if config.transforms().is_none() { kernel } else { kernel.transformed() };
    let kernel = rounding(kernel, config);
    Ok(Launch::new(kernel, [across, down, shapes.len() as u32], threads))
}

/// The kernel with the configuration's rounding.
fn rounding(kernel: Kernel, config: &Config) -> Kernel {
    match config.rounding() {
        Rounding::Nearest => kernel,
        Rounding::Stochastic(_) => kernel.stochastically(),
    }
}

/// Tiles of some rows and columns that cover the widest of the tensors, and the tallest.
fn tiles(shapes: &[[usize; 2]], [rows, cols]: [u32; 2]) -> [u32; 2] {
    let most = |i: usize, edge: u32| {
        shapes.iter().map(|shape| (shape[i] as u32).div_ceil(edge)).max().unwrap_or(0)
    };
    [most(1, cols), most(0, rows)]
}

/// Row scaling in one pass: finds each row's amax, writes its [`crate::abi::GlobalScale`] to
/// `global` and quantizes the row. Takes what [`quantize`]'s kernel takes.
///
/// # Errors
/// Those of [`check_features`] and [`check_shape`].
pub fn quantize_rows(
    config: &Config,
    input: InputType,
    shape: [usize; 2],
) -> Result<Launch, LaunchError> {
    check_features(config)?;
    check_shape(config, shape)?;
    let [rows, cols] = shape;
    let grid = [if cols == 0 { 0 } else { rows as u32 }, 1, 1];
    // Measured on H100: many small thread blocks overlap better than few large ones.
    let threads = row_threads(cols, 128);
    let kernel = rounding(Kernel::quantize_rows(input, config.rule().into()), config);
    Ok(Launch::new(kernel, grid, threads))
}

/// Whole warps, a thread for each block of a row while that is at most `most`.
fn row_threads(cols: usize, most: u32) -> u32 {
    ((cols / 16) as u32).next_multiple_of(32).clamp(32, most)
}

/// The tensor's amax and its global scale. Takes [`crate::abi::AmaxParams`] with `rows · cols`
/// elements, a multiple of 16. `multiprocessors` is the device's.
///
/// # Panics
/// From 2³⁵ elements on, which [`check_shape`] refuses.
#[must_use]
pub fn amax(input: InputType, elements: u64, multiprocessors: u32) -> Launch {
    let across = amax_blocks(elements, amax_resident(multiprocessors));
    Launch::new(Kernel::amax(false, input), [across, 1, 1], AMAX_THREADS)
}

/// The amax of a tensor's transform along rows or along columns, and its global scale. Takes
/// [`crate::abi::TransformAmaxParams`] with the tensor's rows and columns.
///
/// # Errors
/// Those of [`check_shape`] with such an output.
pub fn amax_transform(
    input: InputType,
    [rows, cols]: [usize; 2],
    columnwise: bool,
    multiprocessors: u32,
) -> Result<Launch, LaunchError> {
    check_dimension("columns", cols)?;
    let kernel = Kernel::amax_transform(columnwise, input);
    if !columnwise {
        let across = amax_blocks((rows * cols) as u64, amax_resident(multiprocessors));
        return Ok(Launch::new(kernel, [across, 1, 1], AMAX_THREADS));
    }
    check_dimension("rows", rows)?;
    check_size(rows, cols)?;
    let [across, down] =
        tiles(&[[rows, cols]], [COLUMNS_BYTES / input.bytes() as u32, COLUMNS_COLS]);
    // As many as shared memory has room for.
    let resident = multiprocessors.max(1) * 6;
    let blocks = (u64::from(across) * u64::from(down)).clamp(1, u64::from(resident));
    Ok(Launch::new(kernel, [blocks as u32, 1, 1], COLUMNS_THREADS))
}

/// The amaxes and global scales of many tensors in one launch. Takes [`crate::abi::AmaxParams`]
/// with a table of them as its input, one for each of `elements`, which are multiples of 16.
///
/// # Errors
/// [`LaunchError::TooManyTensors`].
///
/// # Panics
/// As [`amax`].
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
    let grid = [amax_blocks(largest, most), 1, tensors as u32];
    Ok(Launch::new(Kernel::amax(true, input), grid, AMAX_THREADS))
}

/// Thread blocks that a device holds at a time: five of 256 threads a multiprocessor fit with 48 registers,
/// and on an H200 more are not faster.
fn amax_resident(multiprocessors: u32) -> u32 {
    multiprocessors.max(1) * 5
}

/// A thread for each block of elements, while that is at most `most` thread blocks. An empty
/// tensor has an amax too: 0.
fn amax_blocks(elements: u64, most: u32) -> u32 {
    // Kernels count down from the last block, and below 0.
    assert!(elements / 16 < MAX_BLOCKS, "{elements} elements are more than one amax kernel counts");
    (elements / 16).div_ceil(u64::from(AMAX_THREADS)).clamp(1, u64::from(most)) as u32
}

/// Every row's amax and global scale. Takes [`crate::abi::AmaxParams`].
///
/// # Errors
/// [`LaunchError`] where columns are not a multiple of 16 or the tensor is too large.
pub fn amax_rows(input: InputType, [rows, cols]: [usize; 2]) -> Result<Launch, LaunchError> {
    check_dimension("columns", cols)?;
    check_size(rows, cols)?;
    Ok(Launch::new(Kernel::amax_rows(input), [rows as u32, 1, 1], row_threads(cols, 512)))
}

/// Every column's amax and global scale. Takes [`crate::abi::AmaxParams`].
///
/// # Errors
/// [`LaunchError`] where columns are not a multiple of 16 or the tensor is too large.
pub fn amax_columns(input: InputType, [rows, cols]: [usize; 2]) -> Result<Launch, LaunchError> {
    check_dimension("columns", cols)?;
    check_size(rows, cols)?;
    let across = (cols as u32).div_ceil(AMAX_COLUMNS);
    // Two lanes to a row, four rows a thread at a time.
    let warps = (rows as u32).div_ceil(64).clamp(1, AMAX_COLUMNS_WARPS);
    Ok(Launch::new(Kernel::amax_columns(input), [across, 1, 1], 32 * warps))
}

/// The global scales of amaxes that the caller supplies. Takes [`crate::abi::AmaxParams`].
#[must_use]
pub fn global_scales(count: usize) -> Launch {
    Launch::new(Kernel::global_scales(), [(count as u32).div_ceil(THREADS), 1, 1], THREADS)
}

/// Codes and scales back to numbers. Takes [`crate::abi::DequantizeParams`].
///
/// # Errors
/// [`LaunchError`] where columns are not a multiple of 16 or the tensor is too large.
pub fn dequantize(output: InputType, shape: [usize; 2]) -> Result<Launch, LaunchError> {
    by_blocks(Kernel::dequantize(output), shape)
}

/// The byte-equal copy that quantizing (rowwise, or both ways with `codes_t` set) is measured
/// against. Takes [`crate::abi::QuantizeParams`].
///
/// # Errors
/// [`LaunchError`] where columns are not a multiple of 16 or the tensor is too large.
pub fn copy_quantize(input: InputType, shape: [usize; 2]) -> Result<Launch, LaunchError> {
    by_blocks(Kernel::copy_quantize(input), shape)
}

/// The byte-equal copy that dequantizing is measured against. Takes
/// [`crate::abi::DequantizeParams`].
///
/// # Errors
/// [`LaunchError`] where columns are not a multiple of 16 or the tensor is too large.
pub fn copy_dequantize(output: InputType, shape: [usize; 2]) -> Result<Launch, LaunchError> {
    by_blocks(Kernel::copy_dequantize(output), shape)
}

fn by_blocks(kernel: Kernel, [rows, cols]: [usize; 2]) -> Result<Launch, LaunchError> {
    check_dimension("columns", cols)?;
    check_size(rows, cols)?;
    let blocks = rows as u32 * (cols / 16) as u32;
    Ok(Launch::new(kernel, [blocks.div_ceil(THREADS), 1, 1], THREADS))
}

#[cfg(test)]
mod tests;
