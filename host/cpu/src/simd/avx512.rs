//! AVX-512 (F, BW): sixteen lanes.

use std::arch::x86_64::*;

use super::vector::{Vector, Work};

/// See the module.
#[derive(Clone, Copy)]
pub(crate) struct Avx512;

/// Swaps rows and columns of the four 4x4 matrices that the 128-bit quarters of `rows` make.
#[inline(always)]
unsafe fn transpose_4x4(rows: [__m512i; 4]) -> [__m512i; 4] {
    // SAFETY: the caller is in a function that enables AVX-512.
    unsafe {
        let low_01 = _mm512_unpacklo_epi32(rows[0], rows[1]);
        let low_23 = _mm512_unpacklo_epi32(rows[2], rows[3]);
        let high_01 = _mm512_unpackhi_epi32(rows[0], rows[1]);
        let high_23 = _mm512_unpackhi_epi32(rows[2], rows[3]);
        [
            _mm512_unpacklo_epi64(low_01, low_23),
            _mm512_unpackhi_epi64(low_01, low_23),
            _mm512_unpacklo_epi64(high_01, high_23),
            _mm512_unpackhi_epi64(high_01, high_23),
        ]
    }
}

/// Four words, `k` on, of rows `row`, `row + 4`, `row + 8` and `row + 12`.
#[inline(always)]
unsafe fn four_rows(from: *const u32, stride: usize, row: usize, k: usize) -> __m512i {
    // SAFETY: as the caller's.
    unsafe {
        let first = from.add(row * stride + k);
        let quarter = _mm512_castsi128_si512(_mm_loadu_si128(first.cast()));
        let second = _mm_loadu_si128(first.add(4 * stride).cast());
        let quarter = _mm512_inserti32x4::<1>(quarter, second);
        let third = _mm_loadu_si128(first.add(8 * stride).cast());
        let quarter = _mm512_inserti32x4::<2>(quarter, third);
        _mm512_inserti32x4::<3>(quarter, _mm_loadu_si128(first.add(12 * stride).cast()))
    }
}

/// The sums of the 128-bit quarters: of four vectors' first ones, then of their second ones, and so on.
#[inline(always)]
unsafe fn sums_of_four(lanes: [__m512; 8]) -> [__m512; 2] {
    // SAFETY: the caller is in a function that enables AVX-512.
    unsafe {
        let mut pairs = [_mm512_setzero_ps(); 4];
        for (k, pair) in pairs.iter_mut().enumerate() {
            let [a, b] = [lanes[2 * k], lanes[2 * k + 1]];
            *pair = _mm512_add_ps(_mm512_unpacklo_ps(a, b), _mm512_unpackhi_ps(a, b));
        }
        let mut sums = [_mm512_setzero_ps(); 2];
        for (k, sum) in sums.iter_mut().enumerate() {
            let a = _mm512_castps_pd(pairs[2 * k]);
            let b = _mm512_castps_pd(pairs[2 * k + 1]);
            let low = _mm512_castpd_ps(_mm512_unpacklo_pd(a, b));
            *sum = _mm512_add_ps(low, _mm512_castpd_ps(_mm512_unpackhi_pd(a, b)));
        }
        sums
    }
}

// SAFETY (all functions): the trait's contract puts the caller in a function that enables AVX-512
// F and BW, and makes pointers good for the bytes read or written.
#[allow(clippy::undocumented_unsafe_blocks)]
impl Vector for Avx512 {
    const LANES: usize = 16;
    type F = __m512;
    type U = __m512i;
    type M = __mmask16;

    #[inline(always)]
    unsafe fn enable<W: Work<Self>>(work: W) -> W::Output {
        #[target_feature(enable = "avx512f,avx512bw")]
        unsafe fn enabled<V: Vector, W: Work<V>>(work: W) -> W::Output {
            unsafe { work.run() }
        }
        unsafe { enabled::<Self, W>(work) }
    }

    #[inline(always)]
    unsafe fn splat(value: f32) -> __m512 {
        unsafe { _mm512_set1_ps(value) }
    }
    #[inline(always)]
    unsafe fn splat_u(value: u32) -> __m512i {
        unsafe { _mm512_set1_epi32(value.cast_signed()) }
    }
    #[inline(always)]
    unsafe fn splat_u64(value: u64) -> __m512i {
        unsafe { _mm512_set1_epi64(value.cast_signed()) }
    }
    #[inline(always)]
    unsafe fn load(from: *const f32) -> __m512 {
        unsafe { _mm512_loadu_ps(from) }
    }
    #[inline(always)]
    unsafe fn store(value: __m512, to: *mut f32) {
        unsafe { _mm512_storeu_ps(to, value) }
    }

