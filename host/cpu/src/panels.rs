//! Cuts a strip into panels that the vector kernel takes, and puts its scales where they belong.

use fouroversix_core::Rule;

use super::Path;
use super::kernel::Panel;
use super::lines::{Source, Strip};
use super::scale::GlobalScale;
use crate::element::CpuElement;

/// Blocks of a line whose codes fill a cache line: columns are quantized that many rows of blocks
/// at a time, so that whole cache lines are written.
const BURST: usize = 8;

/// Quantizes consecutive blocks with one global scale. Returns how many chose map4.
pub(super) fn line<T: CpuElement>(
    path: Path,
    input: &[T],
    codes: &mut [u8],
    scales: &mut [u8],
    global: &GlobalScale,
    rule: Rule,
) -> u64 {
    let lanes = path.lanes();
    let blocks = input.len() / 16;
    assert!(codes.len() == blocks * 8 && scales.len() == blocks, "buffers of a line do not match");
    let panel = |from: &[T], codes: &mut [u8], scales: &mut [u8]| Panel {
        from: from.as_ptr(),
        stride: 16,
        step: 16 * lanes,
        codes: codes.as_mut_ptr(),
        lane_bytes: 8,
        step_bytes: 8 * lanes,
        scales: scales.as_mut_ptr(),
        count: scales.len() / lanes,
        globals: std::slice::from_ref(global),
        rule,
    };
    // SAFETY: `count` groups of `lanes` blocks of 16 elements, 8 code bytes and a scale byte each
    // are within the slices.
    let mut map4 = unsafe { T::groups(path, false, &panel(input, codes, scales)) };
    let rest = blocks % lanes;
    if rest > 0 {
        // The last blocks go through a group that is filled up with blocks of zeros.
        let done = blocks - rest;
        let mut last = [T::from_f32(0.0); 256];
        last[..16 * rest].copy_from_slice(&input[16 * done..]);
        let (mut last_codes, mut last_scales) = ([0; 128], [0; 16]);
        let panel = panel(&last, &mut last_codes, &mut last_scales[..lanes]);
        // SAFETY: one group of at most 16 blocks, for which there is room.
        map4 += unsafe { T::groups(path, false, &panel) };
        codes[8 * done..].copy_from_slice(&last_codes[..8 * rest]);
        scales[done..].copy_from_slice(&last_scales[..rest]);
    }
    map4
}

/// A strip of rows.
pub(super) fn rows<T: CpuElement>(
    path: Path,
    source: &Source<'_, T>,
    strip: &mut Strip<'_>,
    rule: Rule,
) -> u64 {
    let length = source.length;
    let mut scales = vec![0; length / 16];
    let mut map4 = 0;
    for local in 0..strip.lines {
        let input = &source.input[(strip.first_line + local) * length..][..length];
        let global = *strip.global(local);
        let codes = &mut strip.codes[local * length / 2..][..length / 2];
        map4 += line(path, input, codes, &mut scales, &global, rule);
        strip.put_scales(local, 0, &scales);
    }
    map4
}

/// A strip of rows in tiles.
pub(super) fn tile_rows<T: CpuElement>(
    path: Path,
    source: &Source<'_, T>,
    strip: &mut Strip<'_>,
    rule: Rule,
) -> u64 {
    let length = source.length;
    let mut scales = vec![0; length / 16];
    let mut map4 = 0;
    for local in (0..strip.lines).step_by(16) {
        let input = &source.input[(strip.first_line + local) * length..][..16 * length];
        let codes = &mut strip.codes[local * length / 2..][..16 * length / 2];
        let panel = Panel {
            from: input.as_ptr(),
            stride: length,
            step: 16,
            codes: codes.as_mut_ptr(),
            lane_bytes: length / 2,
            step_bytes: 8,
            scales: scales.as_mut_ptr(),
            count: scales.len(),
            globals: &strip.globals,
            rule,
        };
        // SAFETY: 16 rows of `count` tiles are in `input`, their codes in `codes`, and there is
        // a scale for each tile.
        map4 += unsafe { T::tiles(path, false, &panel) };
        for row in 0..16 {
            strip.put_scales(local + row, 0, &scales);
        }
    }
    map4
}

/// A strip of columns, in tiles or not.
pub(super) fn columns<T: CpuElement>(
    path: Path,
    source: &Source<'_, T>,
    strip: &mut Strip<'_>,
    rule: Rule,
    tiles: bool,
) -> u64 {
    let (lines, length) = (strip.lines, source.length);
    let width = if tiles { 16 } else { path.lanes() };
    let per_panel = if tiles { lines / 16 } else { lines };
    let mut codes = vec![0; lines * 8 * BURST];
    let mut scales = vec![0; per_panel * BURST];
    let mut map4 = 0;
    let blocks = length / 16;
    for first in (0..blocks).step_by(BURST) {
        let burst = BURST.min(blocks - first);
        for block in 0..burst {
            // The last row of the panel ends the bounds check: its last column is its last element.
            let from = source.index(strip.first_line, 16 * (first + block));
            let end = source.index(strip.first_line + lines - 1, 16 * (first + block) + 15) + 1;
            let panel = Panel {
                from: source.input[from..end].as_ptr(),
                stride: source.lines,
                step: width,
                codes: codes[block * 8..].as_mut_ptr(),
                lane_bytes: 8 * BURST,
                step_bytes: 8 * BURST * width,
                scales: scales[block * per_panel..][..per_panel].as_mut_ptr(),
                count: lines / width,
                globals: &strip.globals,
                rule,
            };
            // SAFETY: 16 rows of `lines` columns are in the input, and the buffers have 8 code
            // bytes for each column every `8·BURST`, and a scale for each column or tile.
            map4 += unsafe {
                if tiles { T::tiles(path, true, &panel) } else { T::groups(path, true, &panel) }
            };
        }
        for line in 0..lines {
            let done = &codes[line * 8 * BURST..][..8 * burst];
            strip.codes[line * length / 2 + first * 8..][..8 * burst].copy_from_slice(done);
            let index = if tiles { line / 16 } else { line };
            let column: [u8; BURST] =
                std::array::from_fn(|block| scales[block * per_panel + index]);
            strip.put_scales(line, first, &column[..burst]);
        }
    }
    map4
}
