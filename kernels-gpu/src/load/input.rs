//! The input types: how 16 elements are loaded, measured and widened.

use super::swizzle;
use crate::ptx::{self, memory, shared};
use fouroversix_core::abi::COLUMNS_COLS;

/// An element type, as the kernels see it: a block of 16 in registers.
pub(crate) trait Input {
    /// Bytes an element takes.
    const BYTES: u64;
    /// 16 consecutive elements as they lie in memory.
    type Raw: Copy + Default;

    /// Loads 16 elements. `at` is 16-byte aligned global memory.
    unsafe fn load(at: *const u8) -> Self::Raw;
    /// Loads 16 elements from shared memory, piece `i` of 16 bytes from `at(i)`.
    unsafe fn load_shared_row(at: impl Fn(u32) -> u32) -> Self::Raw;
    /// Address from which a thread loads columns of a tile in shared memory ([`swizzle`]).
    fn shared_column(base: u32, thread: u32) -> u32;
    /// Loads 16 elements of a column of that tile. All lanes of the warp call it.
    unsafe fn load_shared_column(at: u32) -> Self::Raw;
    /// Largest magnitude; NaN if any element is.
    fn amax(raw: Self::Raw) -> f32;
    /// A running maximum of magnitudes that ignores NaN.
    type Running: Copy + Default;
    /// Takes 16 elements into a running maximum.
    fn running_amax(amax: Self::Running, raw: Self::Raw) -> Self::Running;
    /// The maximum.
    fn finish_amax(amax: Self::Running) -> f32;
    /// The larger magnitude of each of 16 pairs of elements, with some sign; a NaN loses.
    fn larger(a: Self::Raw, b: Self::Raw) -> Self::Raw;
    /// Two words that depend on all 16: for copy kernels, whose loads must not be dead code.
    fn fold(raw: Self::Raw) -> [u32; 2];
    /// The same elements, of which the compiler knows nothing before this point.
    fn opaque(raw: Self::Raw) -> Self::Raw;
    /// The exact values.
    fn widen(raw: Self::Raw) -> [f32; 16];
    /// Bit 3 of nibble `i` is the sign of element `i`; the other bits are anything.
    fn signs(raw: Self::Raw) -> [u32; 2];
    /// The elements with their signs flipped by [`fouroversix_core::abi::Signs`]'s words.
    fn flip(raw: Self::Raw, words: &[u32; 16]) -> Self::Raw;
    /// FP32 values to this type, nearest even.
    fn narrow(x: [f32; 16]) -> Self::Raw;
    /// One FP32 value to this type, nearest even.
    fn round(x: f32) -> f32;
    /// One element's exact value.
    unsafe fn element(at: *const u8) -> f32;
    /// One element's exact value, from shared memory.
    unsafe fn shared_element(at: u32) -> f32;
}

/// A 16-bit type: two elements a word.
pub(crate) trait Pair {
    /// The exact values, lower half first.
    fn pair(w: u32) -> [f32; 2];
}

/// bfloat16.
pub(crate) struct Bf16;
/// IEEE binary16.
pub(crate) struct F16;
/// IEEE binary32.
pub(crate) struct F32;

#[inline(always)]
unsafe fn load_8_words(at: *const u8) -> [u32; 8] {
    // SAFETY: the caller's promise.
    let (a, b) = unsafe { (memory::load_v4(at), memory::load_v4(at.add(16))) };
    [a[0], a[1], a[2], a[3], b[0], b[1], b[2], b[3]]
}

#[inline(always)]
unsafe fn load_shared_8_words(at: [u32; 2]) -> [u32; 8] {
    // SAFETY: the caller's promise.
    let (a, b) = unsafe { (shared::load_v4(at[0]), shared::load_v4(at[1])) };
    [a[0], a[1], a[2], a[3], b[0], b[1], b[2], b[3]]
}

/// Two halves of a block of FP32 elements. Written out: a loop over them may stay one, with the array in memory.
#[inline(always)]
fn joined(a: [u32; 8], b: [u32; 8]) -> [f32; 16] {
    let x = f32::from_bits;
    let [a0, a1, a2, a3, a4, a5, a6, a7] = a;
    let [b0, b1, b2, b3, b4, b5, b6, b7] = b;
    [
        x(a0),
        x(a1),
        x(a2),
        x(a3),
        x(a4),
        x(a5),
        x(a6),
        x(a7),
        x(b0),
        x(b1),
        x(b2),
        x(b3),
        x(b4),
        x(b5),
        x(b6),
        x(b7),
    ]
}

