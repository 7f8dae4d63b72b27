//! Vector instruction sets behind one trait, and the step from a [`crate::path::Path`] to one of
//! them. Nothing here knows what is computed.

#[cfg(target_arch = "x86_64")]
pub(crate) mod avx2;
#[cfg(target_arch = "x86_64")]
pub(crate) mod avx512;
pub(crate) mod dispatch;
#[cfg(target_arch = "aarch64")]
pub(crate) mod neon;
pub(crate) mod portable;
pub(crate) mod vector;

/// Asks for the cache line of an address, which need not be one: into the second-level cache, as lines a
/// power of two apart share places of the first.
#[inline(always)]
pub(crate) fn prefetch<T>(from: *const T) {
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    // SAFETY: part of SSE, which every x86-64 has; it reads nothing and never faults.
    unsafe {
        use std::arch::x86_64::{_MM_HINT_T1, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T1>(from.cast());
    }
    #[cfg(not(all(target_arch = "x86_64", not(miri))))]
    let _ = from;
}

/// [`prefetch`] for all cache lines of some bytes.
#[inline(always)]
pub(crate) fn prefetch_bytes(from: *const u8, bytes: usize) {
    for i in (0..bytes).step_by(64).chain([bytes - 1]) {
        prefetch(from.wrapping_add(i));
    }
}

/// Writes a cache line past the caches, where that can be: it need not be read first. Before anyone else
/// reads it comes [`streamed`].
#[inline(always)]
pub(crate) fn stream(to: &mut [[u8; 8]; 8], line: [[u8; 8]; 8]) {
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    if to.as_ptr().addr().is_multiple_of(64) {
        use std::arch::x86_64::{__m128i, _mm_loadu_si128, _mm_stream_si128};
        let (from, to): (*const __m128i, *mut __m128i) =
            (line.as_ptr().cast(), to.as_mut_ptr().cast());
        for i in 0..4 {
            // SAFETY: part of SSE2, which every x86-64 has; both are 64 bytes, `to` is aligned.
            unsafe { _mm_stream_si128(to.add(i), _mm_loadu_si128(from.add(i))) };
        }
        return;
    }
    *to = line;
}

/// Puts what was streamed before what is written from here on.
#[inline(always)]
pub(crate) fn streamed() {
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    // SAFETY: part of SSE, which every x86-64 has.
    unsafe {
        std::arch::x86_64::_mm_sfence();
    }
}
