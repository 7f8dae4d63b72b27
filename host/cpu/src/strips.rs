//! Quantizes a strip: cuts it into groups or tiles, and puts the scales where they
//! belong.

use std::ptr;

use fouroversix_core::Scaling;

use crate::elements::{Columns, Rows, Segments, Steps};
use crate::group::Load;
use crate::method::Method;
use crate::output::{Certain, Output};
use crate::scale::GlobalScale;
use crate::simd::{prefetch_bytes, stream, streamed};
use crate::strip::{Source, Strip};

/// Blocks of a line whose codes fill a cache line: columns are quantized that many rows of blocks
/// at a time, so that whole cache lines are written.
pub(crate) const BURST: usize = 8;

/// Bytes that strips use in turns.
#[derive(Default)]
pub(crate) struct Scratch {
    codes: Vec<u8>,
    scales: Vec<u8>,
    certain: Vec<Certain>,
}

/// Quantizes a strip of any kind. Returns how many blocks chose map4.
pub(crate) fn strip<T: Load>(
    method: Method<'_>,
    source: &Source<'_, T>,
    strip: &mut Strip<'_>,
    scaling: Scaling,
    scratch: &mut Scratch,
) -> u64 {
    let tiles = scaling == Scaling::Tile;
    match (source.columns, tiles) {
        (true, _) => columns(method, source, strip, tiles, scratch, None),
        (false, true) => tile_rows(method, source, strip, scratch),
        (false, false) => rows(method, source, strip, scratch),
    }
}

/// Quantizes consecutive blocks with one global scale, from segment `first` on. Returns how many
/// chose map4.
pub(crate) fn line<T: Load>(
    method: Method<'_>,
    input: &[T],
    codes: &mut [u8],
    scales: &mut [u8],
    global: &GlobalScale,
    first: u64,
) -> u64 {
    let lanes = method.path.lanes();
    let whole = input.len() / 16 / lanes * lanes;
    let (of_groups, input) = input.split_at(16 * whole);
    let (codes_of_groups, codes) = codes.split_at_mut(8 * whole);
    let (scales_of_groups, scales) = scales.split_at_mut(whole);
    let map4 = groups(method, of_groups, codes_of_groups, scales_of_groups, global, first);
    map4 + rest(method, input, codes, scales, global, first + whole as u64)
}

/// [`line`] for fewer blocks than the path has lanes: a group that is filled up with blocks of zeros.
fn rest<T: Load>(
    method: Method<'_>,
    input: &[T],
    codes: &mut [u8],
    scales: &mut [u8],
    global: &GlobalScale,
    first: u64,
) -> u64 {
    if input.is_empty() {
        return 0;
    }
    let lanes = method.path.lanes();
    let (mut last, mut last_codes, mut last_scales) = ([T::from_f32(0.0); 256], [0; 128], [0; 16]);
    last[..input.len()].copy_from_slice(input);
    let (group, codes_of_group) = (&last[..16 * lanes], &mut last_codes[..8 * lanes]);
    let map4 = groups(method, group, codes_of_group, &mut last_scales[..lanes], global, first);
    codes.copy_from_slice(&last_codes[..codes.len()]);
    scales.copy_from_slice(&last_scales[..scales.len()]);
    map4
}

/// [`line`] for whole groups.
fn groups<T: Load>(
    method: Method<'_>,
    input: &[T],
    codes: &mut [u8],
    scales: &mut [u8],
    global: &GlobalScale,
    first: u64,
) -> u64 {
    let (lanes, blocks) = (method.path.lanes(), input.len() / 16);
    assert!(blocks.is_multiple_of(lanes), "groups are whole");
    assert!(codes.len() == blocks * 8 && scales.len() == blocks, "buffers of a line do not match");
    let elements = Rows { from: input.as_ptr(), stride: 16, steps: Steps::of(16 * lanes) };
    let output = Output {
        segments: Segments { first, lane: 1, steps: Steps::of(lanes) },
        codes: codes.as_mut_ptr(),
        lane_bytes: 8,
        steps: Steps::of(8 * lanes),
        scales: scales.as_mut_ptr(),
        certain: ptr::null_mut(),
        count: blocks / lanes,
        globals: std::slice::from_ref(global),
    };
    // SAFETY: `count` groups of `lanes` blocks of 16 elements, 8 code bytes and a scale byte each
    // are within the slices.
    unsafe { method.groups(&elements, &output) }
}

