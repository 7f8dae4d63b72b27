//! What the threads of a block find out together, through 256 bytes of shared memory.

use core::arch::asm;

use super::thread;
use crate::abi::GlobalScale;

core::arch::global_asm!(".extern .shared .align 16 .b8 fouroversix_shared[];");

/// The address of the launch's shared memory.
#[inline(always)]
pub(crate) fn shared() -> u32 {
    let at: u32;
    // SAFETY: takes an address.
    unsafe {
        asm!("mov.u32 {at}, fouroversix_shared;", at = lateout(reg32) at,
             options(pure, nomem, nostack, preserves_flags));
    }
    at
}

/// Waits for all threads of the block; what they stored to shared memory is visible after it.
#[inline(always)]
pub(crate) fn barrier() {
    // SAFETY: all threads of the block get here: callers are uniform.
    unsafe { asm!("bar.sync 0;", options(nostack, preserves_flags)) }
}

#[inline(always)]
pub(crate) unsafe fn store_b32(at: u32, value: u32) {
    // SAFETY: the caller's promise: within the launch's shared memory.
    unsafe {
        asm!("st.shared.b32 [{at}], {v};", at = in(reg32) at, v = in(reg32) value,
             options(nostack, preserves_flags));
    }
}

#[inline(always)]
pub(crate) unsafe fn load_b32(at: u32) -> u32 {
    let v: u32;
    // SAFETY: the caller's promise: within the launch's shared memory.
    unsafe {
        asm!("ld.shared.b32 {v}, [{at}];", at = in(reg32) at, v = lateout(reg32) v,
             options(nostack, preserves_flags));
    }
    v
}

/// The largest `u32` of the warp.
#[inline(always)]
fn warp_max(v: u32) -> u32 {
    let d: u32;
    // SAFETY: all lanes get here: callers are uniform.
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
    // SAFETY: one word for each of at most 32 warps.
    unsafe {
        if thread % 32 == 0 {
            store_b32(shared() + thread / 32 * 4, bits);
        }
        barrier();
        let mut largest = 0;
        if thread < warps {
            largest = load_b32(shared() + thread * 4);
        }
        f32::from_bits(warp_max(largest))
    }
}

/// Thread 0's value, for all.
#[inline(always)]
pub(crate) unsafe fn broadcast(scale: GlobalScale) -> GlobalScale {
    let at = shared() + 128;
    // SAFETY: 16 bytes above the words of `max`.
    unsafe {
        if thread::index() == 0 {
            store_b32(at, scale.amax.to_bits());
            store_b32(at + 4, scale.s_enc.to_bits());
            store_b32(at + 8, scale.s_dec.to_bits());
            store_b32(at + 12, scale.limit.to_bits());
        }
        barrier();
        let [amax, s_enc, s_dec, limit] =
            [load_b32(at), load_b32(at + 4), load_b32(at + 8), load_b32(at + 12)]
                .map(f32::from_bits);
        GlobalScale { amax, s_enc, s_dec, limit }
    }
}

#[inline(always)]
pub(crate) unsafe fn store_v2(at: u32, [a, b]: [u32; 2]) {
    // SAFETY: the caller's promise: within the launch's shared memory, 8-byte aligned.
    unsafe {
        asm!("st.shared.v2.b32 [{at}], {{{a}, {b}}};", at = in(reg32) at, a = in(reg32) a,
             b = in(reg32) b, options(nostack, preserves_flags));
    }
}

#[inline(always)]
pub(crate) unsafe fn load_v2(at: u32) -> [u32; 2] {
    let (a, b): (u32, u32);
    // SAFETY: the caller's promise: within the launch's shared memory, 8-byte aligned.
    unsafe {
        asm!("ld.shared.v2.b32 {{{a}, {b}}}, [{at}];", at = in(reg32) at, a = lateout(reg32) a,
             b = lateout(reg32) b, options(nostack, preserves_flags));
    }
    [a, b]
}

#[inline(always)]
pub(crate) unsafe fn store_b8(at: u32, a: u32) {
    // SAFETY: the caller's promise: within the launch's shared memory.
    unsafe {
        asm!("st.shared.u8 [{at}], {a};", at = in(reg32) at, a = in(reg32) a,
             options(nostack, preserves_flags));
    }
}

#[inline(always)]
pub(crate) unsafe fn load_b8(at: u32) -> u32 {
    let a: u32;
    // SAFETY: the caller's promise: within the launch's shared memory.
    unsafe {
        asm!("ld.shared.u8 {a}, [{at}];", at = in(reg32) at, a = lateout(reg32) a,
             options(nostack, preserves_flags));
    }
    a
}
