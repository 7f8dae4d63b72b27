//! What the lanes of a warp tell each other. All lanes take part in every call.

use core::arch::asm;

/// The value of the lane whose index differs by `mask`.
#[inline(always)]
pub(crate) fn shuffle_xor(v: f32, mask: u32) -> f32 {
    let d: f32;
    // SAFETY: all lanes get here: callers are uniform within the warp.
    unsafe {
        asm!("shfl.sync.bfly.b32 {d}, {v}, {m}, 0x1f, 0xffffffff;", d = lateout(reg32) d,
             v = in(reg32) v, m = in(reg32) mask, options(nostack, preserves_flags));
    }
    d
}

/// One bit for each lane.
#[inline(always)]
pub(crate) fn ballot(condition: bool) -> u32 {
    let d: u32;
    // SAFETY: all lanes get here: callers are uniform within the warp.
    unsafe {
        asm!("{{ .reg .pred p; setp.ne.u32 p, {c}, 0; vote.sync.ballot.b32 {d}, p, 0xffffffff; }}",
             c = in(reg32) u32::from(condition), d = lateout(reg32) d,
             options(nostack, preserves_flags));
    }
    d
}
