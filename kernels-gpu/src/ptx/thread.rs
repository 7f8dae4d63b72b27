//! Where a thread stands: its numbers in its thread block and in the grid.

use super::codegen::{
    block_dim_x, block_idx_x, block_idx_y, block_idx_z, grid_dim_x, thread_idx_x,
};

/// Index within the block.
#[inline(always)]
pub(crate) fn index() -> u32 {
    thread_idx_x()
}

/// Index within a block of `THREADS` threads.
#[inline(always)]
pub(crate) unsafe fn index_below<const THREADS: u32>() -> u32 {
    let index = index();
    // SAFETY: the caller's promise.
    unsafe { core::hint::assert_unchecked(index < THREADS) }
    index
}

/// Index within the first dimension of the grid.
#[inline(always)]
pub(crate) fn global_index() -> u32 {
    first_of_block() + index()
}

/// That of the block's first thread.
#[inline(always)]
pub(crate) fn first_of_block() -> u32 {
    block_idx_x() * block_dim_x()
}

/// Threads of a block.
#[inline(always)]
pub(crate) fn count() -> u32 {
    block_dim_x()
}

/// Blocks along the first dimension of the grid.
#[inline(always)]
pub(crate) fn grid_blocks() -> u32 {
    grid_dim_x()
}

/// Threads along the first dimension of the grid.
#[inline(always)]
pub(crate) fn grid_size() -> u32 {
    grid_blocks() * count()
}

/// The block's coordinates in the grid.
#[inline(always)]
pub(crate) fn block() -> [u32; 3] {
    [block_idx_x(), block_idx_y(), block_idx_z()]
}
