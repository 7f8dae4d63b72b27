//! 1x16 blocks that run down columns, alone or beside those along rows.
//!
//! A block of 256 threads takes 64 columns of 256 rows (128 of FP32), which it reads once: all of it
//! is on its way to shared memory before any is looked at. Then come its squares of 64x64, without
//! another barrier. In each a thread has one block of 16 along a row and one down a column; four
//! neighbours write 32 bytes of a line of codes together, either way.

use super::block::{self, Encoded};
use super::exact::Strided;
use super::input::Input;
use super::memory;
use super::metric::Metric;
use super::ptx;
use super::shared;
use super::staged::{EDGE, Square};
use super::thread;
use crate::abi::{GlobalScale, QuantizeParams, ROW_SCALED, SWIZZLED};

/// One of the two outputs: its lines (rows or columns) of blocks.
struct Output {
    codes: u64,
    scales: u64,
    /// One for the tensor, or with [`ROW_SCALED`] one for each line.
    globals: u64,
    lines: u32,
    /// Blocks of a line.
    blocks: u32,
}

/// A thread's block among them.
#[derive(Clone, Copy)]
struct Place {
    line: u32,
    block: u32,
    /// `line · blocks + block`.
    index: u32,
}

impl Output {
    #[inline(always)]
    fn place(&self, line: u32, block: u32) -> Place {
        Place { line, block, index: line * self.blocks + block }
    }

    #[inline(always)]
    fn has(&self, place: Place) -> bool {
        place.line < self.lines && place.block < self.blocks
    }

    /// Encodes a block and stores it. `global` is the tensor's.
    #[inline(always)]
    unsafe fn quantize<T: Input, M: Metric>(
        &self,
        place: Place,
        raw: T::Raw,
        strided: impl Fn() -> Strided,
        global: &GlobalScale,
        flags: u32,
    ) {
        // SAFETY: the launch contract, for a block that is there.
        unsafe {
            let mut global = *global;
            // 4over6 with a scale for each row has no columnwise output.
            if !M::FOUR_OVER_SIX && flags & ROW_SCALED != 0 {
                let globals = self.globals as *const GlobalScale;
                global = thread::load_global(globals.add(place.line as usize));
            }
            let index = place.index as usize;
            let mut scale_at = (self.scales as *mut u8).add(index);
            if flags & SWIZZLED != 0 {
                let shape = [self.lines, self.blocks];
                scale_at = thread::swizzled_at(self.scales, shape, place.line, place.block);
            }
            block::encode_then::<T, M>(raw, strided, &global, flags, |Encoded { codes, scale }| {
                memory::store_v2((self.codes as *mut u8).add(index * 8), codes);
                memory::store_b8(scale_at, scale);
            });
        }
    }
}

/// Encodes 64 columns of 256 or 128 rows and stores them.
#[inline(always)]
pub(crate) unsafe fn kernel<T: Input, M: Metric, const ROWWISE: bool, const GROUPED: bool>(
    p: &QuantizeParams,
) {
    // SAFETY: the launch contract.
    unsafe {
        if thread::skipped(p) {
            return;
        }
        let tensor = thread::tensor::<GROUPED>(p);
        let [x, y, _] = thread::block();
        let squares = 8 / T::BYTES as u32;
        let (first_row, first_column) = (y * (squares * EDGE), x * EDGE);
        if first_row >= tensor.rows || first_column >= tensor.cols {
            return;
        }
        let (rows, cols) = (tensor.rows, tensor.cols);
        let rowwise = Output {
            codes: tensor.codes,
            scales: tensor.scales,
            globals: tensor.global,
            lines: rows,
            blocks: cols / 16,
        };
        let columnwise = Output {
            codes: tensor.codes_t,
            scales: tensor.scales_t,
            globals: tensor.global_t,
            lines: cols,
            blocks: rows / 16,
        };
        let thread = thread::index();
        let (line, block) = (thread / 4, thread % 4);
        let row = rowwise.place(first_row + line, first_column / 16 + block);

        let input = tensor.input as *const u8;
        let block_bytes = 16 * T::BYTES as usize;
        let mut from = input.wrapping_add(row.index as usize * block_bytes);
        let down = EDGE * rowwise.blocks;
        for square in 0..squares {
            let here = Place { line: row.line + square * EDGE, ..row };
            Square::new::<T>(square).copy_row::<T>(thread, from, rowwise.has(here));
            from = from.wrapping_add(down as usize * block_bytes);
        }
        let global = if ROWWISE { rowwise.globals } else { columnwise.globals };
        let global = thread::load_global(global as *const GlobalScale);
        shared::cp_async_wait_all();
        shared::barrier();

        // A loop to the compiler as well: see `exact::sixteen`.
        for square in 0..squares + (p.flags >> 31) {
            // Where a thread stands is worked out anew: held, it would cost the hot loop registers.
            let thread = ptx::opaque(thread);
            let (line, block) = (thread / 4, thread % 4);
            let first_row = first_row + square * EDGE;
            let square = Square::new::<T>(square);
            let row = rowwise.place(first_row + line, first_column / 16 + block);
            if ROWWISE && rowwise.has(row) {
                let strided = || {
                    let at = row.index as usize * block_bytes;
                    Strided { at: input.wrapping_add(at), stride: T::BYTES }
                };
                let raw = square.load_row::<T>(thread);
                rowwise.quantize::<T, M>(row, raw, strided, &global, p.flags);
            }
            let thread = ptx::opaque(thread);
            let (line, block) = (thread / 4, thread % 4);
            let raw = square.load_column::<T>(thread);
            let column = columnwise.place(first_column + line, first_row / 16 + block);
            if columnwise.has(column) {
                let strided = || {
                    // Opaque, or the compiler would work it out on the hot path.
                    let stride = u64::from(ptx::opaque(cols)) * T::BYTES;
                    let at = u64::from(column.block) * 16 * stride;
                    let at = at + u64::from(column.line) * T::BYTES;
                    Strided { at: input.wrapping_add(at as usize), stride }
                };
                columnwise.quantize::<T, M>(column, raw, strided, &global, p.flags);
            }
        }
    }
}
