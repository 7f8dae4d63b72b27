//! Row scaling in one pass: a block of threads finds a row's amax and quantizes the row, which it still
//! has: in L1, or where there are registers to spare (plain NVFP4), a thread's first blocks in those.

use super::block::{self, Encoded};
use super::block_wide;
use super::e4m3;
use super::exact::Strided;
use super::global_scale;
use super::input::Input;
use super::memory;
use super::metric::Metric;
use super::{ptx, thread};
use fouroversix_core::abi::{GlobalScale, QuantizeParams, SWIZZLED};

/// Encodes one row and stores it, its amax too.
#[inline(always)]
pub(crate) unsafe fn kernel<T: Input, M: Metric>(p: &QuantizeParams) {
    // SAFETY: the launch contract.
    unsafe {
        if thread::skipped(p) {
            return;
        }
        let tensor = &p.tensor;
        let row = thread::block()[0];
        let blocks = tensor.cols / 16;
        let first = row * blocks;
        let input = (tensor.input as *const u8).add(first as usize * 16 * T::BYTES as usize);
        // Every thread works out the scale: one that did it for all would keep them waiting.
        let (amax, mut held) = amax::<T>(input, blocks);
        let amax = block_wide::max_of_four_warps(amax);
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
            let strided = |thread: u32| Strided { at: at(block_of(thread)), stride: T::BYTES };
            let mut raw = held[0];
            if M::FOUR_OVER_SIX || first_of_pass >= HELD as u32 * thread::count() {
                raw = T::load(at(block));
            }
            held = [held[1], held[2], held[3], held[0]];
            let Encoded { codes, scale } =
                block::encode::<T, M, _>(raw, thread, strided, &global, p.flags);
            // Opaque, as in `tile_encode`.
            if ptx::opaque(u32::from(first_of_pass + thread < blocks)) != 0 {
                let index = (first + block) as usize;
                memory::store_v2((tensor.codes as *mut u8).add(index * 8), codes);
                let mut at = (tensor.scales as *mut u8).add(index);
                if p.flags & SWIZZLED != 0 {
                    at = thread::swizzled_at(tensor.scales, [tensor.rows, blocks], row, block);
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
/// blocks of that share. Past the end the last block is looked at again.
#[inline(always)]
unsafe fn amax<T: Input>(input: *const u8, blocks: u32) -> (f32, [T::Raw; HELD]) {
    // Four loads in flight.
    let load = |first: u32| {
        [0, 1, 2, 3].map(|i| {
            let block = (first + i * thread::count()).min(blocks - 1);
            // SAFETY: within the row.
            unsafe { T::load(input.add(block as usize * 16 * T::BYTES as usize)) }
        })
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