/// A column of 16-bit elements, in the order of a row's elements in memory.
#[inline(always)]
unsafe fn load_shared_column_16(at: u32) -> [u32; 8] {
    const EIGHT_ROWS: u32 = 8 * COLUMNS_COLS * 2;
    // SAFETY: the caller's promise.
    let (a, b) = unsafe {
        (shared::ldmatrix_x4_trans::<0>(at), shared::ldmatrix_x4_trans::<EIGHT_ROWS>(at))
    };
    [a[0], a[1], a[2], a[3], b[0], b[1], b[2], b[3]]
}

/// Sign nibbles of 8 elements in 4 words of two 16-bit elements each.
#[inline(always)]
fn sign_nibbles_16(w: [u32; 4]) -> u32 {
    // Each PRMT replicates the signs of its words over a byte: elements 0 2 1 3 and 4 6 5 7.
    let a = ptx::prmt::<0xFBD9>(w[0], w[1]);
    let b = ptx::prmt::<0xFBD9>(w[2], w[3]);
    let even = ptx::prmt::<0x5410>(a, b);
    let odd = ptx::prmt::<0x7632>(a, b);
    ptx::select(even, odd, 0x0F0F_0F0F)
}

/// Sign nibbles of 16 elements of 16 bits, two a word.
#[inline(always)]
pub(crate) fn signs_16(w: [u32; 8]) -> [u32; 2] {
    [sign_nibbles_16([w[0], w[1], w[2], w[3]]), sign_nibbles_16([w[4], w[5], w[6], w[7]])]
}

#[inline(always)]
fn fold_8(w: [u32; 8]) -> [u32; 2] {
    [w[0] ^ w[1] ^ w[4] ^ w[5], w[2] ^ w[3] ^ w[6] ^ w[7]]
}

#[inline(always)]
fn largest_of_8(w: [u32; 8], max: fn(u32, u32) -> u32) -> u32 {
    max(max(max(w[0], w[1]), max(w[2], w[3])), max(max(w[4], w[5]), max(w[6], w[7])))
}

impl Input for Bf16 {
    const BYTES: u64 = 2;
    type Raw = [u32; 8];

    #[inline(always)]
    unsafe fn load(at: *const u8) -> [u32; 8] {
        // SAFETY: the caller's promise.
        unsafe { load_8_words(at) }
    }

    #[inline(always)]
    unsafe fn load_shared_row(at: impl Fn(u32) -> u32) -> [u32; 8] {
        // SAFETY: the caller's promise.
        unsafe { load_shared_8_words([at(0), at(1)]) }
    }

    #[inline(always)]
    fn shared_column(base: u32, thread: u32) -> u32 {
        swizzle::matrix_row(base, thread)
    }

    #[inline(always)]
    unsafe fn load_shared_column(at: u32) -> [u32; 8] {
        // SAFETY: the caller's promise.
        unsafe { load_shared_column_16(at) }
    }

    #[inline(always)]
    fn amax(w: [u32; 8]) -> f32 {
        let pair = largest_of_8(w, ptx::max_nan_abs_bf16x2);
        let largest = ptx::max_nan_abs_bf16x2(pair, ptx::prmt::<0x1032>(pair, pair));
        f32::from_bits(largest & 0x7FFF_0000)
    }

    type Running = u32;

    #[inline(always)]
    fn running_amax(amax: u32, w: [u32; 8]) -> u32 {
        ptx::max_abs_bf16x2(amax, largest_of_8(w, ptx::max_abs_bf16x2))
    }

    #[inline(always)]
    fn finish_amax(amax: u32) -> f32 {
        let [lo, hi] = Self::pair(amax);
        ptx::max(ptx::max(lo.abs(), hi.abs()), 0.0)
    }

    #[inline(always)]
    fn larger(a: [u32; 8], b: [u32; 8]) -> [u32; 8] {
        core::array::from_fn(|i| ptx::max_abs_bf16x2(a[i], b[i]))
    }

    #[inline(always)]
    fn fold(w: [u32; 8]) -> [u32; 2] {
        fold_8(w)
    }

    #[inline(always)]
    fn opaque(w: [u32; 8]) -> [u32; 8] {
        w.map(ptx::opaque)
    }

    #[inline(always)]
    fn widen(w: [u32; 8]) -> [f32; 16] {
        core::array::from_fn(|i| Self::pair(w[i / 2])[i % 2])
    }

    #[inline(always)]
    fn signs(raw: [u32; 8]) -> [u32; 2] {
        signs_16(raw)
    }

    #[inline(always)]
    fn flip(w: [u32; 8], words: &[u32; 16]) -> [u32; 8] {
        core::array::from_fn(|i| w[i] ^ words[i])
    }