    #[inline(always)]
    unsafe fn add(a: __m512, b: __m512) -> __m512 {
        unsafe { _mm512_add_ps(a, b) }
    }
    #[inline(always)]
    unsafe fn sub(a: __m512, b: __m512) -> __m512 {
        unsafe { _mm512_sub_ps(a, b) }
    }
    #[inline(always)]
    unsafe fn mul(a: __m512, b: __m512) -> __m512 {
        unsafe { _mm512_mul_ps(a, b) }
    }
    #[inline(always)]
    unsafe fn div(a: __m512, b: __m512) -> __m512 {
        unsafe { _mm512_div_ps(a, b) }
    }
    #[inline(always)]
    unsafe fn sqrt(a: __m512) -> __m512 {
        unsafe { _mm512_sqrt_ps(a) }
    }
    #[inline(always)]
    unsafe fn min(a: __m512, b: __m512) -> __m512 {
        unsafe { _mm512_min_ps(a, b) }
    }
    #[inline(always)]
    unsafe fn max(a: __m512, b: __m512) -> __m512 {
        unsafe { _mm512_max_ps(a, b) }
    }
    #[inline(always)]
    unsafe fn abs(a: __m512) -> __m512 {
        unsafe { _mm512_abs_ps(a) }
    }
    #[inline(always)]
    unsafe fn mul_add(a: __m512, b: __m512, c: __m512) -> __m512 {
        unsafe { _mm512_fmadd_ps(a, b, c) }
    }
    #[inline(always)]
    unsafe fn half_of_next(a: __m512) -> __m512 {
        const DOWN: i32 = _MM_FROUND_TO_ZERO | _MM_FROUND_NO_EXC;
        unsafe {
            let half = _mm512_set1_ps(0.5);
            _mm512_fmadd_round_ps::<DOWN>(a, half, half)
        }
    }
    #[inline(always)]
    unsafe fn round_e2m1(y: __m512) -> __m512 {
        // Trick 1 of the kernel, with fused operations.
        unsafe {
            let magic = _mm512_set1_ps(4_194_304.0);
            let m = _mm512_max_ps(y, _mm512_set1_ps(1.0 + 1.0 / 2_097_152.0));
            let shifted = _mm512_fnmadd_ps(m, magic, y);
            _mm512_fmadd_ps(m, magic, shifted)
        }
    }

    #[inline(always)]
    unsafe fn gt(a: __m512, b: __m512) -> __mmask16 {
        unsafe { _mm512_cmp_ps_mask::<_CMP_GT_OQ>(a, b) }
    }
    #[inline(always)]
    unsafe fn eq(a: __m512, b: __m512) -> __mmask16 {
        unsafe { _mm512_cmp_ps_mask::<_CMP_EQ_OQ>(a, b) }
    }
    #[inline(always)]
    unsafe fn mask_and(a: __mmask16, b: __mmask16) -> __mmask16 {
        a & b
    }
    #[inline(always)]
    unsafe fn mask_bits(mask: __mmask16) -> u32 {
        u32::from(mask)
    }
    #[inline(always)]
    unsafe fn select(mask: __mmask16, a: __m512, b: __m512) -> __m512 {
        unsafe { _mm512_mask_blend_ps(mask, b, a) }
    }

