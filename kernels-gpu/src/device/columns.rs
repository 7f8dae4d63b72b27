//! 1x16 blocks that run down columns, alone or beside those along rows.
//!
//! A block of 256 threads takes 64x64 elements, which it reads once. A thread has one block of 16
//! along a row, straight from memory, and one down a column, by way of shared memory; four
//! neighbours write 32 bytes of a line of codes together, either way.

use super::block::{self, Encoded};
use super::exact::Strided;
use super::input::Input;
use super::memory;
use super::metric::Metric;
use super::ptx;
use super::shared;
use super::staged::{self, EDGE};
use super::thread;
use crate::abi::{GlobalScale, QuantizeParams, ROW_SCALED, SWIZZLED};

/// One of the two outputs.
struct Output {
    codes: u64,
    scales: u64,
    global: u64,
    /// Lines, and blocks of 16 in each.
    shape: [u32; 2],
    /// The thread's place among them.
    line: u32,
    block: u32,
}

impl Output {
    #[inline(always)]
    fn present(&self) -> bool {
        self.line < self.shape[0] && self.block < self.shape[1]
    }

    #[inline(always)]
    fn index(&self) -> u32 {
        self.line * self.shape[1] + self.block
    }

    /// Encodes the thread's block and stores it.
    #[inline(always)]
    unsafe fn quantize<T: Input, M: Metric>(
        &self,
        raw: T::Raw,
        place: impl Fn() -> Strided,
        flags: u32,
    ) {
        // SAFETY: the launch contract, for a block that is present.
        unsafe {
            let mut global = self.global as *const GlobalScale;
            // 4over6 with a scale for each row has no columnwise output.
            if !M::FOUR_OVER_SIX && flags & ROW_SCALED != 0 {
                global = global.add(self.line as usize);
            }
            let global = thread::load_global(global);
            let Encoded { codes, scale } = block::encode::<T, M>(raw, place, &global, flags);
            let index = self.index() as usize;
            memory::store_v2((self.codes as *mut u8).add(index * 8), codes);
            let mut at = (self.scales as *mut u8).add(index);
            if flags & SWIZZLED != 0 {
                at = thread::swizzled_at(self.scales, self.shape, self.line, self.block);
            }
            memory::store_b8(at, scale);
        }
    }
}

/// Encodes 64x64 elements and stores them.
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
        if y * EDGE >= tensor.rows || x * EDGE >= tensor.cols {
            return;
        }
        let thread = thread::index();
        let (line, block) = (thread / 4, thread % 4);
        let rowwise = Output {
            codes: tensor.codes,
            scales: tensor.scales,
            global: tensor.global,
            shape: [tensor.rows, tensor.cols / 16],
            line: y * EDGE + line,
            block: x * (EDGE / 16) + block,
        };
        let input = tensor.input as *const u8;
        let at = input.wrapping_add(rowwise.index() as usize * 16 * T::BYTES as usize);
        let present = rowwise.present();
        let raw = if present { T::load(at) } else { T::zeros() };
        staged::store::<T>(thread, raw);
        if ROWWISE && present {
            rowwise.quantize::<T, M>(raw, || Strided { at, stride: T::BYTES }, p.flags);
        }
        shared::barrier();
        let raw = staged::load_column::<T>(thread);
        let columnwise = Output {
            codes: tensor.codes_t,
            scales: tensor.scales_t,
            // In 4over6 the tensor has one scale for both outputs, which is at hand.
            global: if ROWWISE && M::FOUR_OVER_SIX { tensor.global } else { tensor.global_t },
            shape: [tensor.cols, tensor.rows / 16],
            line: x * EDGE + line,
            block: y * (EDGE / 16) + block,
        };
        if columnwise.present() {
            let place = || {
                // Opaque, or the compiler would work it out on the hot path.
                let stride = u64::from(ptx::opaque(tensor.cols)) * T::BYTES;
                let first = u64::from(columnwise.block) * 16 * stride;
                let at = first + u64::from(columnwise.line) * T::BYTES;
                Strided { at: input.wrapping_add(at as usize), stride }
            };
            columnwise.quantize::<T, M>(raw, place, p.flags);
        }
    }
}
