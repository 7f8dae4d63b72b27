//! AVX2, FMA and F16C: eight lanes.

use std::arch::x86_64::*;

use super::vector::{Vector, Work};

/// See the module.
#[derive(Clone, Copy)]
pub(crate) struct Avx2;

/// Swaps rows and columns of the four 4x4 matrices that the 128-bit halves of `rows` make.
#[inline(always)]
unsafe fn transpose_4x4(rows: [__m256i; 4]) -> [__m256i; 4] {
    // SAFETY: the caller is in a function that enables AVX2.
    unsafe {
        let low_01 = _mm256_unpacklo_epi32(rows[0], rows[1]);
        let low_23 = _mm256_unpacklo_epi32(rows[2], rows[3]);
        let high_01 = _mm256_unpackhi_epi32(rows[0], rows[1]);
        let high_23 = _mm256_unpackhi_epi32(rows[2], rows[3]);
        [
            _mm256_unpacklo_epi64(low_01, low_23),
            _mm256_unpackhi_epi64(low_01, low_23),
            _mm256_unpacklo_epi64(high_01, high_23),
            _mm256_unpackhi_epi64(high_01, high_23),
        ]
    }
}

/// The sums of the 128-bit halves: of four vectors' lower ones, then of their upper ones.
#[inline(always)]
unsafe fn sums_of_four(lanes: [__m256; 8]) -> [__m256; 2] {
    // SAFETY: the caller is in a function that enables AVX2.
    unsafe {
        let mut pairs = [_mm256_setzero_ps(); 4];
        for (k, pair) in pairs.iter_mut().enumerate() {
            let [a, b] = [lanes[2 * k], lanes[2 * k + 1]];
            *pair = _mm256_add_ps(_mm256_unpacklo_ps(a, b), _mm256_unpackhi_ps(a, b));
        }
        let mut sums = [_mm256_setzero_ps(); 2];
        for (k, sum) in sums.iter_mut().enumerate() {
            let a = _mm256_castps_pd(pairs[2 * k]);
            let b = _mm256_castps_pd(pairs[2 * k + 1]);
            let low = _mm256_castpd_ps(_mm256_unpacklo_pd(a, b));
            *sum = _mm256_add_ps(low, _mm256_castpd_ps(_mm256_unpackhi_pd(a, b)));
        }
        sums
    }
}

/// See [`Vector::sum`].
#[inline(always)]
pub(super) unsafe fn sum(value: __m256) -> f32 {
    // SAFETY: the caller is in a function that enables AVX2.
    unsafe {
        let four = _mm_add_ps(_mm256_castps256_ps128(value), _mm256_extractf128_ps::<1>(value));
        let two = _mm_add_ps(four, _mm_movehl_ps(four, four));
        _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)))
    }
}

// SAFETY (all functions): the trait's contract puts the caller in a function that enables AVX2,
// FMA and F16C, and makes pointers good for the bytes read or written.
#[allow(clippy::undocumented_unsafe_blocks)]
impl Vector for Avx2 {
    const LANES: usize = 8;
    type F = __m256;
    type U = __m256i;
    type M = __m256;

    #[inline(always)]
    unsafe fn enable<W: Work<Self>>(work: W) -> W::Output {
        #[target_feature(enable = "avx2,fma,f16c")]
        unsafe fn enabled<V: Vector, W: Work<V>>(work: W) -> W::Output {
            unsafe { work.run() }
        }
        unsafe { enabled::<Self, W>(work) }
    }

    #[inline(always)]
    unsafe fn splat(value: f32) -> __m256 {
        unsafe { _mm256_set1_ps(value) }
    }
    #[inline(always)]
    unsafe fn splat_u(value: u32) -> __m256i {
        unsafe { _mm256_set1_epi32(value.cast_signed()) }
    }
    #[inline(always)]
    unsafe fn splat_u64(value: u64) -> __m256i {
        unsafe { _mm256_set1_epi64x(value.cast_signed()) }
    }
    #[inline(always)]
    unsafe fn load(from: *const f32) -> __m256 {
        unsafe { _mm256_loadu_ps(from) }
    }
    #[inline(always)]
    unsafe fn store(value: __m256, to: *mut f32) {
        unsafe { _mm256_storeu_ps(to, value) }
    }