    #[inline(always)]
    unsafe fn to_bits(a: __m512) -> __m512i {
        unsafe { _mm512_castps_si512(a) }
    }
    #[inline(always)]
    unsafe fn from_bits(a: __m512i) -> __m512 {
        unsafe { _mm512_castsi512_ps(a) }
    }
    #[inline(always)]
    unsafe fn and(a: __m512i, b: __m512i) -> __m512i {
        unsafe { _mm512_and_si512(a, b) }
    }
    #[inline(always)]
    unsafe fn or(a: __m512i, b: __m512i) -> __m512i {
        unsafe { _mm512_or_si512(a, b) }
    }
    #[inline(always)]
    unsafe fn xor(a: __m512i, b: __m512i) -> __m512i {
        unsafe { _mm512_xor_si512(a, b) }
    }
    #[inline(always)]
    unsafe fn add_u(a: __m512i, b: __m512i) -> __m512i {
        unsafe { _mm512_add_epi32(a, b) }
    }
    #[inline(always)]
    unsafe fn add_u64(a: __m512i, b: __m512i) -> __m512i {
        unsafe { _mm512_add_epi64(a, b) }
    }
    #[inline(always)]
    unsafe fn add_saturating(a: __m512i, b: __m512i) -> __m512i {
        unsafe { _mm512_adds_epi16(a, b) }
    }
    #[inline(always)]
    unsafe fn mul_even(a: __m512i, b: __m512i) -> __m512i {
        unsafe { _mm512_mul_epu32(a, b) }
    }
    #[inline(always)]
    unsafe fn odd_to_even(a: __m512i) -> __m512i {
        unsafe { _mm512_srli_epi64::<32>(a) }
    }
    #[inline(always)]
    unsafe fn merge_even(even: __m512i, odd: __m512i) -> __m512i {
        unsafe { _mm512_mask_shuffle_epi32::<0xA0>(even, 0xAAAA, odd) }
    }
    #[inline(always)]
    unsafe fn blend_u16(low: __m512i, high: __m512i) -> __m512i {
        unsafe { _mm512_mask_blend_epi16(0xAAAA_AAAA, low, high) }
    }
    #[inline(always)]
    unsafe fn shl<const N: i32>(a: __m512i) -> __m512i {
        unsafe { _mm512_sll_epi32(a, _mm_cvtsi32_si128(N)) }
    }
    #[inline(always)]
    unsafe fn shr<const N: i32>(a: __m512i) -> __m512i {
        unsafe { _mm512_srl_epi32(a, _mm_cvtsi32_si128(N)) }
    }
    #[inline(always)]
    unsafe fn max_u32(a: __m512i, b: __m512i) -> __m512i {
        unsafe { _mm512_max_epu32(a, b) }
    }
    #[inline(always)]
    unsafe fn max_u16(a: __m512i, b: __m512i) -> __m512i {
        unsafe { _mm512_max_epu16(a, b) }
    }