/// A strip of rows.
fn rows<T: Load>(
    method: Method<'_>,
    source: &Source<'_, T>,
    strip: &mut Strip<'_>,
    scratch: &mut Scratch,
) -> u64 {
    let lanes = method.path.lanes();
    let per_line = strip.blocks / lanes;
    let whole = per_line * lanes;
    // Lines with one global scale go together.
    let together = if strip.globals.len() == 1 { strip.lines } else { 1 };
    scratch.scales.resize(together * whole, 0);
    let mut map4 = 0;
    for local in (0..strip.lines).step_by(together) {
        let line_number = strip.first_line + local;
        let first = source.segment(line_number, strip.first_block);
        let global = *strip.global(local);
        if whole > 0 {
            let input = source.part(line_number, together, 16 * strip.first_block, 16 * whole);
            let steps = |step, line| Steps { step, line, per_line: per_line as u32 };
            let elements =
                Rows { from: input.as_ptr(), stride: 16, steps: steps(16 * lanes, source.stride) };
            let output = Output {
                segments: Segments {
                    first,
                    lane: 1,
                    steps: steps(lanes, source.segments_per_line as usize),
                },
                codes: strip.codes(local, 0),
                lane_bytes: 8,
                steps: steps(8 * lanes, strip.line_bytes()),
                scales: scratch.scales.as_mut_ptr(),
                certain: ptr::null_mut(),
                count: together * per_line,
                globals: std::slice::from_ref(&global),
            };
            // SAFETY: `per_line` groups of each of these lines are in the input and in the strip,
            // and there is a scale for each of their blocks.
            map4 += unsafe { method.groups(&elements, &output) };
        }
        for line in local..local + together {
            if whole > 0 {
                strip.put_scales(line, 0, &scratch.scales[(line - local) * whole..][..whole]);
            }
            let left = strip.blocks - whole;
            if left > 0 {
                let block = strip.first_block + whole;
                let input = source.part(strip.first_line + line, 1, 16 * block, 16 * left);
                let first = source.segment(strip.first_line + line, block);
                let (mut codes, mut scales) = ([0; 128], [0; 16]);
                let (codes, scales) = (&mut codes[..8 * left], &mut scales[..left]);
                map4 += rest(method, input, codes, scales, &global, first);
                strip.line_codes(line, whole, left).copy_from_slice(codes);
                strip.put_scales(line, whole, scales);
            }
        }
    }
    map4
}

/// A strip of rows in tiles.
fn tile_rows<T: Load>(
    method: Method<'_>,
    source: &Source<'_, T>,
    strip: &mut Strip<'_>,
    scratch: &mut Scratch,
) -> u64 {
    let blocks = strip.blocks;
    scratch.scales.resize(blocks, 0);
    let mut packed = Vec::new();
    let mut map4 = 0;
    for local in (0..strip.lines).step_by(16) {
        let line = strip.first_line + local;
        let (input, stride) = even_stride(source, line, strip, &mut packed);
        let elements = Rows { from: input.as_ptr(), stride, steps: Steps::of(16) };
        let output = Output {
            segments: Segments {
                first: source.segment(line, strip.first_block),
                lane: source.segments_per_line,
                steps: Steps::of(1),
            },
            codes: strip.codes(local, 0),
            lane_bytes: strip.line_bytes(),
            steps: Steps::of(8),
            scales: scratch.scales.as_mut_ptr(),
            certain: ptr::null_mut(),
            count: blocks,
            globals: &strip.globals,
        };
        // SAFETY: 16 rows of `count` tiles are in `input`, their codes in the strip, and there is
        // a scale for each tile.
        map4 += unsafe { method.tiles(&elements, &output) };
        for row in 0..16 {
            strip.put_scales(local + row, 0, &scratch.scales);
        }
    }
    map4
}

/// A strip's elements of 16 rows and their stride; rows an odd number of elements apart, which pairs
/// of elements are not loaded from, are copied to `packed`.
fn even_stride<'a, T: Load>(
    source: &Source<'a, T>,
    first: usize,
    strip: &Strip<'_>,
    packed: &'a mut Vec<T>,
) -> (&'a [T], usize) {
    let (from, length) = (16 * strip.first_block, 16 * strip.blocks);
    if source.stride.is_multiple_of(2) {
        return (source.part(first, 16, from, length), source.stride);
    }
    let row = |row| source.part(first + row, 1, from, length);
    let stride = pack(length, row, packed);
    (packed, stride)
}