    #[inline(always)]
    unsafe fn add(a: __m256, b: __m256) -> __m256 {
        unsafe { _mm256_add_ps(a, b) }
    }
    #[inline(always)]
    unsafe fn sub(a: __m256, b: __m256) -> __m256 {
        unsafe { _mm256_sub_ps(a, b) }
    }
    #[inline(always)]
    unsafe fn mul(a: __m256, b: __m256) -> __m256 {
        unsafe { _mm256_mul_ps(a, b) }
    }
    #[inline(always)]
    unsafe fn div(a: __m256, b: __m256) -> __m256 {
        unsafe { _mm256_div_ps(a, b) }
    }
    #[inline(always)]
    unsafe fn sqrt(a: __m256) -> __m256 {
        unsafe { _mm256_sqrt_ps(a) }
    }
    #[inline(always)]
    unsafe fn min(a: __m256, b: __m256) -> __m256 {
        unsafe { _mm256_min_ps(a, b) }
    }
    #[inline(always)]
    unsafe fn max(a: __m256, b: __m256) -> __m256 {
        unsafe { _mm256_max_ps(a, b) }
    }
    #[inline(always)]
    unsafe fn abs(a: __m256) -> __m256 {
        unsafe { _mm256_andnot_ps(_mm256_set1_ps(-0.0), a) }
    }
    #[inline(always)]
    unsafe fn mul_add(a: __m256, b: __m256, c: __m256) -> __m256 {
        unsafe { _mm256_fmadd_ps(a, b, c) }
    }
    #[inline(always)]
    unsafe fn round_e2m1(y: __m256) -> __m256 {
        // Trick 1 of the kernel, with fused operations.
        unsafe {
            let magic = _mm256_set1_ps(4_194_304.0);
            let m = _mm256_max_ps(y, _mm256_set1_ps(1.0 + 1.0 / 2_097_152.0));
            let shifted = _mm256_fnmadd_ps(m, magic, y);
            _mm256_fmadd_ps(m, magic, shifted)
        }
    }

    #[inline(always)]
    unsafe fn gt(a: __m256, b: __m256) -> __m256 {
        unsafe { _mm256_cmp_ps::<_CMP_GT_OQ>(a, b) }
    }
    #[inline(always)]
    unsafe fn eq(a: __m256, b: __m256) -> __m256 {
        unsafe { _mm256_cmp_ps::<_CMP_EQ_OQ>(a, b) }
    }
    #[inline(always)]
    unsafe fn mask_and(a: __m256, b: __m256) -> __m256 {
        unsafe { _mm256_and_ps(a, b) }
    }
    #[inline(always)]
    unsafe fn mask_bits(mask: __m256) -> u32 {
        unsafe { _mm256_movemask_ps(mask).cast_unsigned() }
    }
    #[inline(always)]
    unsafe fn select(mask: __m256, a: __m256, b: __m256) -> __m256 {
        unsafe { _mm256_blendv_ps(b, a, mask) }
    }

    #[inline(always)]
    unsafe fn to_bits(a: __m256) -> __m256i {
        unsafe { _mm256_castps_si256(a) }
    }
    #[inline(always)]
    unsafe fn from_bits(a: __m256i) -> __m256 {
        unsafe { _mm256_castsi256_ps(a) }
    }
    #[inline(always)]
    unsafe fn and(a: __m256i, b: __m256i) -> __m256i {
        unsafe { _mm256_and_si256(a, b) }
    }
    #[inline(always)]
    unsafe fn or(a: __m256i, b: __m256i) -> __m256i {
        unsafe { _mm256_or_si256(a, b) }
    }
    #[inline(always)]
    unsafe fn xor(a: __m256i, b: __m256i) -> __m256i {
        unsafe { _mm256_xor_si256(a, b) }
    }
    #[inline(always)]
    unsafe fn add_u(a: __m256i, b: __m256i) -> __m256i {
        unsafe { _mm256_add_epi32(a, b) }
    }
    #[inline(always)]
    unsafe fn add_u64(a: __m256i, b: __m256i) -> __m256i {
        unsafe { _mm256_add_epi64(a, b) }
    }
    #[inline(always)]
    unsafe fn add_saturating(a: __m256i, b: __m256i) -> __m256i {
        unsafe { _mm256_adds_epi16(a, b) }
    }
    #[inline(always)]
    unsafe fn mul_even(a: __m256i, b: __m256i) -> __m256i {
        unsafe { _mm256_mul_epu32(a, b) }
    }
    #[inline(always)]
    unsafe fn odd_to_even(a: __m256i) -> __m256i {
        unsafe { _mm256_srli_epi64::<32>(a) }
    }
    #[inline(always)]
    unsafe fn merge_even(even: __m256i, odd: __m256i) -> __m256i {
        unsafe { _mm256_blend_epi32::<0xAA>(even, _mm256_slli_epi64::<32>(odd)) }
    }
    #[inline(always)]
    unsafe fn blend_u16(low: __m256i, high: __m256i) -> __m256i {
        unsafe { _mm256_blend_epi16::<0xAA>(low, high) }
    }
    #[inline(always)]
    unsafe fn shl<const N: i32>(a: __m256i) -> __m256i {
        unsafe { _mm256_slli_epi32::<N>(a) }
    }
    #[inline(always)]
    unsafe fn shr<const N: i32>(a: __m256i) -> __m256i {
        unsafe { _mm256_srli_epi32::<N>(a) }
    }
    #[inline(always)]
    unsafe fn max_u32(a: __m256i, b: __m256i) -> __m256i {
        unsafe { _mm256_max_epu32(a, b) }
    }
    #[inline(always)]
    unsafe fn max_u16(a: __m256i, b: __m256i) -> __m256i {
        unsafe { _mm256_max_epu16(a, b) }
    }

