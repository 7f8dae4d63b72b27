//! The part of an input that one task quantizes, and where its output goes.

use fouroversix_core::{InputShape, Panel, ScaleLayout};

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
    /// Of its first segment in the tensor that the input is a panel of, or is.
    first_segment: u64,
    /// From a line's first segment to the next line's.
    pub(crate) segments_per_line: u64,
}

impl<'a, T> Source<'a, T> {
    pub(crate) fn rows(input: &'a [T], shape: InputShape, panel: Option<Panel>) -> Self {
        let ([rows, cols], stride) = (shape.matrix(), shape.row_stride());
        let segments_per_line = (cols / 16) as u64;
        let first_row = panel.map_or(0, |panel| panel.first_row);
        let first_segment = first_row as u64 * segments_per_line;
        let (lines, length, columns) = (rows, cols, false);
        Self { input, lines, length, stride, columns, first_segment, segments_per_line }
    }

    pub(crate) fn columns(input: &'a [T], shape: InputShape, panel: Option<Panel>) -> Self {
        let ([rows, cols], stride) = (shape.matrix(), shape.row_stride());
        let Panel { first_row, rows: whole } = panel.unwrap_or(Panel { first_row: 0, rows });
        let (first_segment, segments_per_line) = ((first_row / 16) as u64, (whole / 16) as u64);
        let (lines, length, columns) = (cols, rows, true);
        Self { input, lines, length, stride, columns, first_segment, segments_per_line }
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

    /// The number of a line's segment among all.
    pub(crate) const fn segment(&self, line: usize, block: usize) -> u64 {
        self.first_segment + line as u64 * self.segments_per_line + block as u64
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
