//! Shared memory, spelled as PTX. Addresses are 32 bits, from [`base`] on.

use core::arch::asm;

// Aligned for addresses within a tile whose lower bits are flipped (`load/swizzle.rs`).
core::arch::global_asm!(".extern .shared .align 1024 .b8 fouroversix_shared[];");

/// The address of the launch's shared memory.
#[inline(always)]
pub(crate) fn base() -> u32 {
    let at: u32;
    // SAFETY: takes an address.
    unsafe {
        asm!("mov.u32 {at}, fouroversix_shared;", at = lateout(reg32) at,
             options(pure, nomem, nostack, preserves_flags));
    }
    at
}

/// Barrier of the thread block: what its threads stored to shared memory is visible after it.
#[inline(always)]
pub(crate) fn barrier() {
    // SAFETY: no divergence here: callers are uniform over the thread block.
    unsafe { asm!("bar.sync 0;", options(nostack, preserves_flags)) }
}

/// Stores a word.
#[inline(always)]
pub(crate) unsafe fn store_b32(at: u32, value: u32) {
    // SAFETY: the caller's promise: within the launch's shared memory.
    unsafe {
        asm!("st.shared.b32 [{at}], {v};", at = in(reg32) at, v = in(reg32) value,
             options(nostack, preserves_flags));
    }
}

/// Loads a word.
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

/// Loads two bytes, zero-extended.
#[inline(always)]
pub(crate) unsafe fn load_b16(at: u32) -> u32 {
    let v: u32;
    // SAFETY: the caller's promise: within the launch's shared memory.
    unsafe {
        asm!("ld.shared.u16 {v}, [{at}];", at = in(reg32) at, v = lateout(reg32) v,
             options(nostack, preserves_flags));
    }
    v
}

/// Loads a word `OFFSET` bytes further on.
#[inline(always)]
pub(crate) unsafe fn load_b32_at<const OFFSET: u32>(at: u32) -> u32 {
    let v: u32;
    // SAFETY: the caller's promise: within the launch's shared memory.
    unsafe {
        asm!("ld.shared.b32 {v}, [{at} + {o}];", at = in(reg32) at, v = lateout(reg32) v,
             o = const OFFSET, options(nostack, preserves_flags));
    }
    v
}

/// Stores two words at an 8-byte aligned address.
#[inline(always)]
pub(crate) unsafe fn store_v2(at: u32, [a, b]: [u32; 2]) {
    // SAFETY: the caller's promise: within the launch's shared memory, aligned.
    unsafe {
        asm!("st.shared.v2.b32 [{at}], {{{a}, {b}}};", at = in(reg32) at, a = in(reg32) a,
             b = in(reg32) b, options(nostack, preserves_flags));
    }
}

/// Stores four words at a 16-byte aligned address.
#[inline(always)]
pub(crate) unsafe fn store_v4(at: u32, [a, b, c, d]: [u32; 4]) {
    // SAFETY: the caller's promise: within the launch's shared memory, aligned.
    unsafe {
        asm!("st.shared.v4.b32 [{at}], {{{a}, {b}, {c}, {d}}};", at = in(reg32) at, a = in(reg32) a,
             b = in(reg32) b, c = in(reg32) c, d = in(reg32) d, options(nostack, preserves_flags));
    }
}

/// Loads four words at a 16-byte aligned address.
#[inline(always)]
pub(crate) unsafe fn load_v4(at: u32) -> [u32; 4] {
    let (a, b, c, d): (u32, u32, u32, u32);
    // SAFETY: the caller's promise: within the launch's shared memory, aligned.
    unsafe {
        asm!("ld.shared.v4.b32 {{{a}, {b}, {c}, {d}}}, [{at}];", at = in(reg32) at,
             a = lateout(reg32) a, b = lateout(reg32) b, c = lateout(reg32) c,
             d = lateout(reg32) d, options(nostack, preserves_flags));
    }
    [a, b, c, d]
}

/// Stores the lower byte.
#[inline(always)]
pub(crate) unsafe fn store_b8(at: u32, a: u16) {
    // SAFETY: the caller's promise: within the launch's shared memory.
    unsafe {
        asm!("st.shared.u8 [{at}], {a};", at = in(reg32) at, a = in(reg16) a,
             options(nostack, preserves_flags));
    }
}

/// Four 8x8 matrices of 16-bit elements, transposed. Lane `8·i + r` gives the 16-byte aligned
/// address of row r of matrix i, and receives of each matrix column `lane/4`, its rows
/// `2·(lane%4)` and the next in one word. `OFFSET` bytes are added to every address.
#[inline(always)]
pub(crate) unsafe fn ldmatrix_x4_trans<const OFFSET: u32>(at: u32) -> [u32; 4] {
    let (a, b, c, d): (u32, u32, u32, u32);
    // SAFETY: the caller's promise: within the launch's shared memory, all lanes of the warp.
    unsafe {
        asm!("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {{{a}, {b}, {c}, {d}}}, [{at} + {o}];",
             at = in(reg32) at, a = lateout(reg32) a, b = lateout(reg32) b, c = lateout(reg32) c,
             d = lateout(reg32) d, o = const OFFSET, options(nostack, preserves_flags));
    }
    [a, b, c, d]
}

/// Starts copying 16 bytes from global memory, or zeros without reading if `present` is false.
#[inline(always)]
pub(crate) unsafe fn cp_async_16(at: u32, from: *const u8, present: bool) {
    // SAFETY: the caller's promise: both aligned, and readable if present.
    unsafe {
        asm!("cp.async.cg.shared.global [{at}], [{from}], 16, {bytes};", at = in(reg32) at,
             from = in(reg64) from, bytes = in(reg32) if present { 16u32 } else { 0 },
             options(nostack, preserves_flags));
    }
}

/// Waits for this thread's copies.
#[inline(always)]
pub(crate) fn cp_async_wait_all() {
    // SAFETY: no operands.
    unsafe { asm!("cp.async.wait_all;", options(nostack, preserves_flags)) }
}
