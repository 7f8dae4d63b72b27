//! Work distribution: a quantization is cut into strips of output lines, a task each.
//!
//! An output line is a row of the input (rowwise) or a column of it (columnwise); either way it is
//! a row of the output, and the codes and scales of a strip are contiguous.

use fouroversix_core::{Choices, Config, Nvfp4Mut, Rule, ScaleLayout, Scaling};
use rayon::prelude::*;

use super::scalar::{self, Block, Candidate};
use super::scale::GlobalScale;
use super::{Path, amax, panels};
use crate::element::CpuElement;

/// Lines of a strip: whole 128-line tiles of a swizzled scale layout, whole 16-line tiles.
pub(super) const STRIP: usize = 128;

/// Elements of a task where lines do not matter: its input and output stay in a core's cache.
const FLAT: usize = 1 << 17;

/// An input seen as lines to quantize along.
#[derive(Clone, Copy)]
pub(super) struct Source<'a, T> {
    pub(super) input: &'a [T],
    /// Number of lines and elements in each.
    pub(super) lines: usize,
    pub(super) length: usize,
    /// Whether lines are columns of the input.
    pub(super) columns: bool,
}

impl<'a, T: CpuElement> Source<'a, T> {
    pub(super) fn rows(input: &'a [T], [rows, cols]: [usize; 2]) -> Self {
        Self { input, lines: rows, length: cols, columns: false }
    }

    pub(super) fn columns(input: &'a [T], [rows, cols]: [usize; 2]) -> Self {
        Self { input, lines: cols, length: rows, columns: true }
    }

    /// Where element `i` of a line is.
    pub(super) fn index(&self, line: usize, i: usize) -> usize {
        if self.columns { i * self.lines + line } else { line * self.length + i }
    }

    fn block(&self, line: usize, block: usize) -> Block {
        std::array::from_fn(|i| self.input[self.index(line, 16 * block + i)].to_f32())
    }
}

/// A quantization to run.
pub(super) struct Lines<'a> {
    pub(super) path: Path,
    pub(super) config: &'a Config,
    /// Whether the outputs' `global_amax` is filled in already.
    pub(super) amax_given: bool,
}

/// The part of the output that one task writes.
pub(super) struct Strip<'a> {
    pub(super) first_line: usize,
    pub(super) lines: usize,
    pub(super) length: usize,
    pub(super) codes: &'a mut [u8],
    pub(super) scales: &'a mut [u8],
    pub(super) layout: ScaleLayout,
    /// One global scale for all, or one for each line.
    pub(super) globals: Vec<GlobalScale>,
}

impl Strip<'_> {
    /// Writes the scales of the blocks of a line from `block` on.
    pub(super) fn put_scales(&mut self, line: usize, block: usize, scales: &[u8]) {
        match self.layout {
            ScaleLayout::Linear => {
                let start = self.layout.offset(self.length, line, block);
                self.scales[start..start + scales.len()].copy_from_slice(scales);
            }
            ScaleLayout::Swizzled128x4 => {
                for (i, scale) in scales.iter().enumerate() {
                    self.scales[self.layout.offset(self.length, line, block + i)] = *scale;
                }
            }
        }
    }

    pub(super) fn global(&self, line: usize) -> &GlobalScale {
        if self.globals.len() == 1 { &self.globals[0] } else { &self.globals[line] }
    }

    fn put(&mut self, line: usize, block: usize, candidate: &Candidate) {
        self.put_scales(line, block, &[candidate.scale]);
        let start = line * (self.length / 2) + block * 8;
        self.codes[start..start + 8].copy_from_slice(&candidate.packed());
    }
}

