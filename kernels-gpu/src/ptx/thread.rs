//! Where a thread stands: its numbers in its thread block and in the grid.

use super::codegen::{
    _block_dim_x, _block_idx_x, _block_idx_y, _block_idx_z, _grid_dim_x, _thread_idx_x,
};

/// Index within the block.
#[inline(always)]
pub(crate) fn index() -> u32 {
    // SAFETY: reads a special register.
    unsafe { _thread_idx_x() as u32 }
}

/// Index within the first dimension of the grid.
#[inline(always)]
pub(crate) fn global_index() -> u32 {
    first_of_block() + index()
}

/// That of the block's first thread.
#[inline(always)]
pub(crate) fn first_of_block() -> u32 {
    // SAFETY: reads special registers.
    unsafe { (_block_idx_x() as u32) * (_block_dim_x() as u32) }
}

/// Threads of a block.
#[inline(always)]
pub(crate) fn count() -> u32 {
    // SAFETY: reads a special register.
    unsafe { _block_dim_x() as u32 }
}

/// Blocks along the first dimension of the grid.
#[inline(always)]
pub(crate) fn grid_blocks() -> u32 {
    // SAFETY: reads a special register.
    unsafe { _grid_dim_x() as u32 }
}

/// Threads along the first dimension of the grid.
#[inline(always)]
pub(crate) fn grid_size() -> u32 {
    grid_blocks() * count()
}

/// The block's coordinates in the grid.
#[inline(always)]
pub(crate) fn block() -> [u32; 3] {
    // SAFETY: reads special registers.
    unsafe { [_block_idx_x() as u32, _block_idx_y() as u32, _block_idx_z() as u32] }
}
