//! Row scaling in one pass: a thread block reduces a row's amax, then quantizes the row from L1; under the
//! plain rule, which has registers to spare, a thread's first blocks stay in registers.

use super::global_scale;
use crate::decide::block;
use crate::decide::encoded::Encoded;
use crate::decide::metric::Metric;
use crate::decide::rounding::Rounding;
use crate::formats::{e4m3, scale_layout};
use crate::load::block::{Placed, Strided};
use crate::load::input::Input;
use crate::load::tensor;
use crate::load::transform::Identity;
use crate::ptx::{self, memory, thread, thread_block};
use fouroversix_core::abi::{GlobalScale, QuantizeParams, SWIZZLED};

/// Encodes one row and stores it, and its global scale.
#[inline(always)]
pub(crate) unsafe fn kernel<T: Input, M: Metric, R: Rounding>(p: &QuantizeParams, rounding: R) {
    // SAFETY: launch contract, clauses 1 to 7: a thread block for each row; loads are clamped to the row,
    // stores predicated on it.
    unsafe {
        if tensor::skipped(p) {
            return;
        }
        let tensor = &p.tensor;
        let row = thread::block()[0];
        let blocks = tensor.cols / 16;
        let first = row * blocks;
        let input = (tensor.input as *const u8).add(first as usize * 16 * T::BYTES as usize);
        // Every thread computes the global scale: another barrier would cost more.
        let (amax, mut held) = amax::<T>(input, blocks);
        let amax = thread_block::max_of_four_warps(amax);
        let global = global_scale::of_amax(amax, p.flags);
        if thread::index() == 0 {
            let out = (tensor.global as *mut GlobalScale).add(row as usize);
            global_scale::store(out, global);
        }
        let mut first_of_pass = 0;
        while first_of_pass < blocks {
            // Past the end the last block is encoded again and not stored: all lanes take part.
            let block_of = |thread: u32| (first_of_pass + thread).min(blocks - 1);
            let at = |block: u32| input.add(block as usize * 16 * T::BYTES as usize);
            let thread = thread::index();
            let block = block_of(thread);
            let placed = |thread: u32| Placed {
                block: Strided { at: at(block_of(thread)), stride: T::BYTES },
                segment: rounding.rowwise_segment(first + block_of(thread)),
            };
            let mut raw = held[0];
            if M::FOUR_OVER_SIX || first_of_pass >= HELD as u32 * thread::count() {
                raw = T::load(at(block));
            }
            held = [held[1], held[2], held[3], held[0]];
            let Encoded { codes, scale } = block::encode::<T, M, R, _, _>(
                raw,
                thread,
                placed,
                rounding,
                Identity,
                &global,
                M::OF_ERROR,
                p.flags,
            );
            // `opaque` for the reason in `decide/tile.rs`.
            if ptx::opaque(u32::from(first_of_pass + thread < blocks)) != 0 {
                let index = (first + block) as usize;
                memory::store_v2((tensor.codes as *mut u8).add(index * 8), codes);
                let mut at = (tensor.scales as *mut u8).add(index);
                if p.flags & SWIZZLED != 0 {
                    at =
                        scale_layout::swizzled_at(tensor.scales, [tensor.rows, blocks], row, block);
                }
                memory::store_b8(at, e4m3::byte(scale));
            }
            first_of_pass += thread::count();
        }
    }
}

/// Blocks that a thread loads at a time to find its row's amax.
const HELD: usize = 4;

/// The largest magnitude of this thread's share of a row of `blocks` blocks, NaN ignored, and the first
/// blocks of that share. Loads past the end are clamped to the last block.
#[inline(always)]
unsafe fn amax<T: Input>(input: *const u8, blocks: u32) -> (f32, [T::Raw; HELD]) {
    let load_one = |block: u32| {
        let block = block.min(blocks - 1);
        // SAFETY: within the row.
        unsafe { T::load(input.add(block as usize * 16 * T::BYTES as usize)) }
    };
    // Four loads in flight, written out: a loop over them may stay one, with the array in memory.
    let load = |first: u32| {
        let step = thread::count();
        [
            load_one(first),
            load_one(first + step),
            load_one(first + 2 * step),
            load_one(first + 3 * step),
        ]
    };
    let mut amax = T::Running::default();
    let mut first = thread::index();
    let held = load(first);
    let mut raws = held;
    loop {
        for raw in raws {
            amax = T::running_amax(amax, raw);
        }
        first += HELD as u32 * thread::count();
        if first >= blocks {
            return (T::finish_amax(amax), held);
        }
        raws = load(first);
    }
}
