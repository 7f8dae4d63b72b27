//! 1x16 blocks along rows: a thread for each block, neighbours side by side in memory.

use super::block::{self, Encoded};
use super::e4m3;
use super::exact::Strided;
use super::input::Input;
use super::memory;
use super::metric::Metric;
use super::{ptx, thread};
use fouroversix_core::abi::{GlobalScale, QuantizeParams, ROW_SCALED, SKIPPABLE, SWIZZLED};

/// Encodes one block of a row and stores it.
#[inline(always)]
pub(crate) unsafe fn kernel<T: Input, M: Metric, const GROUPED: bool>(p: &QuantizeParams) {
    // SAFETY: the launch contract: addresses and dimensions describe live memory.
    unsafe {
        let tensor = thread::tensor::<GROUPED>(p);
        // The grid of a group is that of its largest tensor; others have fewer blocks, or none.
        if GROUPED && thread::first_of_block() >= tensor.blocks {
            return;
        }
        // Past the end the last block is encoded again and not stored: all lanes take part.
        let block_of = |index: u32| index.min(tensor.blocks - 1);
        let index = thread::global_index();
        let block = block_of(index);
        // Opaque, as in `tile_encode`: copies of what follows for either answer would part the warp.
        let present = || ptx::opaque(u32::from(index < tensor.blocks)) != 0;
        let at = |block: u32| {
            (tensor.input as *const u8).wrapping_add(block as usize * 16 * T::BYTES as usize)
        };
        let raw = T::load(at(block));
        // The launch's one scale, or the first: its way is short, so it is under way early.
        let scales = tensor.global as *const GlobalScale;
        let mut global = thread::load_global(scales);
        let mut scale_at = (tensor.scales as *mut u8).add(block as usize);
        if p.flags & (ROW_SCALED | SWIZZLED | SKIPPABLE) != 0 {
            if thread::skipped(p) {
                return;
            }
            let row = tensor.by_blocks.divide(block);
            if p.flags & ROW_SCALED != 0 {
                global = thread::load_global(scales.add(row as usize));
            }
            if p.flags & SWIZZLED != 0 && present() {
                let blocks = tensor.cols / 16;
                let column = block - row * blocks;
                scale_at = thread::swizzled_at(tensor.scales, [tensor.rows, blocks], row, column);
            }
        }
        let strided = |index: u32| Strided { at: at(block_of(index)), stride: T::BYTES };
        let Encoded { codes, scale } =
            block::encode::<T, M, _>(raw, index, strided, &global, p.flags);
        if present() {
            memory::store_v2((tensor.codes as *mut u8).add(block as usize * 8), codes);
            memory::store_b8(scale_at, e4m3::byte(scale));
        }
    }
}
