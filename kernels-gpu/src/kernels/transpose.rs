//! Transpose of the codes of 64 columns and 8 groups of 16 rows, or 4, in shared memory: stored by rows of 32 bytes,
//! loaded by columns.
//!
//! `ldmatrix` transposes units of 16 bits, four codes; registers transpose the 4x4 codes that are left.
//! Rows of a group of 16 are 32 bytes apart, groups 528, and the 16-byte halves of rows 4 to 7 and 12 to 15
//! are swapped: no bank conflicts, in stores or loads.

use crate::ptx::{self, shared, warp};
use fouroversix_core::abi::{TILE_COLS, TRANSPOSED_ROWS};

const GROUP: u32 = 528;
/// Most groups.
const GROUPS: u32 = TRANSPOSED_ROWS / 16;
/// Where the scales of the tiles follow the codes: those of a column of tiles, then those of the next.
const SCALES: u32 = GROUPS * GROUP;

/// Stores a block of a row: group, row within it, and which of the row's four blocks.
#[inline(always)]
pub(crate) unsafe fn store(group: u32, row: u32, block: u32, codes: [u32; 2]) {
    let half = (block / 2) ^ ((row / 4) % 2);
    let at = group * GROUP + row * 32 + half * 16 + block % 2 * 8;
    // SAFETY: launch contract, clause 1: shared memory has room for codes and scales.
    unsafe { shared::store_v2(shared::base() + at, codes) }
}

/// Stores the scale of a tile.
#[inline(always)]
pub(crate) unsafe fn store_scale(group: u32, block: u32, scale: u16) {
    // SAFETY: launch contract, clause 1: shared memory has room for codes and scales.
    unsafe { shared::store_b8(shared::base() + SCALES + block * GROUPS + group, scale) }
}

/// Where the codes of whole columns are: past the scales.
const COLUMNS: u32 = SCALES + GROUPS * TILE_COLS / 16;
/// From a column to the next: 64 bytes, and 16 that part their banks.
const COLUMN: u32 = GROUPS * 8 + 16;
/// Where warps turn products: past those codes.
const TURNED: u32 = COLUMNS + TILE_COLS * COLUMN;
/// Bytes that a warp turns: 16 rows of four tiles, 2 bytes an element.
const WARP: u32 = 16 * 4 * 32;
const _: () = assert!(COLUMNS == fouroversix_core::abi::TRANSPOSED_BYTES);
const _: () = assert!(TURNED + GROUPS * WARP == fouroversix_core::abi::TURNED_BYTES);

/// The columns of a lane's tile, of which it has rows: lane `4·j + t` gives rows j and j+8 of tile t and gets
/// columns j and j+8, 16-bit elements, two a word. All lanes of the warp call it, once.
///
/// A row of the four tiles is 128 bytes, 8 elements of each tile, then 8 more; odd rows have these halves
/// swapped, so that neither stores nor loads have bank conflicts. A matrix of `ldmatrix` is two rows of each
/// tile.
#[inline(always)]
pub(crate) fn turn(warp: u32, lane: u32, rows: [[u32; 8]; 2]) -> [[u32; 8]; 2] {
    let base = shared::base() + TURNED + warp * WARP;
    let at = |row: u32, tile: u32| row * 128 + row % 2 * 64 + tile * 16;
    let own = at(lane / 4, lane % 4);
    let pair = lane % 8;
    let from = at(lane / 8 * 2 + pair % 2, pair / 2);
    // SAFETY: launch contract, clause 1: shared memory has room for each warp's rows; all lanes take part.
    unsafe {
        let store = |own: u32, w: [u32; 8]| {
            shared::store_v4(base + own, [w[0], w[1], w[2], w[3]]);
            shared::store_v4(base + (own ^ 64), [w[4], w[5], w[6], w[7]]);
        };
        store(own, rows[0]);
        store(own + 1024, rows[1]);
        warp::sync();
        [from, from ^ 64].map(|from| {
            let a = shared::ldmatrix_x4_trans::<0>(base + from);
            let b = shared::ldmatrix_x4_trans::<1024>(base + from);
            [a[0], a[1], a[2], a[3], b[0], b[1], b[2], b[3]]
        })
    }
}

