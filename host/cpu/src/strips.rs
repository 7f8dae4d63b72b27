//! Quantizes a strip: cuts it into groups or tiles, and puts the scales where they
//! belong.

use fouroversix_core::Scaling;

use crate::elements::{Columns, Rows, Segments};
use crate::group::Load;
use crate::method::Method;
use crate::output::Output;
use crate::scale::GlobalScale;
use crate::strip::{Source, Strip};

/// Blocks of a line whose codes fill a cache line: columns are quantized that many rows of blocks
/// at a time, so that whole cache lines are written.
const BURST: usize = 8;

/// Quantizes a strip of any kind. Returns how many blocks chose map4.
pub(crate) fn strip<T: Load>(
    method: Method<'_>,
    source: &Source<'_, T>,
    strip: &mut Strip<'_>,
    scaling: Scaling,
) -> u64 {
    let tiles = scaling == Scaling::Tile;
    match (source.columns, tiles) {
        (true, _) => columns(method, source, strip, tiles),
        (false, true) => tile_rows(method, source, strip),
        (false, false) => rows(method, source, strip),
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
    let blocks = input.len() / 16;
    assert!(codes.len() == blocks * 8 && scales.len() == blocks, "buffers of a line do not match");
    let elements = |from: &[T]| Rows { from: from.as_ptr(), stride: 16, step: 16 * lanes };
    let output = |codes: &mut [u8], scales: &mut [u8], first: u64| Output {
        segments: Segments { first, lane: 1, step: lanes as u64 },
        codes: codes.as_mut_ptr(),
        lane_bytes: 8,
        step_bytes: 8 * lanes,
        scales: scales.as_mut_ptr(),
        count: scales.len() / lanes,
        globals: std::slice::from_ref(global),
    };
    // SAFETY: `count` groups of `lanes` blocks of 16 elements, 8 code bytes and a scale byte each
    // are within the slices.
    let mut map4 = unsafe { method.groups(&elements(input), &output(codes, scales, first)) };
    let rest = blocks % lanes;
    if rest > 0 {
        // The last blocks go through a group that is filled up with blocks of zeros.
        let done = blocks - rest;
        let mut last = [T::from_f32(0.0); 256];
        last[..16 * rest].copy_from_slice(&input[16 * done..]);
        let (mut last_codes, mut last_scales) = ([0; 128], [0; 16]);
        let first = first + done as u64;
        let output = output(&mut last_codes, &mut last_scales[..lanes], first);
        // SAFETY: one group of at most 16 blocks, for which there is room.
        map4 += unsafe { method.groups(&elements(&last), &output) };
        codes[8 * done..].copy_from_slice(&last_codes[..8 * rest]);
        scales[done..].copy_from_slice(&last_scales[..rest]);
    }
    map4
}

/// A strip of rows.
fn rows<T: Load>(method: Method<'_>, source: &Source<'_, T>, strip: &mut Strip<'_>) -> u64 {
    let length = source.length;
    let mut scales = vec![0; length / 16];
    let mut map4 = 0;
    for local in 0..strip.lines {
        let line_number = strip.first_line + local;
        let input = source.lines(line_number, 1);
        let global = *strip.global(local);
        let codes = &mut strip.codes[local * length / 2..][..length / 2];
        let first = source.segment(line_number, 0);
        map4 += line(method, input, codes, &mut scales, &global, first);
        strip.put_scales(local, 0, &scales);
    }
    map4
}

/// A strip of rows in tiles.
fn tile_rows<T: Load>(method: Method<'_>, source: &Source<'_, T>, strip: &mut Strip<'_>) -> u64 {
    let length = source.length;
    let mut scales = vec![0; length / 16];
    let mut packed = Vec::new();
    let mut map4 = 0;
    for local in (0..strip.lines).step_by(16) {
        let line = strip.first_line + local;
        let (input, stride) = even_stride(source, line, &mut packed);
        let codes = &mut strip.codes[local * length / 2..][..16 * length / 2];
        let first = source.segment(line, 0);
        let elements = Rows { from: input.as_ptr(), stride, step: 16 };
        let output = Output {
            segments: Segments { first, lane: source.segments_per_line, step: 1 },
            codes: codes.as_mut_ptr(),
            lane_bytes: length / 2,
            step_bytes: 8,
            scales: scales.as_mut_ptr(),
            count: scales.len(),
            globals: &strip.globals,
        };
        // SAFETY: 16 rows of `count` tiles are in `input`, their codes in `codes`, and there is
        // a scale for each tile.
        map4 += unsafe { method.tiles(&elements, &output) };
        for row in 0..16 {
            strip.put_scales(local + row, 0, &scales);
        }
    }
    map4
}

/// 16 rows and their stride; rows an odd number of elements apart, which pairs of elements are not
/// loaded from, are copied to `packed`.
fn even_stride<'a, T: Load>(
    source: &Source<'a, T>,
    first: usize,
    packed: &'a mut Vec<T>,
) -> (&'a [T], usize) {
    if source.stride.is_multiple_of(2) {
        return (source.lines(first, 16), source.stride);
    }
    packed.clear();
    (first..first + 16).for_each(|line| packed.extend_from_slice(source.lines(line, 1)));
    (packed, source.length)
}

/// A strip of columns, in tiles or not.
fn columns<T: Load>(
    method: Method<'_>,
    source: &Source<'_, T>,
    strip: &mut Strip<'_>,
    tiles: bool,
) -> u64 {
    let (lines, length) = (strip.lines, source.length);
    let width = if tiles { 16 } else { method.path.lanes() };
    let per_block = if tiles { lines / 16 } else { lines };
    let mut codes = vec![0; lines * 8 * BURST];
    let mut scales = vec![0; per_block * BURST];
    let mut map4 = 0;
    let blocks = length / 16;
    for first in (0..blocks).step_by(BURST) {
        let burst = BURST.min(blocks - first);
        for block in 0..burst {
            // The last element of the last row ends the bounds check.
            let from = source.index(strip.first_line, 16 * (first + block));
            let end = source.index(strip.first_line + lines - 1, 16 * (first + block) + 15) + 1;
            let from = source.input[from..end].as_ptr();
            let segments = source.segments_per_line;
            let elements = Columns { from, stride: source.stride, step: width };
            let output = Output {
                segments: Segments {
                    first: source.segment(strip.first_line, first + block),
                    lane: segments,
                    step: segments * width as u64,
                },
                codes: codes[block * 8..].as_mut_ptr(),
                lane_bytes: 8 * BURST,
                step_bytes: 8 * BURST * width,
                scales: scales[block * per_block..][..per_block].as_mut_ptr(),
                count: lines / width,
                globals: &strip.globals,
            };
            // SAFETY: 16 rows of `lines` columns are in the input, and the buffers have 8 code
            // bytes for each column every `8·BURST`, and a scale for each column or tile.
            map4 += unsafe {
                if tiles {
                    method.tiles(&elements, &output)
                } else {
                    method.groups(&elements, &output)
                }
            };
        }
        for line in 0..lines {
            let done = &codes[line * 8 * BURST..][..8 * burst];
            strip.codes[line * length / 2 + first * 8..][..8 * burst].copy_from_slice(done);
            let index = if tiles { line / 16 } else { line };
            let column: [u8; BURST] =
                std::array::from_fn(|block| scales[block * per_block + index]);
            strip.put_scales(line, first, &column[..burst]);
        }
    }
    map4
}
