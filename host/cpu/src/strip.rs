//! The part of an input that one task quantizes, and where its output goes.

use fouroversix_core::{InputShape, ScaleLayout};

use crate::scale::GlobalScale;

/// An input seen as lines to quantize along.
#[derive(Clone, Copy)]
pub(crate) struct Source<'a, T> {
    pub(crate) input: &'a [T],
    /// Number of lines and elements in each.
    pub(crate) lines: usize,
    pub(crate) length: usize,
    /// Elements from one row of the input to the next.
    pub(crate) stride: usize,
    /// Whether lines are columns of the input.
    pub(crate) columns: bool,
}

impl<'a, T> Source<'a, T> {
    pub(crate) fn rows(input: &'a [T], shape: InputShape) -> Self {
        let ([rows, cols], stride) = (shape.matrix(), shape.row_stride());
        Self { input, lines: rows, length: cols, stride, columns: false }
    }

    pub(crate) fn columns(input: &'a [T], shape: InputShape) -> Self {
        let ([rows, cols], stride) = (shape.matrix(), shape.row_stride());
        Self { input, lines: cols, length: rows, stride, columns: true }
    }

    /// Whether the input has no gaps.
    pub(crate) const fn is_contiguous(&self) -> bool {
        self.input.len() == self.lines * self.length
    }

    /// `count` lines that are rows, from `first` on, with the gaps between them.
    pub(crate) fn lines(&self, first: usize, count: usize) -> &'a [T] {
        &self.input[first * self.stride..][..(count - 1) * self.stride + self.length]
    }

    /// Where element `i` of a line is.
    pub(crate) fn index(&self, line: usize, i: usize) -> usize {
        if self.columns { i * self.stride + line } else { line * self.stride + i }
    }

    /// 1x16 segments of a line.
    pub(crate) const fn segments_per_line(&self) -> u64 {
        (self.length / 16) as u64
    }

    /// The number of a line's segment among all.
    pub(crate) const fn segment(&self, line: usize, block: usize) -> u64 {
        line as u64 * self.segments_per_line() + block as u64
    }
}

/// The part of the output that one task writes.
pub(crate) struct Strip<'a> {
    pub(crate) first_line: usize,
    pub(crate) lines: usize,
    pub(crate) length: usize,
    pub(crate) codes: &'a mut [u8],
    pub(crate) scales: &'a mut [u8],
    pub(crate) layout: ScaleLayout,
    /// One global scale for all, or one for each line.
    pub(crate) globals: Vec<GlobalScale>,
}

impl Strip<'_> {
    /// Writes the scales of the blocks of a line from `block` on.
    pub(crate) fn put_scales(&mut self, line: usize, block: usize, scales: &[u8]) {
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

    pub(crate) fn global(&self, line: usize) -> &GlobalScale {
        if self.globals.len() == 1 { &self.globals[0] } else { &self.globals[line] }
    }
}