    #[inline(always)]
    unsafe fn codes_of_doubled(nibbles: __m512i) -> __m512i {
        unsafe {
            let table = _mm_setr_epi8(0, 1, 2, 3, 4, 0, 5, 0, 6, 0, 0, 0, 7, 0, 0, 0);
            let table = _mm512_broadcast_i32x4(table);
            let mask = _mm512_set1_epi8(0x0F);
            let even = _mm512_and_si512(nibbles, mask);
            let odd = _mm512_and_si512(_mm512_srli_epi32::<4>(nibbles), mask);
            let even = _mm512_shuffle_epi8(table, even);
            let odd = _mm512_shuffle_epi8(_mm512_slli_epi32::<4>(table), odd);
            _mm512_or_si512(even, odd)
        }
    }
    #[inline(always)]
    unsafe fn sign_nibbles(pairs: [__m512i; 4]) -> __m512i {
        unsafe {
            // A half with its sign set becomes -1 and adds minus its weight.
            let first = _mm512_set1_epi32(0xFF80_FFF8_u32.cast_signed()); // -128, -8
            let second = _mm512_set1_epi32(0x8000_F800_u32.cast_signed()); // -32768, -2048
            let signs = pairs.map(|pair| _mm512_srai_epi16::<15>(pair));
            let low = _mm512_or_si512(
                _mm512_madd_epi16(signs[0], first),
                _mm512_madd_epi16(signs[1], second),
            );
            let high = _mm512_or_si512(
                _mm512_madd_epi16(signs[2], first),
                _mm512_madd_epi16(signs[3], second),
            );
            _mm512_or_si512(low, _mm512_slli_epi32::<16>(high))
        }
    }
    #[inline(always)]
    unsafe fn code_nibbles(pairs: [__m512i; 4]) -> __m512i {
        unsafe {
            let first = _mm512_set1_epi32(16 << 16 | 1);
            let second = _mm512_set1_epi32(4096 << 16 | 256);
            let low = _mm512_or_si512(
                _mm512_madd_epi16(_mm512_srli_epi16::<13>(pairs[0]), first),
                _mm512_madd_epi16(_mm512_srli_epi16::<13>(pairs[1]), second),
            );
            let high = _mm512_or_si512(
                _mm512_madd_epi16(_mm512_srli_epi16::<13>(pairs[2]), first),
                _mm512_madd_epi16(_mm512_srli_epi16::<13>(pairs[3]), second),
            );
            _mm512_or_si512(low, _mm512_slli_epi32::<16>(high))
        }
    }
    #[inline(always)]
    unsafe fn load_transposed(from: *const u32, stride: usize) -> [__m512i; 8] {
        unsafe {
            let left = transpose_4x4([
                four_rows(from, stride, 0, 0),
                four_rows(from, stride, 1, 0),
                four_rows(from, stride, 2, 0),
                four_rows(from, stride, 3, 0),
            ]);
            let right = transpose_4x4([
                four_rows(from, stride, 0, 4),
                four_rows(from, stride, 1, 4),
                four_rows(from, stride, 2, 4),
                four_rows(from, stride, 3, 4),
            ]);
            [left[0], left[1], left[2], left[3], right[0], right[1], right[2], right[3]]
        }
    }
    #[inline(always)]
    unsafe fn to_bf16(value: __m512) -> __m512i {
        unsafe {
            let bits = _mm512_castps_si512(value);
            let odd = _mm512_test_epi32_mask(bits, _mm512_set1_epi32(0x1_0000));
            let half = _mm512_add_epi32(bits, _mm512_set1_epi32(0x7FFF));
            _mm512_mask_sub_epi32(half, odd, half, _mm512_set1_epi32(-1))
        }
    }
    #[inline(always)]
    unsafe fn sums_of_eight(lanes: [__m512; 8]) -> __m512 {
        unsafe {
            let [left, right] = sums_of_four(lanes);
            let even = _mm512_shuffle_f32x4::<0x88>(left, right);
            _mm512_add_ps(even, _mm512_shuffle_f32x4::<0xDD>(left, right))
        }
    }
    #[inline(always)]
    unsafe fn largest(value: __m512i) -> u32 {
        unsafe { _mm512_reduce_max_epu32(value) }
    }
    #[inline(always)]
    unsafe fn sum(value: __m512) -> f32 {
        unsafe {
            let upper = _mm512_castps512_ps256(_mm512_shuffle_f32x4::<0xEE>(value, value));
            super::avx2::sum(_mm256_add_ps(_mm512_castps512_ps256(value), upper))
        }
    }
    #[inline(always)]
    unsafe fn from_f16(bits: __m512i) -> __m512 {
        unsafe { _mm512_cvtph_ps(_mm512_cvtepi32_epi16(bits)) }
    }
    #[inline(always)]
    unsafe fn to_f16(value: __m512) -> __m512i {
        unsafe { _mm512_cvtepu16_epi32(_mm512_cvtps_ph::<_MM_FROUND_TO_NEAREST_INT>(value)) }
    }
    #[inline(always)]
    unsafe fn load_u32(from: *const u32) -> __m512i {
        unsafe { _mm512_loadu_si512(from.cast()) }
    }
    #[inline(always)]
    unsafe fn load_u16(from: *const u16) -> __m512i {
        unsafe { _mm512_cvtepu16_epi32(_mm256_loadu_si256(from.cast())) }
    }
    #[inline(always)]
    unsafe fn store_interleaved(low: __m512i, high: __m512i, to: *mut u8) {
        unsafe {
            let a = _mm512_unpacklo_epi32(low, high);
            let b = _mm512_unpackhi_epi32(low, high);
            let front = _mm512_setr_epi64(0, 1, 8, 9, 2, 3, 10, 11);
            let back = _mm512_setr_epi64(4, 5, 12, 13, 6, 7, 14, 15);
            let to: *mut __m512i = to.cast();
            _mm512_storeu_si512(to, _mm512_permutex2var_epi64(a, front, b));
            _mm512_storeu_si512(to.add(1), _mm512_permutex2var_epi64(a, back, b));
        }
    }
    #[inline(always)]
    unsafe fn store_bytes(value: __m512i, to: *mut u8) {
        unsafe { _mm_storeu_si128(to.cast(), _mm512_cvtepi32_epi8(value)) }
    }

    #[inline(always)]
    unsafe fn look_up(magnitudes: [u16; 8], codes: &[u8; 8], to: *mut u16) {
        // AVX-512 F brings AVX2 along.
        unsafe { super::avx2::Avx2::look_up(magnitudes, codes, to) }
    }
}