impl Lines<'_> {
    pub(super) fn quantize<T: CpuElement>(
        &self,
        source: Source<'_, T>,
        out: Nvfp4Mut<'_>,
    ) -> Choices {
        let Source { lines, length, columns, .. } = source;
        let Nvfp4Mut { codes, scales, global_amax } = out;
        if lines == 0 || length == 0 {
            if !self.amax_given {
                global_amax.fill(0.0);
            }
            return Choices::default();
        }
        let layout = self.config.scale_layout();
        let by_row = self.config.scaling() == Scaling::Row;
        let bound = self.config.rule().e4m3_max();
        if self.config.scaling() == Scaling::Tensor && layout == ScaleLayout::Linear && !columns {
            let global = GlobalScale::new(global_amax[0], bound);
            return self.flat(source.input, codes, scales, global);
        }
        let mut amax = global_amax.chunks_mut(if by_row { STRIP } else { 1 });
        let one = if by_row { &mut [] } else { amax.next().unwrap_or_default() };
        let one = one.first().map(|amax| GlobalScale::new(*amax, bound));
        let strips: Vec<_> = codes
            .chunks_mut(STRIP * length / 2)
            .zip(scales.chunks_mut(layout.bytes(STRIP, length)))
            .enumerate()
            .map(|(i, (codes, scales))| (i * STRIP, codes, scales, amax.next().unwrap_or_default()))
            .collect();
        // Backwards: the amax pass went forwards, and left the end of the input in the cache.
        let run = |(first_line, codes, scales, amax): (_, _, _, &mut [f32])| {
            let lines = STRIP.min(lines - first_line);
            if by_row && !self.amax_given {
                self.line_amax(&source, first_line, amax);
            }
            let globals: Vec<_> = match one {
                Some(one) => vec![one],
                None => amax.iter().map(|amax| GlobalScale::new(*amax, bound)).collect(),
            };
            let strip = Strip { first_line, lines, length, codes, scales, layout, globals };
            self.strip(&source, strip)
        };
        let map4 = strips.into_par_iter().rev().map(run).sum();
        let tile = if self.config.scaling() == Scaling::Tile { 16 } else { 1 };
        Choices { map4, blocks: (lines / tile * (length / 16)) as u64 }
    }

    /// Rowwise with one amax and no padding: lines do not matter, only blocks.
    fn flat<T: CpuElement>(
        &self,
        input: &[T],
        codes: &mut [u8],
        scales: &mut [u8],
        global: GlobalScale,
    ) -> Choices {
        let rule = self.config.rule();
        let map4 = input
            .par_chunks(FLAT)
            .zip(codes.par_chunks_mut(FLAT / 2))
            .zip(scales.par_chunks_mut(FLAT / 16))
            .rev()
            .map(|((input, codes), scales)| {
                quantize_line(self.path, input, codes, scales, &global, rule)
            })
            .sum();
        Choices { map4, blocks: (input.len() / 16) as u64 }
    }

    fn line_amax<T: CpuElement>(&self, source: &Source<'_, T>, first_line: usize, out: &mut [f32]) {
        let (path, input) = (self.path, source.input);
        if source.columns {
            amax::columns(path, input, source.lines, first_line, out);
        } else {
            let rows = input[first_line * source.length..].chunks(source.length);
            for (out, row) in out.iter_mut().zip(rows) {
                *out = amax::slice(path, row);
            }
        }
    }

    fn strip<T: CpuElement>(&self, source: &Source<'_, T>, mut strip: Strip<'_>) -> u64 {
        if self.config.scale_layout() == ScaleLayout::Swizzled128x4 {
            strip.scales.fill(0);
        }
        let rule = self.config.rule();
        let tiles = self.config.scaling() == Scaling::Tile;
        match (self.path, source.columns, tiles) {
            (Path::Scalar, _, true) => scalar_tiles(source, &mut strip, rule),
            (Path::Scalar, _, false) => scalar_lines(source, &mut strip, rule),
            (path, true, _) => panels::columns(path, source, &mut strip, rule, tiles),
            (path, false, true) => panels::tile_rows(path, source, &mut strip, rule),
            (path, false, false) => panels::rows(path, source, &mut strip, rule),
        }
    }
}

/// Quantizes consecutive blocks; `scales` has a byte for each. Returns how many chose map4.
pub(super) fn quantize_line<T: CpuElement>(
    path: Path,
    input: &[T],
    codes: &mut [u8],
    scales: &mut [u8],
    global: &GlobalScale,
    rule: Rule,
) -> u64 {
    if path != Path::Scalar {
        return panels::line(path, input, codes, scales, global, rule);
    }
    let mut map4 = 0;
    let blocks = input.chunks_exact(16).zip(codes.chunks_exact_mut(8)).zip(scales);
    for ((input, codes), scale) in blocks {
        let block = std::array::from_fn(|i| input[i].to_f32());
        let (chosen, is_map4) = scalar::quantize_block(&block, global, rule);
        codes.copy_from_slice(&chosen.packed());
        *scale = chosen.scale;
        map4 += u64::from(is_map4);
    }
    map4
}

fn scalar_lines<T: CpuElement>(source: &Source<'_, T>, strip: &mut Strip<'_>, rule: Rule) -> u64 {
    let mut map4 = 0;
    for line in 0..strip.lines {
        let global = *strip.global(line);
        for block in 0..source.length / 16 {
            let elements = source.block(strip.first_line + line, block);
            let (chosen, is_map4) = scalar::quantize_block(&elements, &global, rule);
            strip.put(line, block, &chosen);
            map4 += u64::from(is_map4);
        }
    }
    map4
}

fn scalar_tiles<T: CpuElement>(source: &Source<'_, T>, strip: &mut Strip<'_>, rule: Rule) -> u64 {
    let mut map4 = 0;
    let global = *strip.global(0);
    for line in (0..strip.lines).step_by(16) {
        for block in 0..source.length / 16 {
            let rows = std::array::from_fn(|i| source.block(strip.first_line + line + i, block));
            let (chosen, is_map4) = scalar::quantize_tile(&rows, &global, rule);
            for (i, candidate) in chosen.iter().enumerate() {
                strip.put(line + i, block, candidate);
            }
            map4 += u64::from(is_map4);
        }
    }
    map4
}
