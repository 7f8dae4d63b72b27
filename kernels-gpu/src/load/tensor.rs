//! What a launch says: the tensor at hand, its global scale, and whether to do anything.

use crate::ptx::{memory, thread};
use fouroversix_core::abi::{GlobalScale, QuantizeParams, QuantizeTensor, SKIPPABLE};

/// Whether the skip word is set: the launch does nothing.
#[inline(always)]
pub(crate) unsafe fn skip_set(flag: u64) -> bool {
    // SAFETY: launch contract, clause 10: null or an aligned u32.
    flag != 0 && unsafe { memory::load_b32(flag as *const u8) } != 0
}

/// The same for quantize kernels, where a flag says whether there is a skip word.
#[inline(always)]
pub(crate) unsafe fn skipped(p: &QuantizeParams) -> bool {
    // SAFETY: launch contract, clause 10: with the flag there is an aligned u32.
    p.flags & SKIPPABLE != 0 && unsafe { memory::load_b32(p.skip as *const u8) } != 0
}

/// The tensor of this launch; of a grouped one, that of the thread block's layer (z) of the grid.
#[inline(always)]
pub(crate) unsafe fn of_launch<const GROUPED: bool>(p: &QuantizeParams) -> QuantizeTensor {
    if GROUPED {
        // SAFETY: launch contract, clause 8: an entry for each layer of the grid.
        unsafe { (p.group as *const QuantizeTensor).add(thread::block()[2] as usize).read() }
    } else {
        p.tensor
    }
}

/// The number of the tensor of this launch among those of its group.
#[inline(always)]
pub(crate) fn number<const GROUPED: bool>() -> u32 {
    if GROUPED { thread::block()[2] } else { 0 }
}

/// Loads a global scale.
#[inline(always)]
pub(crate) unsafe fn load_global(at: *const GlobalScale) -> GlobalScale {
    // SAFETY: the caller's promise: a global scale of the launch (launch contract, clauses 4 and 6).
    let [amax, s_enc, s_dec, limit] = unsafe { memory::load_v4(at.cast()) }.map(f32::from_bits);
    GlobalScale { amax, s_enc, s_dec, limit }
}
