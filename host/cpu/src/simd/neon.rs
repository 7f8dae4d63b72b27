//! NEON: four lanes.

use std::arch::aarch64::*;

use super::vector::{Vector, Work};

/// See the module.
#[derive(Clone, Copy)]
pub(crate) struct Neon;

#[inline(always)]
unsafe fn transpose_4x4(rows: [uint32x4_t; 4]) -> [uint32x4_t; 4] {
    // SAFETY: NEON is part of the target.
    unsafe {
        let low_02 = vzip1q_u32(rows[0], rows[2]);
        let low_13 = vzip1q_u32(rows[1], rows[3]);
        let high_02 = vzip2q_u32(rows[0], rows[2]);
        let high_13 = vzip2q_u32(rows[1], rows[3]);
        [
            vzip1q_u32(low_02, low_13),
            vzip2q_u32(low_02, low_13),
            vzip1q_u32(high_02, high_13),
            vzip2q_u32(high_02, high_13),
        ]
    }
}

// SAFETY (all functions): the trait's contract puts the caller in a function that enables NEON, and
// makes pointers good for the bytes read or written.
#[allow(clippy::undocumented_unsafe_blocks)]
impl Vector for Neon {
    const LANES: usize = 4;
    type F = float32x4_t;
    type U = uint32x4_t;
    type M = uint32x4_t;

    #[inline(always)]
    unsafe fn enable<W: Work<Self>>(work: W) -> W::Output {
        #[target_feature(enable = "neon")]
        unsafe fn enabled<V: Vector, W: Work<V>>(work: W) -> W::Output {
            unsafe { work.run() }
        }
        unsafe { enabled::<Self, W>(work) }
    }

    #[inline(always)]
    unsafe fn splat(value: f32) -> float32x4_t {
        unsafe { vdupq_n_f32(value) }
    }
    #[inline(always)]
    unsafe fn splat_u(value: u32) -> uint32x4_t {
        unsafe { vdupq_n_u32(value) }
    }
    #[inline(always)]
    unsafe fn splat_u64(value: u64) -> uint32x4_t {
        unsafe { vreinterpretq_u32_u64(vdupq_n_u64(value)) }
    }
    #[inline(always)]
    unsafe fn load(from: *const f32) -> float32x4_t {
        unsafe { vld1q_f32(from) }
    }
    #[inline(always)]
    unsafe fn store(value: float32x4_t, to: *mut f32) {
        unsafe { vst1q_f32(to, value) }
    }

    #[inline(always)]
    unsafe fn add(a: float32x4_t, b: float32x4_t) -> float32x4_t {
        unsafe { vaddq_f32(a, b) }
    }
    #[inline(always)]
    unsafe fn sub(a: float32x4_t, b: float32x4_t) -> float32x4_t {
        unsafe { vsubq_f32(a, b) }
    }
    #[inline(always)]
    unsafe fn mul(a: float32x4_t, b: float32x4_t) -> float32x4_t {
        unsafe { vmulq_f32(a, b) }
    }
    #[inline(always)]
    unsafe fn div(a: float32x4_t, b: float32x4_t) -> float32x4_t {
        unsafe { vdivq_f32(a, b) }
    }
    #[inline(always)]
    unsafe fn sqrt(a: float32x4_t) -> float32x4_t {
        unsafe { vsqrtq_f32(a) }
    }
    #[inline(always)]
    unsafe fn min(a: float32x4_t, b: float32x4_t) -> float32x4_t {
        unsafe { vminq_f32(a, b) }
    }
    #[inline(always)]
    unsafe fn max(a: float32x4_t, b: float32x4_t) -> float32x4_t {
        unsafe { vmaxq_f32(a, b) }
    }
    #[inline(always)]
    unsafe fn abs(a: float32x4_t) -> float32x4_t {
        unsafe { vabsq_f32(a) }
    }
    #[inline(always)]
    unsafe fn mul_add(a: float32x4_t, b: float32x4_t, c: float32x4_t) -> float32x4_t {
        unsafe { vfmaq_f32(c, a, b) }
    }
    #[inline(always)]
    unsafe fn round_e2m1(y: float32x4_t) -> float32x4_t {
        // Trick 1 of the kernel, with fused operations.
        unsafe {
            let magic = vdupq_n_f32(4_194_304.0);
            let m = vmaxq_f32(y, vdupq_n_f32(1.0 + 1.0 / 2_097_152.0));
            vfmaq_f32(vfmsq_f32(y, m, magic), m, magic)
        }
    }

