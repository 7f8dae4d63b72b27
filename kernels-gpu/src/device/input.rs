//! The input types: how 16 elements are loaded, measured and widened.

use super::{memory, ptx};

/// An element type, as the kernels see it: a block of 16 in registers.
pub(crate) trait Input {
    /// Bytes an element takes.
    const BYTES: u64;
    /// 16 consecutive elements as they lie in memory.
    type Raw: Copy;

    /// Loads 16 elements. `at` is 16-byte aligned global memory.
    unsafe fn load(at: *const u8) -> Self::Raw;
    /// Loads 16 rows of two neighbouring columns, rows `stride` bytes apart.
    unsafe fn load_columns(at: *const u8, stride: u64) -> [Self::Raw; 2];
    /// Zeros.
    fn zeros() -> Self::Raw;
    /// Largest magnitude; NaN if any element is.
    fn amax(raw: Self::Raw) -> f32;
    /// A running maximum of magnitudes that ignores NaN.
    type Running: Copy + Default;
    /// Takes 16 elements into a running maximum.
    fn running_amax(amax: Self::Running, raw: Self::Raw) -> Self::Running;
    /// The maximum.
    fn finish_amax(amax: Self::Running) -> f32;
    /// Two words that depend on all of them, for a copy kernel.
    fn fold(raw: Self::Raw) -> [u32; 2];
    /// The exact values.
    fn widen(raw: Self::Raw) -> [f32; 16];
    /// Bit 3 of nibble `i` is the sign of element `i`; the other bits are clear.
    fn signs(raw: Self::Raw) -> [u32; 2];
    /// One element's exact value.
    unsafe fn element(at: *const u8) -> f32;
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

/// Two columns of 16-bit elements, each rearranged into what a row's 16 elements look like.
#[inline(always)]
unsafe fn load_column_pair(at: *const u8, stride: u64) -> [[u32; 8]; 2] {
    let mut columns = [[0; 8]; 2];
    macro_rules! two_rows {
        ($($i:literal)*) => {$(
            // SAFETY: the caller's promise.
            let (a, b) = unsafe {
                (memory::load_b32(at.add(2 * $i * stride as usize)),
                 memory::load_b32(at.add((2 * $i + 1) * stride as usize)))
            };
            columns[0][$i] = ptx::prmt::<0x5410>(a, b);
            columns[1][$i] = ptx::prmt::<0x7632>(a, b);
        )*};
    }
    two_rows!(0 1 2 3 4 5 6 7);
    columns
}

/// Sign nibbles of 8 elements in 4 words of two 16-bit elements each.
#[inline(always)]
fn sign_nibbles_16(w: [u32; 4]) -> u32 {
    // Each PRMT replicates the signs of its words over a byte: elements 0 2 1 3 and 4 6 5 7.
    let a = ptx::prmt::<0xFBD9>(w[0], w[1]);
    let b = ptx::prmt::<0xFBD9>(w[2], w[3]);
    let even = ptx::prmt::<0x5410>(a, b);
    let odd = ptx::prmt::<0x7632>(a, b);
    ((even & 0x0F0F_0F0F) | (odd & 0xF0F0_F0F0)) & 0x8888_8888
}

#[inline(always)]
fn signs_16(w: [u32; 8]) -> [u32; 2] {
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
    unsafe fn load_columns(at: *const u8, stride: u64) -> [[u32; 8]; 2] {
        // SAFETY: the caller's promise.
        unsafe { load_column_pair(at, stride) }
    }

    #[inline(always)]
    fn zeros() -> [u32; 8] {
        [0; 8]
    }

    #[inline(always)]
    fn amax(w: [u32; 8]) -> f32 {
        let [lo, hi] = Self::pair(largest_of_8(w, ptx::max_nan_abs_bf16x2));
        ptx::max_nan(lo.abs(), hi.abs())
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
    fn fold(w: [u32; 8]) -> [u32; 2] {
        fold_8(w)
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
    unsafe fn element(at: *const u8) -> f32 {
        // SAFETY: the caller's promise.
        f32::from_bits(unsafe { memory::load_b16(at) } << 16)
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
    unsafe fn load_columns(at: *const u8, stride: u64) -> [[u32; 8]; 2] {
        // SAFETY: the caller's promise.
        unsafe { load_column_pair(at, stride) }
    }

    #[inline(always)]
    fn zeros() -> [u32; 8] {
        [0; 8]
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
    fn fold(w: [u32; 8]) -> [u32; 2] {
        fold_8(w)
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
    unsafe fn element(at: *const u8) -> f32 {
        // SAFETY: the caller's promise.
        Self::pair(unsafe { memory::load_b16(at) })[0]
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
        core::array::from_fn(|i| f32::from_bits(if i < 8 { a[i] } else { b[i - 8] }))
    }

    #[inline(always)]
    unsafe fn load_columns(at: *const u8, stride: u64) -> [[f32; 16]; 2] {
        let mut columns = [[0.0; 16]; 2];
        macro_rules! row {
            ($($i:literal)*) => {$(
                // SAFETY: the caller's promise.
                let [a, b] = unsafe { memory::load_v2(at.add($i * stride as usize)) };
                columns[0][$i] = f32::from_bits(a);
                columns[1][$i] = f32::from_bits(b);
            )*};
        }
        row!(0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15);
        columns
    }

    #[inline(always)]
    fn zeros() -> [f32; 16] {
        [0.0; 16]
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
    fn fold(x: [f32; 16]) -> [u32; 2] {
        let w: [u32; 8] = core::array::from_fn(|i| x[i].to_bits() ^ x[i + 8].to_bits());
        fold_8(w)
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
    unsafe fn element(at: *const u8) -> f32 {
        // SAFETY: the caller's promise.
        f32::from_bits(unsafe { memory::load_b32(at) })
    }
}