    #[inline(always)]
    fn narrow(x: [f32; 16]) -> [u32; 8] {
        core::array::from_fn(|i| ptx::cvt_rn_bf16x2_f32(x[2 * i + 1], x[2 * i]))
    }

    #[inline(always)]
    fn round(x: f32) -> f32 {
        Self::pair(ptx::cvt_rn_bf16x2_f32(0.0, x))[0]
    }

    #[inline(always)]
    unsafe fn element(at: *const u8) -> f32 {
        // SAFETY: the caller's promise.
        f32::from_bits(unsafe { memory::load_b16(at) } << 16)
    }

    #[inline(always)]
    unsafe fn shared_element(at: u32) -> f32 {
        // SAFETY: the caller's promise.
        f32::from_bits(unsafe { shared::load_b16(at) } << 16)
    }
}

impl Pair for Bf16 {
    #[inline(always)]
    fn pair(w: u32) -> [f32; 2] {
        [f32::from_bits(w << 16), f32::from_bits(w & 0xFFFF_0000)]
    }
}

impl Input for F16 {
    const BYTES: u64 = 2;
    type Raw = [u32; 8];

    #[inline(always)]
    unsafe fn load(at: *const u8) -> [u32; 8] {
        // SAFETY: the caller's promise.
        unsafe { load_8_words(at) }
    }

    #[inline(always)]
    unsafe fn load_shared_row(at: impl Fn(u32) -> u32) -> [u32; 8] {
        // SAFETY: the caller's promise.
        unsafe { load_shared_8_words([at(0), at(1)]) }
    }

    #[inline(always)]
    fn shared_column(base: u32, thread: u32) -> u32 {
        swizzle::matrix_row(base, thread)
    }

    #[inline(always)]
    unsafe fn load_shared_column(at: u32) -> [u32; 8] {
        // SAFETY: the caller's promise.
        unsafe { load_shared_column_16(at) }
    }

    #[inline(always)]
    fn amax(w: [u32; 8]) -> f32 {
        let [lo, hi] = Self::pair(largest_of_8(w, ptx::max_nan_abs_f16x2));
        ptx::max_nan(lo.abs(), hi.abs())
    }

    type Running = u32;

    #[inline(always)]
    fn running_amax(amax: u32, w: [u32; 8]) -> u32 {
        ptx::max_abs_f16x2(amax, largest_of_8(w, ptx::max_abs_f16x2))
    }

    #[inline(always)]
    fn finish_amax(amax: u32) -> f32 {
        let [lo, hi] = Self::pair(amax);
        ptx::max(ptx::max(lo.abs(), hi.abs()), 0.0)
    }

    #[inline(always)]
    fn larger(a: [u32; 8], b: [u32; 8]) -> [u32; 8] {
        core::array::from_fn(|i| ptx::max_abs_f16x2(a[i], b[i]))
    }

    #[inline(always)]
    fn fold(w: [u32; 8]) -> [u32; 2] {
        fold_8(w)
    }

    #[inline(always)]
    fn opaque(w: [u32; 8]) -> [u32; 8] {
        w.map(ptx::opaque)
    }

    #[inline(always)]
    fn widen(w: [u32; 8]) -> [f32; 16] {
        core::array::from_fn(|i| Self::pair(w[i / 2])[i % 2])
    }

    #[inline(always)]
    fn signs(raw: [u32; 8]) -> [u32; 2] {
        signs_16(raw)
    }

    #[inline(always)]
    fn flip(w: [u32; 8], words: &[u32; 16]) -> [u32; 8] {
        core::array::from_fn(|i| w[i] ^ words[i])
    }

    #[inline(always)]
    fn narrow(x: [f32; 16]) -> [u32; 8] {
        core::array::from_fn(|i| ptx::cvt_rn_f16x2_f32(x[2 * i + 1], x[2 * i]))
    }

    #[inline(always)]
    fn round(x: f32) -> f32 {
        Self::pair(ptx::cvt_rn_f16x2_f32(0.0, x))[0]
    }

    #[inline(always)]
    unsafe fn element(at: *const u8) -> f32 {
        // SAFETY: the caller's promise.
        Self::pair(unsafe { memory::load_b16(at) })[0]
    }

    #[inline(always)]
    unsafe fn shared_element(at: u32) -> f32 {
        // SAFETY: the caller's promise.
        Self::pair(unsafe { shared::load_b16(at) })[0]
    }
}

impl Pair for F16 {
    #[inline(always)]
    fn pair(w: u32) -> [f32; 2] {
        ptx::cvt_f32_f16x2(w)
    }
}