    #[inline(always)]
    unsafe fn gt(a: float32x4_t, b: float32x4_t) -> uint32x4_t {
        unsafe { vcgtq_f32(a, b) }
    }
    #[inline(always)]
    unsafe fn eq(a: float32x4_t, b: float32x4_t) -> uint32x4_t {
        unsafe { vceqq_f32(a, b) }
    }
    #[inline(always)]
    unsafe fn mask_and(a: uint32x4_t, b: uint32x4_t) -> uint32x4_t {
        unsafe { vandq_u32(a, b) }
    }
    #[inline(always)]
    unsafe fn mask_bits(mask: uint32x4_t) -> u32 {
        unsafe { vaddvq_u32(vandq_u32(mask, vld1q_u32([1, 2, 4, 8].as_ptr()))) }
    }
    #[inline(always)]
    unsafe fn select(mask: uint32x4_t, a: float32x4_t, b: float32x4_t) -> float32x4_t {
        unsafe { vbslq_f32(mask, a, b) }
    }

    #[inline(always)]
    unsafe fn to_bits(a: float32x4_t) -> uint32x4_t {
        unsafe { vreinterpretq_u32_f32(a) }
    }
    #[inline(always)]
    unsafe fn from_bits(a: uint32x4_t) -> float32x4_t {
        unsafe { vreinterpretq_f32_u32(a) }
    }
    #[inline(always)]
    unsafe fn and(a: uint32x4_t, b: uint32x4_t) -> uint32x4_t {
        unsafe { vandq_u32(a, b) }
    }
    #[inline(always)]
    unsafe fn or(a: uint32x4_t, b: uint32x4_t) -> uint32x4_t {
        unsafe { vorrq_u32(a, b) }
    }
    #[inline(always)]
    unsafe fn xor(a: uint32x4_t, b: uint32x4_t) -> uint32x4_t {
        unsafe { veorq_u32(a, b) }
    }
    #[inline(always)]
    unsafe fn add_u(a: uint32x4_t, b: uint32x4_t) -> uint32x4_t {
        unsafe { vaddq_u32(a, b) }
    }
    #[inline(always)]
    unsafe fn add_u64(a: uint32x4_t, b: uint32x4_t) -> uint32x4_t {
        unsafe {
            let sum = vaddq_u64(vreinterpretq_u64_u32(a), vreinterpretq_u64_u32(b));
            vreinterpretq_u32_u64(sum)
        }
    }
    #[inline(always)]
    unsafe fn add_saturating(a: uint32x4_t, b: uint32x4_t) -> uint32x4_t {
        unsafe {
            let sum = vqaddq_s16(vreinterpretq_s16_u32(a), vreinterpretq_s16_u32(b));
            vreinterpretq_u32_s16(sum)
        }
    }
    #[inline(always)]
    unsafe fn mul_even(a: uint32x4_t, b: uint32x4_t) -> uint32x4_t {
        unsafe {
            let [a, b] = [vmovn_u64(vreinterpretq_u64_u32(a)), vmovn_u64(vreinterpretq_u64_u32(b))];
            vreinterpretq_u32_u64(vmull_u32(a, b))
        }
    }
    #[inline(always)]
    unsafe fn odd_to_even(a: uint32x4_t) -> uint32x4_t {
        unsafe { vrev64q_u32(a) }
    }
    #[inline(always)]
    unsafe fn merge_even(even: uint32x4_t, odd: uint32x4_t) -> uint32x4_t {
        unsafe { vtrn1q_u32(even, odd) }
    }
    #[inline(always)]
    unsafe fn blend_u16(low: uint32x4_t, high: uint32x4_t) -> uint32x4_t {
        unsafe { vbslq_u32(vdupq_n_u32(0xFFFF), low, high) }
    }
    #[inline(always)]
    unsafe fn shl<const N: i32>(a: uint32x4_t) -> uint32x4_t {
        unsafe { vshlq_n_u32::<N>(a) }
    }
    #[inline(always)]
    unsafe fn shr<const N: i32>(a: uint32x4_t) -> uint32x4_t {
        unsafe { vshrq_n_u32::<N>(a) }
    }
    #[inline(always)]
    unsafe fn max_u32(a: uint32x4_t, b: uint32x4_t) -> uint32x4_t {
        unsafe { vmaxq_u32(a, b) }
    }
    #[inline(always)]
    unsafe fn max_u16(a: uint32x4_t, b: uint32x4_t) -> uint32x4_t {
        unsafe {
            let max = vmaxq_u16(vreinterpretq_u16_u32(a), vreinterpretq_u16_u32(b));
            vreinterpretq_u32_u16(max)
        }
    }