/// Stores a group's block of a whole column.
#[inline(always)]
pub(crate) unsafe fn store_column(group: u32, column: u32, codes: [u32; 2]) {
    // SAFETY: launch contract, clause 1: shared memory has room for codes and scales.
    unsafe { shared::store_v2(shared::base() + COLUMNS + column * COLUMN + group * 8, codes) }
}

/// Loads the blocks of two groups, `first` and the next, of a whole column.
#[inline(always)]
pub(crate) unsafe fn load_column(column: u32, first: u32) -> [[u32; 2]; 2] {
    // SAFETY: launch contract, clause 1; written before the barrier.
    let [a, b, c, d] =
        unsafe { shared::load_v4(shared::base() + COLUMNS + column * COLUMN + first * 8) };
    [[a, b], [c, d]]
}

/// Loads the scales of two tiles of a column of them, that of the group `first` in the lower byte.
#[inline(always)]
pub(crate) unsafe fn load_scales(first: u32, block: u32) -> u16 {
    // SAFETY: launch contract, clause 1; written before the barrier.
    unsafe { shared::load_b16(shared::base() + SCALES + block * GROUPS + first) as u16 }
}

/// A thread's share of the columns: two neighbouring blocks of one.
pub(crate) struct Column {
    pub(crate) column: u32,
    /// The group of the first block.
    pub(crate) first: u32,
    pub(crate) codes: [[u32; 2]; 2],
}

/// Loads a thread's share. All threads of the thread block call it, a warp for each group, after a barrier.
#[inline(always)]
pub(crate) unsafe fn load_codes(thread: u32, groups: u32) -> Column {
    let (lane, warp) = (thread % 32, thread / 32);
    let (matrix, upper) = (lane / 8, lane % 2);
    // This lane's row of a matrix: rows i and i+4 of every other group; of 4 groups, in either half.
    let (group, half, pair, which) = if groups == 8 {
        (lane % 8 / 2 * 2, warp % 2, warp / 2 % 2, warp / 4)
    } else {
        (lane % 4 / 2 * 2, lane % 8 / 4, warp % 2, warp / 2)
    };
    let at = group * GROUP + (matrix + 4 * upper) * 32 + (half ^ upper) * 16;
    // SAFETY: launch contract, clause 1; written before the barrier.
    let words = unsafe {
        let at = shared::base() + at;
        [
            shared::ldmatrix_x4_trans::<0>(at),
            shared::ldmatrix_x4_trans::<256>(at),
            shared::ldmatrix_x4_trans::<GROUP>(at),
            shared::ldmatrix_x4_trans::<{ GROUP + 256 }>(at),
        ]
    };
    let [a, b, c, d] = words.map(|w| one_column(w, pair, which));
    let (half, first) =
        if groups == 8 { (half, lane % 4 * 2) } else { (lane % 4 / 2, lane % 2 * 2) };
    let column = half * 32 + lane / 4 * 4 + pair * 2 + which;
    Column { column, first, codes: [[a, b], [c, d]] }
}

/// Word i holds four codes of row i and, above them, of row i+4: eight rows of one column of a pair, the first two
/// columns or the last two.
#[inline(always)]
fn one_column(w: [u32; 4], pair: u32, which: u32) -> u32 {
    let bytes = if pair == 0 { 0x6240 } else { 0x7351 };
    let even = ptx::prmt_by(w[0], w[2], bytes) >> (4 * which);
    let odd = ptx::prmt_by(w[1], w[3], bytes) << (4 - 4 * which);
    const LOW: u32 = 0x0F0F_0F0F;
    even & LOW | odd & !LOW
}
