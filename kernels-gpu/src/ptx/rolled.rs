//! Trip counts opaque to the compilers: loops of rare paths stay rolled.

/// 16: no flag has bit 31, but the compilers don't know. An unrolled exact path would take more registers
/// than the hot loop.
#[inline(always)]
pub(crate) fn sixteen(flags: u32) -> u64 {
    16 + u64::from(flags >> 31)
}

/// 2, likewise.
#[inline(always)]
pub(crate) fn two(flags: u32) -> u32 {
    2 + (flags >> 31)
}

/// 13, likewise.
#[inline(always)]
pub(crate) fn thirteen(flags: u32) -> u32 {
    13 + (flags >> 31)
}
