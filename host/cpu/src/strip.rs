//! The part of an input that one task quantizes, and where its output goes.

use std::marker::PhantomData;

use fouroversix_core::{InputShape, Panel, ScaleLayout};

use crate::scale::GlobalScale;
use crate::simd::{prefetch, prefetch_bytes};

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
        self.part(first, count, 0, self.length)
    }

    /// `length` elements, from `i` on, of `count` lines from `first` on, with what lies between them.
    pub(crate) fn part(&self, first: usize, count: usize, i: usize, length: usize) -> &'a [T] {
        &self.input[self.index(first, i)..=self.index(first + count - 1, i + length - 1)]
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

/// Bytes of codes of a target that a core's cache does not hold.
const LARGE: usize = 1 << 21;

/// An output, or some of its lines, which tasks write parts of.
#[derive(Clone, Copy)]
pub(crate) struct Target<'a> {
    /// The line that is its first.
    first_line: usize,
    length: usize,
    codes: Part<'a>,
    scales: Part<'a>,
    layout: ScaleLayout,
}

/// Bytes that several tasks write, each others.
#[derive(Clone, Copy)]
struct Part<'a> {
    bytes: *mut u8,
    length: usize,
    of: PhantomData<&'a mut [u8]>,
}

// SAFETY: who writes says that nobody else writes there.
unsafe impl Send for Part<'_> {}
// SAFETY: as above.
unsafe impl Sync for Part<'_> {}

impl<'a> Part<'a> {
    fn new(bytes: &'a mut [u8]) -> Self {
        Self { bytes: bytes.as_mut_ptr(), length: bytes.len(), of: PhantomData }
    }

    /// Some of the bytes.
    ///
    /// # Safety
    /// Nobody else uses them meanwhile.
    unsafe fn get(&self, first: usize, count: usize) -> &'a mut [u8] {
        assert!(first <= self.length && count <= self.length - first, "bytes of an output");
        // SAFETY: the caller's, and as asserted.
        unsafe { std::slice::from_raw_parts_mut(self.bytes.add(first), count) }
    }
}

impl<'a> Target<'a> {
    /// Lines of `length` elements, from `first_line` on.
    pub(crate) fn new(
        first_line: usize,
        length: usize,
        codes: &'a mut [u8],
        scales: &'a mut [u8],
        layout: ScaleLayout,
    ) -> Self {
        Self { first_line, length, codes: Part::new(codes), scales: Part::new(scales), layout }
    }

    /// Bytes of codes from the beginning of a cache line to the target, whole blocks.
    pub(crate) fn place_in_cache_line(&self) -> usize {
        self.codes.bytes.addr() % 64 / 8 * 8
    }
}

/// The part of the output that one task writes at a time.
pub(crate) struct Strip<'a> {
    pub(crate) first_line: usize,
    pub(crate) lines: usize,
    pub(crate) first_block: usize,
    pub(crate) blocks: usize,
    /// One global scale for all, or one for each line.
    pub(crate) globals: Vec<GlobalScale>,
    target: Target<'a>,
}

impl<'a> Strip<'a> {
    /// Lines and blocks of `target`.
    ///
    /// # Safety
    /// Nobody else writes them meanwhile.
    pub(crate) unsafe fn new(
        target: Target<'a>,
        [first_line, lines]: [usize; 2],
        [first_block, blocks]: [usize; 2],
        globals: Vec<GlobalScale>,
    ) -> Self {
        let end = (first_line + lines - target.first_line) * target.length / 2;
        assert!(first_line >= target.first_line && end <= target.codes.length, "lines of a strip");
        assert!(first_block + blocks <= target.length / 16, "blocks of a strip");
        Self { first_line, lines, first_block, blocks, globals, target }
    }

    /// A tile of it, for as long as nobody writes there through another.
    pub(crate) fn tile(&mut self, line: usize, block: usize) -> Strip<'a> {
        let (first_line, first_block) = (self.first_line + line, self.first_block + block);
        // SAFETY: a part of the strip.
        unsafe { Self::new(self.target, [first_line, 16], [first_block, 1], self.globals.clone()) }
    }

    /// Where the codes of a block are: those of the lines' blocks are `line_bytes` apart.
    pub(crate) fn codes(&mut self, line: usize, block: usize) -> *mut u8 {
        assert!(line < self.lines && block < self.blocks, "codes of a strip");
        let first = (self.first_line - self.target.first_line + line) * self.line_bytes();
        // SAFETY: within the target.
        unsafe { self.target.codes.bytes.add(first + 8 * (self.first_block + block)) }
    }

    /// Bytes of codes from a line to the next.
    pub(crate) fn line_bytes(&self) -> usize {
        self.target.length / 2
    }

    /// The codes of `blocks` blocks of a line.
    pub(crate) fn line_codes(&mut self, line: usize, block: usize, blocks: usize) -> &mut [u8] {
        assert!(blocks <= self.blocks - block, "codes of a strip");
        // SAFETY: the strip's, as its maker says.
        unsafe { std::slice::from_raw_parts_mut(self.codes(line, block), 8 * blocks) }
    }

    /// Asks for the cache lines that it is written to: as far apart as they are, no processor foresees
    /// them, and each is read before it is written.
    pub(crate) fn prefetch(&mut self) {
        let Target { layout, length, first_line, scales, .. } = self.target;
        for line in 0..self.lines {
            prefetch_bytes(self.codes(line, 0), 8 * self.blocks);
            let line = self.first_line - first_line + line;
            prefetch(scales.bytes.wrapping_add(layout.offset(length, line, self.first_block)));
        }
    }

    /// Whether the codes are too many to stay in a cache.
    pub(crate) fn is_large(&self) -> bool {
        self.target.codes.length >= LARGE
    }

    /// Writes the scales of the blocks of a line from `block` on.
    pub(crate) fn put_scales(&mut self, line: usize, block: usize, mut scales: &[u8]) {
        assert!(line < self.lines && scales.len() <= self.blocks - block, "scales of a strip");
        let Target { layout, length, first_line, scales: all, .. } = self.target;
        let (line, mut block) = (self.first_line - first_line + line, self.first_block + block);
        while !scales.is_empty() {
            let together = match layout {
                ScaleLayout::Linear => scales.len(),
                ScaleLayout::Swizzled128x4 => scales.len().min(4 - block % 4),
            };
            let (now, rest) = scales.split_at(together);
            // SAFETY: the strip's, as its maker says.
            let to = unsafe { all.get(layout.offset(length, line, block), together) };
            to.copy_from_slice(now);
            (scales, block) = (rest, block + together);
        }
    }

    pub(crate) fn global(&self, line: usize) -> &GlobalScale {
        if self.globals.len() == 1 { &self.globals[0] } else { &self.globals[line] }
    }
}