impl Input for F32 {
    const BYTES: u64 = 4;
    type Raw = [f32; 16];

    #[inline(always)]
    unsafe fn load(at: *const u8) -> [f32; 16] {
        // SAFETY: the caller's promise.
        let (a, b) = unsafe { (load_8_words(at), load_8_words(at.add(32))) };
        joined(a, b)
    }

    #[inline(always)]
    unsafe fn load_shared_row(at: impl Fn(u32) -> u32) -> [f32; 16] {
        // SAFETY: the caller's promise.
        let (a, b) =
            unsafe { (load_shared_8_words([at(0), at(1)]), load_shared_8_words([at(2), at(3)])) };
        joined(a, b)
    }

    #[inline(always)]
    fn shared_column(base: u32, thread: u32) -> u32 {
        swizzle::column_start(base, thread)
    }

    #[inline(always)]
    unsafe fn load_shared_column(even: u32) -> [f32; 16] {
        const ROW: u32 = COLUMNS_COLS * 4;
        let odd = even ^ 16;
        let mut x = [0.0; 16];
        macro_rules! two_rows {
            ($($i:literal)*) => {$(
                // SAFETY: the caller's promise.
                let (a, b) = unsafe {
                    (shared::load_b32_at::<{ $i * ROW }>(even),
                     shared::load_b32_at::<{ ($i + 1) * ROW }>(odd))
                };
                x[$i] = f32::from_bits(a);
                x[$i + 1] = f32::from_bits(b);
            )*};
        }
        two_rows!(0 2 4 6 8 10 12 14);
        x
    }

    #[inline(always)]
    fn amax(x: [f32; 16]) -> f32 {
        let m: [f32; 8] = core::array::from_fn(|i| ptx::max_nan(x[i].abs(), x[i + 8].abs()));
        let m: [f32; 4] = core::array::from_fn(|i| ptx::max_nan(m[i], m[i + 4]));
        ptx::max_nan(ptx::max_nan(m[0], m[2]), ptx::max_nan(m[1], m[3]))
    }

    type Running = f32;

    #[inline(always)]
    fn running_amax(amax: f32, x: [f32; 16]) -> f32 {
        let m: [f32; 8] = core::array::from_fn(|i| ptx::max(x[i].abs(), x[i + 8].abs()));
        let m: [f32; 4] = core::array::from_fn(|i| ptx::max(m[i], m[i + 4]));
        ptx::max(amax, ptx::max(ptx::max(m[0], m[2]), ptx::max(m[1], m[3])))
    }

    #[inline(always)]
    fn finish_amax(amax: f32) -> f32 {
        amax
    }

    #[inline(always)]
    fn larger(a: [f32; 16], b: [f32; 16]) -> [f32; 16] {
        core::array::from_fn(|i| ptx::max(a[i].abs(), b[i].abs()))
    }

    #[inline(always)]
    fn fold(x: [f32; 16]) -> [u32; 2] {
        let w: [u32; 8] = core::array::from_fn(|i| x[i].to_bits() ^ x[i + 8].to_bits());
        fold_8(w)
    }

    #[inline(always)]
    fn opaque(x: [f32; 16]) -> [f32; 16] {
        x.map(|x| f32::from_bits(ptx::opaque(x.to_bits())))
    }

    #[inline(always)]
    fn widen(x: [f32; 16]) -> [f32; 16] {
        x
    }

    #[inline(always)]
    fn signs(x: [f32; 16]) -> [u32; 2] {
        let w = x.map(f32::to_bits);
        // The sign-carrying halves side by side make the 16-bit types' words.
        macro_rules! upper {
            ($($i:literal)*) => { [$(ptx::prmt::<0x7632>(w[$i], w[$i + 1])),*] };
        }
        signs_16(upper!(0 2 4 6 8 10 12 14))
    }

    #[inline(always)]
    fn flip(x: [f32; 16], words: &[u32; 16]) -> [f32; 16] {
        core::array::from_fn(|i| f32::from_bits(x[i].to_bits() ^ words[i]))
    }

    #[inline(always)]
    fn narrow(x: [f32; 16]) -> [f32; 16] {
        x
    }

    #[inline(always)]
    fn round(x: f32) -> f32 {
        x
    }

    #[inline(always)]
    unsafe fn element(at: *const u8) -> f32 {
        // SAFETY: the caller's promise.
        f32::from_bits(unsafe { memory::load_b32(at) })
    }

    #[inline(always)]
    unsafe fn shared_element(at: u32) -> f32 {
        // SAFETY: the caller's promise.
        f32::from_bits(unsafe { shared::load_b32(at) })
    }
}
