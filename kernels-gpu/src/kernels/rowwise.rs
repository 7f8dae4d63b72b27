//! 1x16 blocks along rows: a thread for each block, loads and stores coalesced.

use crate::decide::block;
use crate::decide::encoded::Encoded;
use crate::decide::metric::Metric;
use crate::decide::rounding::Rounding;
use crate::formats::{e4m3, scale_layout};
use crate::load::block::{Placed, Strided};
use crate::load::input::Input;
use crate::load::tensor;
use crate::load::transform::Transform;
use crate::ptx::{self, memory, thread};
use fouroversix_core::abi::{GlobalScale, QuantizeParams, ROW_SCALED, SKIPPABLE, SWIZZLED};

/// Encodes one block of a row and stores it.
#[inline(always)]
pub(crate) unsafe fn kernel<T: Input, M: Metric, R: Rounding, X: Transform, const GROUPED: bool>(
    p: &QuantizeParams,
    rounding: R,
    [transform, _]: [X; 2],
) {
    // SAFETY: launch contract, clauses 2 to 7: every access is of a block below `tensor.blocks`.
    unsafe {
        let tensor = tensor::of_launch::<GROUPED>(p);
        // The grid is the largest tensor's: others have fewer blocks, or none.
        if GROUPED && thread::first_of_block() >= tensor.blocks {
            return;
        }
        // Threads past the end encode the last block and store nothing: votes and shuffles need all lanes.
        let block_of = |index: u32| index.min(tensor.blocks - 1);
        let index = thread::global_index();
        let block = block_of(index);
        // `opaque` for the reason in `decide/tile.rs`: no duplicated shuffles.
        let present = || ptx::opaque(u32::from(index < tensor.blocks)) != 0;
        let at = |block: u32| {
            (tensor.input as *const u8).wrapping_add(block as usize * 16 * T::BYTES as usize)
        };
        let raw = T::load(at(block));
        // Loaded early to hide its latency: the launch's one global scale, or the first.
        let scales = tensor.global as *const GlobalScale;
        let mut global = tensor::load_global(scales);
        let mut scale_at = (tensor.scales as *mut u8).add(block as usize);
        if p.flags & (ROW_SCALED | SWIZZLED | SKIPPABLE) != 0 {
            if tensor::skipped(p) {
                return;
            }
            let row = tensor.by_blocks.divide(block);
            if p.flags & ROW_SCALED != 0 {
                global = tensor::load_global(scales.add(row as usize));
            }
            if p.flags & SWIZZLED != 0 && present() {
                let blocks = tensor.cols / 16;
                let column = block - row * blocks;
                scale_at =
                    scale_layout::swizzled_at(tensor.scales, [tensor.rows, blocks], row, column);
            }
        }
        let rounding = rounding.of_output(tensor::number::<GROUPED>(), false);
        let placed = |index: u32| Placed {
            block: Strided { at: at(block_of(index)), stride: T::BYTES },
            segment: rounding.rowwise_segment(index),
        };
        let Encoded { codes, scale } = block::encode::<T, M, R, X, _>(
            raw,
            index,
            placed,
            rounding,
            transform,
            &global,
            M::OF_ERROR,
            p.flags,
        );
        if present() {
            memory::store_v2((tensor.codes as *mut u8).add(block as usize * 8), codes);
            memory::store_b8(scale_at, e4m3::byte(scale));
        }
    }
}
