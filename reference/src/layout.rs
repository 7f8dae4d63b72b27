//! How block scales lie in memory (step 11).

/// Rows of a swizzled tile.
const TILE_ROWS: usize = 128;
/// Block scales in a row of a swizzled tile.
const TILE_SCALES: usize = 4;

/// Bytes that swizzled scales take: both dimensions of `[rows, blocks]` rounded up to whole tiles
/// of 128x4.
#[must_use]
pub const fn swizzled_bytes(rows: usize, blocks: usize) -> usize {
    rows.next_multiple_of(TILE_ROWS) * blocks.next_multiple_of(TILE_SCALES)
}

/// Where the scale of row `row` and block column `block` lies when swizzled.
///
/// Tiles of 128x4 follow each other row-major, 512 bytes each. In a tile, row r and r + 32 are
/// neighbours: 32 lines of 16 bytes, each with 4 rows of 4 scales, as Blackwell's tensor cores read
/// them (CUTLASS, `sm100_blockscaled_layout.hpp`).
#[must_use]
pub const fn swizzled_offset(blocks: usize, row: usize, block: usize) -> usize {
    let tiles_across = blocks.div_ceil(TILE_SCALES);
    let tile = (row / TILE_ROWS) * tiles_across + block / TILE_SCALES;
    let row_in_tile = row % TILE_ROWS;
    tile * (TILE_ROWS * TILE_SCALES)
        + (row_in_tile % 32) * 16
        + (row_in_tile / 32) * 4
        + block % TILE_SCALES
}

/// Linear `[rows, blocks]` scales as tensor cores read them, padding zero.
///
/// # Panics
/// If `scales` does not hold `rows * blocks` bytes.
#[must_use]
pub fn swizzle(scales: &[u8], rows: usize, blocks: usize) -> Vec<u8> {
    assert_eq!(scales.len(), rows * blocks, "scales and shape");
    let mut swizzled = vec![0; swizzled_bytes(rows, blocks)];
    for row in 0..rows {
        for block in 0..blocks {
            swizzled[swizzled_offset(blocks, row, block)] = scales[row * blocks + block];
        }
    }
    swizzled
}

/// The inverse of [`swizzle`]; what padding holds is ignored.
///
/// # Panics
/// If `swizzled` does not hold [`swizzled_bytes`] bytes.
#[must_use]
pub fn unswizzle(swizzled: &[u8], rows: usize, blocks: usize) -> Vec<u8> {
    assert_eq!(swizzled.len(), swizzled_bytes(rows, blocks), "scales and shape");
    let positions = (0..rows).flat_map(|row| (0..blocks).map(move |block| (row, block)));
    positions.map(|(row, block)| swizzled[swizzled_offset(blocks, row, block)]).collect()
}
