//! 1x16 blocks along rows: a thread for each block, neighbours side by side in memory.

use super::block::{self, Encoded};
use super::exact::{self, Strided};
use super::input::Input;
use super::memory;
use super::metric::Metric;
use super::thread;
use crate::abi::{GlobalScale, QuantizeParams, ROW_SCALED, SKIPPABLE, SWIZZLED};

/// Encodes one block of a row and stores it.
#[inline(always)]
pub(crate) unsafe fn kernel<T: Input, M: Metric, const GROUPED: bool>(p: &QuantizeParams) {
    // SAFETY: the launch contract: addresses and dimensions describe live memory.
    unsafe {
        let tensor = thread::tensor::<GROUPED>(p);
        let block = thread::global_index();
        if block >= tensor.blocks {
            return;
        }
        let at = (tensor.input as *const u8).add(block as usize * 16 * T::BYTES as usize);
        let raw = T::load(at);
        let mut global = tensor.global as *const GlobalScale;
        let mut row = 0;
        if p.flags & (ROW_SCALED | SWIZZLED | SKIPPABLE) != 0 {
            if thread::skipped(p) {
                return;
            }
            row = tensor.by_blocks.divide(block);
            if p.flags & ROW_SCALED != 0 {
                global = global.add(row as usize);
            }
        }
        let global = thread::load_global(global);
        let store = |encoded: Encoded| {
            memory::store_v2((tensor.codes as *mut u8).add(block as usize * 8), encoded.codes);
            if p.flags & SWIZZLED != 0 {
                let blocks = tensor.cols / 16;
                let column = block - row * blocks;
                let shape = [tensor.rows, blocks];
                thread::store_swizzled(tensor.scales, shape, row, column, encoded.scale);
            } else {
                memory::store_b8((tensor.scales as *mut u8).add(block as usize), encoded.scale);
            }
        };
        match block::encode::<M>(&T::widen(raw), T::signs(raw), T::amax(raw), &global) {
            Some(encoded) => store(encoded),
            None => {
                let block = Strided { at, stride: T::BYTES };
                store(exact::encode::<T, M>(block, &global, p.flags));
            }
        }
    }
}