    #[inline(always)]
    unsafe fn codes_of_doubled(nibbles: __m256i) -> __m256i {
        unsafe {
            let table = _mm_setr_epi8(0, 1, 2, 3, 4, 0, 5, 0, 6, 0, 0, 0, 7, 0, 0, 0);
            let table = _mm256_broadcastsi128_si256(table);
            let mask = _mm256_set1_epi8(0x0F);
            let even = _mm256_and_si256(nibbles, mask);
            let odd = _mm256_and_si256(_mm256_srli_epi32::<4>(nibbles), mask);
            let even = _mm256_shuffle_epi8(table, even);
            let odd = _mm256_shuffle_epi8(_mm256_slli_epi32::<4>(table), odd);
            _mm256_or_si256(even, odd)
        }
    }
    #[inline(always)]
    unsafe fn sign_nibbles(pairs: [__m256i; 4]) -> __m256i {
        unsafe {
            // A half with its sign set becomes -1 and adds minus its weight.
            let first = _mm256_set1_epi32(0xFF80_FFF8_u32.cast_signed()); // -128, -8
            let second = _mm256_set1_epi32(0x8000_F800_u32.cast_signed()); // -32768, -2048
            let signs = pairs.map(|pair| _mm256_srai_epi16::<15>(pair));
            let low = _mm256_or_si256(
                _mm256_madd_epi16(signs[0], first),
                _mm256_madd_epi16(signs[1], second),
            );
            let high = _mm256_or_si256(
                _mm256_madd_epi16(signs[2], first),
                _mm256_madd_epi16(signs[3], second),
            );
            _mm256_or_si256(low, _mm256_slli_epi32::<16>(high))
        }
    }
    #[inline(always)]
    unsafe fn code_nibbles(pairs: [__m256i; 4]) -> __m256i {
        unsafe {
            let first = _mm256_set1_epi32(16 << 16 | 1);
            let second = _mm256_set1_epi32(4096 << 16 | 256);
            let low = _mm256_or_si256(
                _mm256_madd_epi16(_mm256_srli_epi16::<13>(pairs[0]), first),
                _mm256_madd_epi16(_mm256_srli_epi16::<13>(pairs[1]), second),
            );
            let high = _mm256_or_si256(
                _mm256_madd_epi16(_mm256_srli_epi16::<13>(pairs[2]), first),
                _mm256_madd_epi16(_mm256_srli_epi16::<13>(pairs[3]), second),
            );
            _mm256_or_si256(low, _mm256_slli_epi32::<16>(high))
        }
    }
    #[inline(always)]
    unsafe fn load_transposed(from: *const u32, stride: usize) -> [__m256i; 8] {
        unsafe {
            let half = |row: usize, k: usize| _mm_loadu_si128(from.add(row * stride + k).cast());
            let both = |row: usize, k: usize| {
                _mm256_inserti128_si256::<1>(_mm256_castsi128_si256(half(row, k)), half(row + 4, k))
            };
            let left = transpose_4x4([both(0, 0), both(1, 0), both(2, 0), both(3, 0)]);
            let right = transpose_4x4([both(0, 4), both(1, 4), both(2, 4), both(3, 4)]);
            [left[0], left[1], left[2], left[3], right[0], right[1], right[2], right[3]]
        }
    }
    #[inline(always)]
    unsafe fn largest(value: __m256i) -> u32 {
        unsafe {
            let four =
                _mm_max_epu32(_mm256_castsi256_si128(value), _mm256_extracti128_si256::<1>(value));
            let two = _mm_max_epu32(four, _mm_shuffle_epi32::<0x4E>(four));
            let one = _mm_max_epu32(two, _mm_shuffle_epi32::<0xB1>(two));
            _mm_cvtsi128_si32(one).cast_unsigned()
        }
    }
    #[inline(always)]
    unsafe fn sum(value: __m256) -> f32 {
        unsafe { sum(value) }
    }
    #[inline(always)]
    unsafe fn sums_of_eight(lanes: [__m256; 8]) -> __m256 {
        unsafe {
            let [left, right] = sums_of_four(lanes);
            let low = _mm256_permute2f128_ps::<0x20>(left, right);
            _mm256_add_ps(low, _mm256_permute2f128_ps::<0x31>(left, right))
        }
    }
    #[inline(always)]
    unsafe fn from_f16(bits: __m256i) -> __m256 {
        unsafe {
            let low = _mm256_castsi256_si128(bits);
            let words = _mm_packus_epi32(low, _mm256_extracti128_si256::<1>(bits));
            _mm256_cvtph_ps(words)
        }
    }
    #[inline(always)]
    unsafe fn to_f16(value: __m256) -> __m256i {
        unsafe { _mm256_cvtepu16_epi32(_mm256_cvtps_ph::<_MM_FROUND_TO_NEAREST_INT>(value)) }
    }
    #[inline(always)]
    unsafe fn load_u32(from: *const u32) -> __m256i {
        unsafe { _mm256_loadu_si256(from.cast()) }
    }
    #[inline(always)]
    unsafe fn load_u16(from: *const u16) -> __m256i {
        unsafe { _mm256_cvtepu16_epi32(_mm_loadu_si128(from.cast())) }
    }
    #[inline(always)]
    unsafe fn store_interleaved(low: __m256i, high: __m256i, to: *mut u8) {
        unsafe {
            let a = _mm256_unpacklo_epi32(low, high);
            let b = _mm256_unpackhi_epi32(low, high);
            let to: *mut __m256i = to.cast();
            _mm256_storeu_si256(to, _mm256_permute2x128_si256::<0x20>(a, b));
            _mm256_storeu_si256(to.add(1), _mm256_permute2x128_si256::<0x31>(a, b));
        }
    }
    #[inline(always)]
    unsafe fn store_bytes(value: __m256i, to: *mut u8) {
        unsafe {
            let low = _mm256_castsi256_si128(value);
            let words = _mm_packus_epi32(low, _mm256_extracti128_si256::<1>(value));
            _mm_storel_epi64(to.cast(), _mm_packus_epi16(words, words));
        }
    }

