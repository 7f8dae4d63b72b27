//! Global memory, spelled as PTX: loads through the read-only path, 16 bytes where possible.

use core::arch::asm;

/// Four words at a 16-byte aligned address. Stays where it is written, ahead of its use.
#[inline(always)]
pub(crate) unsafe fn load_v4(at: *const u8) -> [u32; 4] {
    let (a, b, c, d): (u32, u32, u32, u32);
    // SAFETY: the caller's promise: readable, aligned, not written during the launch.
    unsafe {
        asm!("ld.global.nc.v4.b32 {{{a}, {b}, {c}, {d}}}, [{at}];", at = in(reg64) at,
             a = lateout(reg32) a, b = lateout(reg32) b, c = lateout(reg32) c, d = lateout(reg32) d,
             options(readonly, nostack, preserves_flags));
    }
    [a, b, c, d]
}

/// A word at a 4-byte aligned address.
#[inline(always)]
pub(crate) unsafe fn load_b32(at: *const u8) -> u32 {
    let a: u32;
    // SAFETY: the caller's promise: readable, aligned, not written during the launch.
    unsafe {
        asm!("ld.global.nc.b32 {a}, [{at}];", at = in(reg64) at, a = lateout(reg32) a,
             options(pure, readonly, nostack, preserves_flags));
    }
    a
}

/// Two bytes at an even address, zero-extended.
#[inline(always)]
pub(crate) unsafe fn load_b16(at: *const u8) -> u32 {
    let a: u32;
    // SAFETY: the caller's promise: readable, aligned, not written during the launch.
    unsafe {
        asm!("ld.global.nc.u16 {a}, [{at}];", at = in(reg64) at, a = lateout(reg32) a,
             options(pure, readonly, nostack, preserves_flags));
    }
    a
}

/// Stores two words at an 8-byte aligned address.
#[inline(always)]
pub(crate) unsafe fn store_v2(at: *mut u8, [a, b]: [u32; 2]) {
    // SAFETY: the caller's promise: writable, aligned, nobody else's.
    unsafe {
        asm!("st.global.v2.b32 [{at}], {{{a}, {b}}};", at = in(reg64) at, a = in(reg32) a,
             b = in(reg32) b, options(nostack, preserves_flags));
    }
}

/// Stores four words at a 16-byte aligned address.
#[inline(always)]
pub(crate) unsafe fn store_v4(at: *mut u8, [a, b, c, d]: [u32; 4]) {
    // SAFETY: the caller's promise: writable, aligned, nobody else's.
    unsafe {
        asm!("st.global.v4.b32 [{at}], {{{a}, {b}, {c}, {d}}};", at = in(reg64) at, a = in(reg32) a,
             b = in(reg32) b, c = in(reg32) c, d = in(reg32) d, options(nostack, preserves_flags));
    }
}

/// Stores the lower byte.
#[inline(always)]
pub(crate) unsafe fn store_b8(at: *mut u8, a: u16) {
    // SAFETY: the caller's promise: writable, nobody else's.
    unsafe {
        asm!("st.global.u8 [{at}], {a};", at = in(reg64) at, a = in(reg16) a,
             options(nostack, preserves_flags));
    }
}

/// Stores two bytes at an even address.
#[inline(always)]
pub(crate) unsafe fn store_b16(at: *mut u8, a: u16) {
    // SAFETY: the caller's promise: writable, aligned, nobody else's.
    unsafe {
        asm!("st.global.u16 [{at}], {a};", at = in(reg64) at, a = in(reg16) a,
             options(nostack, preserves_flags));
    }
}

/// Two words at an 8-byte aligned address.
#[inline(always)]
pub(crate) unsafe fn load_v2(at: *const u8) -> [u32; 2] {
    let (a, b): (u32, u32);
    // SAFETY: the caller's promise: readable, aligned, not written during the launch.
    unsafe {
        asm!("ld.global.nc.v2.b32 {{{a}, {b}}}, [{at}];", at = in(reg64) at, a = lateout(reg32) a,
             b = lateout(reg32) b, options(pure, readonly, nostack, preserves_flags));
    }
    [a, b]
}

/// A byte, zero-extended.
#[inline(always)]
pub(crate) unsafe fn load_b8(at: *const u8) -> u16 {
    let a: u16;
    // SAFETY: the caller's promise: readable, not written during the launch.
    unsafe {
        asm!("ld.global.nc.u8 {a}, [{at}];", at = in(reg64) at, a = lateout(reg16) a,
             options(pure, readonly, nostack, preserves_flags));
    }
    a
}

/// `*at = max(*at, value)`.
#[inline(always)]
pub(crate) unsafe fn atomic_max(at: *mut u32, value: u32) {
    // SAFETY: the caller's promise.
    unsafe {
        asm!("red.relaxed.gpu.global.max.u32 [{at}], {v};", at = in(reg64) at, v = in(reg32) value,
             options(nostack, preserves_flags));
    }
}

/// The old value; `*at` counts up and starts over after `last`.
#[inline(always)]
pub(crate) unsafe fn atomic_inc(at: *mut u32, last: u32) -> u32 {
    let old: u32;
    // SAFETY: the caller's promise.
    unsafe {
        asm!("atom.relaxed.gpu.global.inc.u32 {old}, [{at}], {v};", at = in(reg64) at,
             v = in(reg32) last, old = lateout(reg32) old, options(nostack, preserves_flags));
    }
    old
}

/// The old value; `*at = value`.
#[inline(always)]
pub(crate) unsafe fn atomic_exchange(at: *mut u32, value: u32) -> u32 {
    let old: u32;
    // SAFETY: the caller's promise.
    unsafe {
        asm!("atom.relaxed.gpu.global.exch.b32 {old}, [{at}], {v};", at = in(reg64) at,
             v = in(reg32) value, old = lateout(reg32) old, options(nostack, preserves_flags));
    }
    old
}

/// Orders this thread's memory operations before those that follow, for the whole device.
#[inline(always)]
pub(crate) fn fence() {
    // SAFETY: no operands.
    unsafe { asm!("fence.acq_rel.gpu;", options(nostack, preserves_flags)) }
}
