//! Work distribution: a quantization is cut into strips of output lines, a task each.
//!
//! An output line is a row of the input (rowwise) or a column of it (columnwise); either way it is
//! a row of the output, and the codes and scales of a strip are contiguous.

use fouroversix_kernels::config::{Config, ScaleLayout, Scaling};
use rayon::prelude::*;

use super::scalar::{self, Block, Candidate};
use super::scale::GlobalScale;
use crate::element::Element;
use crate::tensor::{Choices, Nvfp4Mut};

/// Lines of a strip, as long as that is a multiple of 128 in a swizzled layout (whose 128-line
/// tiles are then whole) and of 16 with tiles.
const STRIP: usize = 128;

/// An input seen as lines to quantize along.
#[derive(Clone, Copy)]
pub(super) struct Source<'a, T> {
    input: &'a [T],
    /// Number of lines and elements in each.
    lines: usize,
    length: usize,
    /// Distance in elements between neighbours along a line, and between lines.
    step: usize,
    line_step: usize,
}

impl<'a, T: Element> Source<'a, T> {
    pub(super) fn rows(input: &'a [T], [rows, cols]: [usize; 2]) -> Self {
        Self { input, lines: rows, length: cols, step: 1, line_step: cols }
    }

    pub(super) fn columns(input: &'a [T], [rows, cols]: [usize; 2]) -> Self {
        Self { input, lines: cols, length: rows, step: cols, line_step: 1 }
    }

    fn block(&self, line: usize, block: usize) -> Block {
        let start = line * self.line_step + block * 16 * self.step;
        std::array::from_fn(|i| self.input[start + i * self.step].to_f32())
    }

    fn line_amax(&self, line: usize) -> f32 {
        let elements = (0..self.length).map(|i| self.input[line * self.line_step + i * self.step]);
        elements.fold(0.0, |max, x| f32::max(max, x.to_f32().abs()))
    }
}

/// A quantization to run.
pub(super) struct Lines<'a> {
    pub(super) config: &'a Config,
    /// Whether the outputs' `global_amax` is filled in already.
    pub(super) amax_given: bool,
}

/// The part of the output that one task writes.
struct Strip<'a> {
    first_line: usize,
    codes: &'a mut [u8],
    scales: &'a mut [u8],
    layout: ScaleLayout,
    length: usize,
}

impl Strip<'_> {
    fn put(&mut self, line: usize, block: usize, candidate: &Candidate) {
        let local = line - self.first_line;
        self.scales[self.layout.offset(self.length, local, block)] = candidate.scale;
        let start = local * (self.length / 2) + block * 8;
        self.codes[start..start + 8].copy_from_slice(&candidate.packed());
    }
}

impl Lines<'_> {
    pub(super) fn quantize<T: Element>(&self, source: Source<'_, T>, out: Nvfp4Mut<'_>) -> Choices {
        let Source { lines, length, .. } = source;
        let Nvfp4Mut { codes, scales, global_amax } = out;
        if lines == 0 || length == 0 {
            if !self.amax_given {
                global_amax.fill(0.0);
            }
            return Choices::default();
        }
        let layout = self.config.scale_layout();
        let parts = codes
            .par_chunks_mut(STRIP * length / 2)
            .zip(scales.par_chunks_mut(layout.bytes(STRIP, length)))
            .enumerate();
        let strip = |(index, (codes, scales))| {
            let first_line = index * STRIP;
            Strip { first_line, codes, scales, layout, length }
        };
        if self.config.scaling() == Scaling::Row {
            parts
                .zip(global_amax.par_chunks_mut(STRIP))
                .map(|(part, amax)| self.by_row(&source, strip(part), amax))
                .sum()
        } else {
            let global = GlobalScale::new(global_amax[0], self.config.rule().e4m3_max());
            parts.map(|part| self.by_tensor(&source, strip(part), &global)).sum()
        }
    }

    /// A strip whose lines have an amax each.
    fn by_row<T: Element>(
        &self,
        source: &Source<'_, T>,
        mut strip: Strip<'_>,
        amax: &mut [f32],
    ) -> Choices {
        strip.scales.fill(0);
        let mut choices = Choices::default();
        for (local, amax) in amax.iter_mut().enumerate() {
            let line = strip.first_line + local;
            if !self.amax_given {
                *amax = source.line_amax(line);
            }
            let global = GlobalScale::new(*amax, self.config.rule().e4m3_max());
            choices = choices + self.line(source, &mut strip, line, &global);
        }
        choices
    }

    /// A strip of a tensor with one amax.
    fn by_tensor<T: Element>(
        &self,
        source: &Source<'_, T>,
        mut strip: Strip<'_>,
        global: &GlobalScale,
    ) -> Choices {
        strip.scales.fill(0);
        let first = strip.first_line;
        let end = (first + STRIP).min(source.lines);
        if self.config.scaling() == Scaling::Tile {
            (first..end).step_by(16).map(|line| self.tiles(source, &mut strip, line, global)).sum()
        } else {
            (first..end).map(|line| self.line(source, &mut strip, line, global)).sum()
        }
    }

    fn line<T: Element>(
        &self,
        source: &Source<'_, T>,
        strip: &mut Strip<'_>,
        line: usize,
        global: &GlobalScale,
    ) -> Choices {
        let mut choices = Choices::default();
        for block in 0..source.length / 16 {
            let elements = source.block(line, block);
            let (chosen, map4) = scalar::quantize_block(&elements, global, self.config.rule());
            strip.put(line, block, &chosen);
            choices.map4 += u64::from(map4);
            choices.blocks += 1;
        }
        choices
    }

    fn tiles<T: Element>(
        &self,
        source: &Source<'_, T>,
        strip: &mut Strip<'_>,
        line: usize,
        global: &GlobalScale,
    ) -> Choices {
        let mut choices = Choices::default();
        for block in 0..source.length / 16 {
            let rows = std::array::from_fn(|i| source.block(line + i, block));
            let (chosen, map4) = scalar::quantize_tile(&rows, global, self.config.rule());
            for (i, candidate) in chosen.iter().enumerate() {
                strip.put(line + i, block, candidate);
            }
            choices.map4 += u64::from(map4);
            choices.blocks += 1;
        }
        choices
    }
}