    #[inline(always)]
    unsafe fn look_up(magnitudes: [u16; 8], codes: &[u8; 8], to: *mut u16) {
        unsafe {
            // Two tables of 16 bytes: the low and the high halves of the 16 words.
            let words = _mm_loadu_si128(magnitudes.as_ptr().cast());
            let low = _mm_and_si128(words, _mm_set1_epi16(0xFF));
            let low = _mm_packus_epi16(low, low);
            let high = _mm_srli_epi16::<8>(words);
            let signed = _mm_xor_si128(high, _mm_set1_epi16(0x80));
            let high = _mm_packus_epi16(high, signed);
            let codes = _mm_loadl_epi64(codes.as_ptr().cast());
            let mask = _mm_set1_epi8(0x0F);
            let even = _mm_and_si128(codes, mask);
            let odd = _mm_and_si128(_mm_srli_epi16::<4>(codes), mask);
            let index = _mm_unpacklo_epi8(even, odd);
            let low = _mm_shuffle_epi8(low, index);
            let high = _mm_shuffle_epi8(high, index);
            let to: *mut __m128i = to.cast();
            _mm_storeu_si128(to, _mm_unpacklo_epi8(low, high));
            _mm_storeu_si128(to.add(1), _mm_unpackhi_epi8(low, high));
        }
    }
}