/// Copies 16 rows of `length` elements to `packed`, a cache line between them, and returns their stride,
/// which is even.
fn pack<'a, T: Load>(length: usize, row: impl Fn(usize) -> &'a [T], packed: &mut Vec<T>) -> usize {
    let stride = length + 64 / size_of::<T>();
    packed.resize(16 * stride, T::from_f32(0.0));
    for (i, to) in packed.chunks_exact_mut(stride).enumerate() {
        to[..length].copy_from_slice(row(i));
    }
    stride
}

/// Rows that are as many bytes apart, or a multiple, share places in a first-level cache that has not room
/// for 16 lines in each.
const SHARED: usize = 2048;

/// A strip's columns, their elements from `first` on; of rows that share places in the cache, copied to
/// `packed`, and then the 16 rows below are asked for here.
fn columns_of<T: Load>(
    source: &Source<'_, T>,
    strip: &Strip<'_>,
    first: usize,
    step: usize,
    packed: &mut Vec<T>,
) -> Columns<T> {
    let (column, columns, stride) = (strip.first_line, strip.lines, source.stride);
    if !(stride * size_of::<T>()).is_multiple_of(SHARED) {
        let from = source.part(column, columns, first, 16).as_ptr();
        return Columns { from, stride, step, ahead: true };
    }
    let row = |row| {
        let row = source.part(column, columns, first + row, 1);
        prefetch_bytes(row.as_ptr().wrapping_add(16 * stride).cast(), size_of_val(row));
        row
    };
    let stride = pack(columns, row, packed);
    Columns { from: packed.as_ptr(), stride, step, ahead: false }
}

/// Quantizes a strip of columns in tiles, and the same tiles' rows. Returns how many of both chose map4.
pub(crate) fn tiles_of_both<T: Load>(
    method: Method<'_>,
    source: &Source<'_, T>,
    strip: &mut Strip<'_>,
    rows: Turned<'_, '_, T>,
    scratch: &mut Scratch,
) -> u64 {
    columns(method, source, strip, true, scratch, Some(rows))
}

/// The rows of tiles whose columns are quantized to nearest.
pub(crate) struct Turned<'a, 'b, T> {
    pub(crate) method: Method<'a>,
    pub(crate) source: Source<'a, T>,
    pub(crate) strip: &'b mut Strip<'a>,
}

impl<T: Load> Turned<'_, '_, T> {
    /// Sixteen rows, block `block` of the columns. Returns how many chose map4.
    fn rows(&mut self, block: usize, codes: &[u8], scales: &[u8], certain: &[Certain]) -> u64 {
        let Self { method, source, strip } = self;
        let (first, line_bytes) = (16 * block, strip.line_bytes());
        let to = strip.codes(first, 0);
        let (of_tiles, _) = codes.as_chunks::<128>();
        for (tile, codes) in of_tiles[..strip.blocks].iter().enumerate() {
            for (row, codes) in turn(codes).into_iter().enumerate() {
                // SAFETY: codes of the strip.
                unsafe { to.add(row * line_bytes + 8 * tile).cast::<[u8; 8]>().write(codes) };
            }
        }
        for row in first..first + 16 {
            strip.put_scales(row, 0, scales);
        }
        let mut map4 = 0;
        for (tile, certain) in certain.iter().enumerate() {
            map4 += match certain {
                Certain::Map4 => 1,
                Certain::Map6 => 0,
                Certain::No => tile_rows(
                    *method,
                    source,
                    &mut strip.tile(first, tile),
                    &mut Scratch::default(),
                ),
            };
        }
        map4
    }
}