    #[inline(always)]
    unsafe fn codes_of_doubled(nibbles: uint32x4_t) -> uint32x4_t {
        unsafe {
            let table = vld1q_u8([0, 1, 2, 3, 4, 0, 5, 0, 6, 0, 0, 0, 7, 0, 0, 0].as_ptr());
            let bytes = vreinterpretq_u8_u32(nibbles);
            let even = vqtbl1q_u8(table, vandq_u8(bytes, vdupq_n_u8(0x0F)));
            let odd = vqtbl1q_u8(vshlq_n_u8::<4>(table), vshrq_n_u8::<4>(bytes));
            vreinterpretq_u32_u8(vorrq_u8(even, odd))
        }
    }
    #[inline(always)]
    unsafe fn sign_nibbles(pairs: [uint32x4_t; 4]) -> uint32x4_t {
        unsafe {
            let (low, high) = (vdupq_n_u32(0x08), vdupq_n_u32(0x80));
            let byte = pairs.map(|pair| {
                let first = vandq_u32(vshrq_n_u32::<12>(pair), low);
                vorrq_u32(first, vandq_u32(vshrq_n_u32::<24>(pair), high))
            });
            let front = vorrq_u32(byte[0], vshlq_n_u32::<8>(byte[1]));
            let back = vorrq_u32(vshlq_n_u32::<16>(byte[2]), vshlq_n_u32::<24>(byte[3]));
            vorrq_u32(front, back)
        }
    }
    #[inline(always)]
    unsafe fn code_nibbles(pairs: [uint32x4_t; 4]) -> uint32x4_t {
        unsafe {
            let (low, high) = (vdupq_n_u32(0x07), vdupq_n_u32(0x70));
            let byte = pairs.map(|pair| {
                let first = vandq_u32(vshrq_n_u32::<13>(pair), low);
                vorrq_u32(first, vandq_u32(vshrq_n_u32::<25>(pair), high))
            });
            let front = vorrq_u32(byte[0], vshlq_n_u32::<8>(byte[1]));
            let back = vorrq_u32(vshlq_n_u32::<16>(byte[2]), vshlq_n_u32::<24>(byte[3]));
            vorrq_u32(front, back)
        }
    }
    #[inline(always)]
    unsafe fn load_transposed(from: *const u32, stride: usize) -> [uint32x4_t; 8] {
        unsafe {
            let row = |row: usize, k: usize| {
                vreinterpretq_u32_u8(vld1q_u8(from.add(row * stride + k).cast()))
            };
            let left = transpose_4x4([row(0, 0), row(1, 0), row(2, 0), row(3, 0)]);
            let right = transpose_4x4([row(0, 4), row(1, 4), row(2, 4), row(3, 4)]);
            [left[0], left[1], left[2], left[3], right[0], right[1], right[2], right[3]]
        }
    }
    #[inline(always)]
    unsafe fn sums_of_eight(lanes: [float32x4_t; 8]) -> float32x4_t {
        unsafe {
            let first = vpaddq_f32(vpaddq_f32(lanes[0], lanes[1]), vpaddq_f32(lanes[2], lanes[3]));
            let second = vpaddq_f32(vpaddq_f32(lanes[4], lanes[5]), vpaddq_f32(lanes[6], lanes[7]));
            vpaddq_f32(first, second)
        }
    }
    #[inline(always)]
    unsafe fn load_u32(from: *const u32) -> uint32x4_t {
        unsafe { vreinterpretq_u32_u8(vld1q_u8(from.cast())) }
    }
    #[inline(always)]
    unsafe fn load_u16(from: *const u16) -> uint32x4_t {
        unsafe { vmovl_u16(vreinterpret_u16_u8(vld1_u8(from.cast()))) }
    }
    #[inline(always)]
    unsafe fn store_interleaved(low: uint32x4_t, high: uint32x4_t, to: *mut u8) {
        unsafe {
            vst1q_u8(to, vreinterpretq_u8_u32(vzip1q_u32(low, high)));
            vst1q_u8(to.add(16), vreinterpretq_u8_u32(vzip2q_u32(low, high)));
        }
    }
    #[inline(always)]
    unsafe fn store_bytes(value: uint32x4_t, to: *mut u8) {
        unsafe {
            let words = vmovn_u32(value);
            let bytes = vreinterpret_u32_u8(vmovn_u16(vcombine_u16(words, words)));
            to.cast::<u32>().write_unaligned(vget_lane_u32::<0>(bytes));
        }
    }
}
