//! Reductions over a thread block, through shared memory.

use core::arch::asm;

use super::{shared, thread};

/// The largest `u32` of the warp.
#[inline(always)]
fn warp_max(v: u32) -> u32 {
    let d: u32;
    // SAFETY: no divergence here: callers are uniform over the warp.
    unsafe {
        asm!("redux.sync.max.u32 {d}, {v}, 0xffffffff;", d = lateout(reg32) d, v = in(reg32) v,
             options(nostack, preserves_flags));
    }
    d
}

/// The largest of all threads' non-negative values, for the first warp. Whole warps only.
#[inline(always)]
pub(crate) unsafe fn max(value: f32) -> f32 {
    // Non-negative floats order as their bits do.
    let bits = warp_max(value.to_bits());
    let (thread, warps) = (thread::index(), thread::count() / 32);
    // SAFETY: launch contract, clause 1: shared memory has a word for each of at most 32 warps.
    unsafe {
        if thread % 32 == 0 {
            shared::store_b32(shared::base() + thread / 32 * 4, bits);
        }
        shared::barrier();
        let mut largest = 0;
        if thread < warps {
            largest = shared::load_b32(shared::base() + thread * 4);
        }
        f32::from_bits(warp_max(largest))
    }
}

/// The largest of all threads' non-negative values, for all of them. At most four whole warps.
#[inline(always)]
pub(crate) unsafe fn max_of_four_warps(value: f32) -> f32 {
    let bits = warp_max(value.to_bits());
    let (thread, warps) = (thread::index(), thread::count() / 32);
    // SAFETY: launch contract, clause 1: shared memory has four words.
    unsafe {
        if thread % 32 == 0 {
            // Words of absent warps are filled too.
            let mut word = thread / 32;
            while word < 4 {
                shared::store_b32(shared::base() + word * 4, bits);
                word += warps;
            }
        }
        shared::barrier();
        let [a, b, c, d] = shared::load_v4(shared::base());
        f32::from_bits(a.max(b).max(c.max(d)))
    }
}
