//! Shuffles and votes. All lanes of the warp take part in every call.

use core::arch::asm;

/// The value of the lane whose index differs by `mask`.
#[inline(always)]
pub(crate) fn shuffle_xor(v: f32, mask: u32) -> f32 {
    let d: f32;
    // SAFETY: no divergence here: callers are uniform over the warp.
    unsafe {
        asm!("shfl.sync.bfly.b32 {d}, {v}, {m}, 0x1f, 0xffffffff;", d = lateout(reg32) d,
             v = in(reg32) v, m = in(reg32) mask, options(nostack, preserves_flags));
    }
    d
}

/// The value of a lane.
#[inline(always)]
pub(crate) fn shuffle(v: f32, lane: u32) -> f32 {
    let d: f32;
    // SAFETY: no divergence here: callers are uniform over the warp.
    unsafe {
        asm!("shfl.sync.idx.b32 {d}, {v}, {l}, 0x1f, 0xffffffff;", d = lateout(reg32) d,
             v = in(reg32) v, l = in(reg32) lane, options(nostack, preserves_flags));
    }
    d
}

/// One bit for each lane.
#[inline(always)]
pub(crate) fn ballot(condition: bool) -> u32 {
    let d: u32;
    // SAFETY: no divergence here: callers are uniform over the warp.
    unsafe {
        asm!("{{ .reg .pred p; setp.ne.u32 p, {c}, 0; vote.sync.ballot.b32 {d}, p, 0xffffffff; }}",
             c = in(reg32) u32::from(condition), d = lateout(reg32) d,
             options(nostack, preserves_flags));
    }
    d
}

/// Whether a condition holds in any lane.
#[inline(always)]
pub(crate) fn any(condition: bool) -> bool {
    let d: u32;
    // SAFETY: no divergence here: callers are uniform over the warp.
    unsafe {
        asm!("{{ .reg .pred p, q; setp.ne.u32 p, {c}, 0; vote.sync.any.pred q, p, 0xffffffff;",
             "selp.u32 {d}, 1, 0, q; }}", c = in(reg32) u32::from(condition),
             d = lateout(reg32) d, options(nostack, preserves_flags));
    }
    d != 0
}

/// Lanes wait for each other.
#[inline(always)]
pub(crate) fn sync() {
    // SAFETY: no divergence here: callers are uniform over the warp.
    unsafe { asm!("bar.warp.sync 0xffffffff;", options(nostack, preserves_flags)) }
}