/// The codes of a tile's rows from those of its columns.
fn turn(columns: &[u8; 128]) -> [[u8; 8]; 16] {
    let (columns, _) = columns.as_chunks::<8>();
    let mut lines: [u64; 16] = std::array::from_fn(|i| u64::from_le_bytes(columns[i]));
    // Swaps halves of numbers 8 apart, then quarters of those 4 apart, and so on.
    for (apart, mask) in [
        (8, 0x0000_0000_FFFF_FFFF_u64),
        (4, 0x0000_FFFF_0000_FFFF),
        (2, 0x00FF_00FF_00FF_00FF),
        (1, 0x0F0F_0F0F_0F0F_0F0F),
    ] {
        for i in (0..16).filter(|i| i & apart == 0) {
            let differ = (lines[i] >> (4 * apart) ^ lines[i + apart]) & mask;
            lines[i + apart] ^= differ;
            lines[i] ^= differ << (4 * apart);
        }
    }
    lines.map(u64::to_le_bytes)
}

/// A strip of columns, in tiles or not; of tiles also the rows, where they are asked for.
fn columns<T: Load>(
    method: Method<'_>,
    source: &Source<'_, T>,
    strip: &mut Strip<'_>,
    tiles: bool,
    Scratch { codes, scales, certain }: &mut Scratch,
    mut turned: Option<Turned<'_, '_, T>>,
) -> u64 {
    let lines = strip.lines;
    let width = if tiles { 16 } else { method.path.lanes() };
    let per_block = if tiles { lines / 16 } else { lines };
    codes.resize(lines * 8 * BURST, 0);
    scales.resize(per_block * BURST, 0);
    certain.resize(per_block, Certain::No);
    let mut map4 = 0;
    let mut packed = Vec::new();
    let mut first = 0;
    while first < strip.blocks {
        // To the end of a cache line, where lines are whole ones apart.
        let place = strip.codes(0, first).addr() / 8 % BURST;
        let burst = (BURST - place).min(strip.blocks - first);
        for block in 0..burst {
            let number = strip.first_block + first + block;
            let elements = columns_of(source, strip, 16 * number, width, &mut packed);
            let segments = source.segments_per_line;
            let output = Output {
                segments: Segments {
                    first: source.segment(strip.first_line, number),
                    lane: segments,
                    steps: Steps::of(segments as usize * width),
                },
                codes: codes[block * 8 * lines..].as_mut_ptr(),
                lane_bytes: 8,
                steps: Steps::of(8 * width),
                scales: scales[block * per_block..][..per_block].as_mut_ptr(),
                certain: if turned.is_some() { certain.as_mut_ptr() } else { ptr::null_mut() },
                count: lines / width,
                globals: &strip.globals,
            };
            // SAFETY: 16 rows of `lines` columns are in the input, and the buffers have 8 code
            // bytes for each column, and a scale for each column or tile.
            map4 += unsafe {
                if tiles {
                    method.tiles(&elements, &output)
                } else {
                    method.groups(&elements, &output)
                }
            };
            if let Some(rows) = &mut turned {
                let codes = &codes[block * 8 * lines..][..8 * lines];
                let scales = &scales[block * per_block..][..per_block];
                map4 += rows.rows(first + block, codes, scales, certain);
            }
        }
        let (of_blocks, _) = codes.as_chunks::<8>();
        let large = strip.is_large();
        for line in 0..lines {
            let (to, _) = strip.line_codes(line, first, burst).as_chunks_mut::<8>();
            match to.first_chunk_mut::<BURST>() {
                Some(to) if large => {
                    stream(to, std::array::from_fn(|block| of_blocks[block * lines + line]));
                }
                _ => {
                    for (block, to) in to.iter_mut().enumerate() {
                        *to = of_blocks[block * lines + line];
                    }
                }
            }
            let index = if tiles { line / 16 } else { line };
            let mut column = [0; BURST];
            for (block, scale) in column.iter_mut().enumerate() {
                *scale = scales[block * per_block + index];
            }
            strip.put_scales(line, first, &column[..burst]);
        }
        first += burst;
    }
    streamed();
    map4
}

#[cfg(test)]
mod tests {
    use super::turn;

    #[test]
    fn rows_have_the_codes_of_columns() {
        let code = |row: usize, column: usize| (row * 7 + column * 3 + row * column) as u8 & 0xF;
        let columns: [u8; 128] = std::array::from_fn(|i| {
            let (column, row) = (i / 8, i % 8 * 2);
            code(row, column) | code(row + 1, column) << 4
        });
        for (row, codes) in turn(&columns).iter().enumerate() {
            for (i, byte) in codes.iter().enumerate() {
                assert_eq!(*byte, code(row, 2 * i) | code(row, 2 * i + 1) << 4, "{row} {i}");
            }
        }
    }
}
