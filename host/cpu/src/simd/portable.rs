//! Plain Rust over arrays: what runs where no other path does, and how the kernel is tested with
//! the lane counts of instruction sets that the testing machine lacks.

use std::array::from_fn;

use super::vector::{Vector, Work};

/// `N` lanes, 4 or 8.
#[derive(Clone, Copy)]
pub(crate) struct Portable<const N: usize>;

/// An array of `$lane` for each lane `$i`, written out: in a loop, or with `from_fn`, the compiler would
/// spend most of its time on unrolling the same four steps for every operation of the kernels.
macro_rules! lanes {
    ($zero:expr, |$i:ident| $lane:expr) => {{
        const { assert!(N == 4 || N == 8) };
        let mut lanes = [$zero; N];
        lanes!(lanes, |$i| $lane, 0 1 2 3);
        if N == 8 {
            lanes!(lanes, |$i| $lane, 4 5 6 7);
        }
        lanes
    }};
    ($lanes:ident, |$i:ident| $lane:expr, $($number:literal)*) => {
        $({
            let $i = $number;
            $lanes[$number] = $lane;
        })*
    };
}

// SAFETY (all functions): nothing but the pointers can go wrong, and the trait's contract makes
// them good for the bytes read or written.
#[allow(clippy::undocumented_unsafe_blocks)]
impl<const N: usize> Vector for Portable<N> {
    const LANES: usize = N;
    const WRITTEN_OUT: bool = false;
    type F = [f32; N];
    type U = [u32; N];
    /// All bits of a lane, or none: of `bool`s the compiler makes no vectors.
    type M = [u32; N];

    #[inline(always)]
    unsafe fn enable<W: Work<Self>>(work: W) -> W::Output {
        unsafe { work.run() }
    }

    #[inline(always)]
    unsafe fn splat(value: f32) -> [f32; N] {
        [value; N]
    }
    #[inline(always)]
    unsafe fn splat_u(value: u32) -> [u32; N] {
        [value; N]
    }
    #[inline(always)]
    unsafe fn splat_u64(value: u64) -> [u32; N] {
        lanes!(0, |i| (value >> (32 * (i & 1))) as u32)
    }
    #[inline(always)]
    unsafe fn load(from: *const f32) -> [f32; N] {
        unsafe { from.cast::<[f32; N]>().read_unaligned() }
    }
    #[inline(always)]
    unsafe fn store(value: [f32; N], to: *mut f32) {
        unsafe { to.cast::<[f32; N]>().write_unaligned(value) }
    }

    #[inline(always)]
    unsafe fn add(a: [f32; N], b: [f32; N]) -> [f32; N] {
        lanes!(0.0, |i| a[i] + b[i])
    }
    #[inline(always)]
    unsafe fn sub(a: [f32; N], b: [f32; N]) -> [f32; N] {
        lanes!(0.0, |i| a[i] - b[i])
    }
    #[inline(always)]
    unsafe fn mul(a: [f32; N], b: [f32; N]) -> [f32; N] {
        lanes!(0.0, |i| a[i] * b[i])
    }
    #[inline(always)]
    unsafe fn div(a: [f32; N], b: [f32; N]) -> [f32; N] {
        lanes!(0.0, |i| a[i] / b[i])
    }
    #[inline(always)]
    unsafe fn sqrt(a: [f32; N]) -> [f32; N] {
        lanes!(0.0, |i| a[i].sqrt())
    }
    #[inline(always)]
    unsafe fn min(a: [f32; N], b: [f32; N]) -> [f32; N] {
        lanes!(0.0, |i| if a[i] < b[i] { a[i] } else { b[i] })
    }
    #[inline(always)]
    unsafe fn max(a: [f32; N], b: [f32; N]) -> [f32; N] {
        lanes!(0.0, |i| if a[i] > b[i] { a[i] } else { b[i] })
    }
    #[inline(always)]
    unsafe fn abs(a: [f32; N]) -> [f32; N] {
        lanes!(0.0, |i| a[i].abs())
    }
    #[inline(always)]
    unsafe fn mul_add(a: [f32; N], b: [f32; N], c: [f32; N]) -> [f32; N] {
        // Two roundings: a fused operation is a library call on CPUs without the instruction.
        lanes!(0.0, |i| a[i] * b[i] + c[i])
    }
    #[inline(always)]
    unsafe fn round_e2m1(y: [f32; N]) -> [f32; N] {
        // Trick 1 of the kernel without fused operations: with m cut down to a power of two,
        // m·1.5·2^22 is exact and its ulp is m/2, the grid's step at y.
        lanes!(0.0, |i| {
            let above = if y[i] > 1.0 { y[i] } else { 1.0 };
            let m = f32::from_bits(above.to_bits() & 0x7F80_0000);
            let magic = m * 6_291_456.0;
            (y[i] + magic) - magic
        })
    }

    #[inline(always)]
    unsafe fn gt(a: [f32; N], b: [f32; N]) -> [u32; N] {
        lanes!(0, |i| if a[i] > b[i] { u32::MAX } else { 0 })
    }
    #[inline(always)]
    unsafe fn eq(a: [f32; N], b: [f32; N]) -> [u32; N] {
        lanes!(0, |i| if a[i] == b[i] { u32::MAX } else { 0 })
    }
    #[inline(always)]
    unsafe fn mask_and(a: [u32; N], b: [u32; N]) -> [u32; N] {
        lanes!(0, |i| a[i] & b[i])
    }
    #[inline(always)]
    unsafe fn mask_bits(mask: [u32; N]) -> u32 {
        let bits = lanes!(0, |i| (mask[i] & 1) << i);
        bits.iter().fold(0, |all, bit| all | bit)
    }
    #[inline(always)]
    unsafe fn select(mask: [u32; N], a: [f32; N], b: [f32; N]) -> [f32; N] {
        lanes!(0.0, |i| {
            f32::from_bits((a[i].to_bits() & mask[i]) | (b[i].to_bits() & !mask[i]))
        })
    }

    #[inline(always)]
    unsafe fn to_bits(a: [f32; N]) -> [u32; N] {
        lanes!(0, |i| a[i].to_bits())
    }
    #[inline(always)]
    unsafe fn from_bits(a: [u32; N]) -> [f32; N] {
        lanes!(0.0, |i| f32::from_bits(a[i]))
    }
    #[inline(always)]
    unsafe fn and(a: [u32; N], b: [u32; N]) -> [u32; N] {
        lanes!(0, |i| a[i] & b[i])
    }
    #[inline(always)]
    unsafe fn or(a: [u32; N], b: [u32; N]) -> [u32; N] {
        lanes!(0, |i| a[i] | b[i])
    }
    #[inline(always)]
    unsafe fn xor(a: [u32; N], b: [u32; N]) -> [u32; N] {
        lanes!(0, |i| a[i] ^ b[i])
    }
    #[inline(always)]
    unsafe fn add_u(a: [u32; N], b: [u32; N]) -> [u32; N] {
        lanes!(0, |i| a[i].wrapping_add(b[i]))
    }
    #[inline(always)]
    unsafe fn add_u64(a: [u32; N], b: [u32; N]) -> [u32; N] {
        lanes!(0, |i| {
            let word = |a: &[u32; N]| u64::from(a[i & !1]) | u64::from(a[i | 1]) << 32;
            (word(&a).wrapping_add(word(&b)) >> (32 * (i & 1))) as u32
        })
    }
    #[inline(always)]
    unsafe fn add_saturating(a: [u32; N], b: [u32; N]) -> [u32; N] {
        lanes!(0, |i| {
            let sum = |a: u32, b: u32| (a as i16).saturating_add(b as i16).cast_unsigned();
            u32::from(sum(a[i], b[i])) | u32::from(sum(a[i] >> 16, b[i] >> 16)) << 16
        })
    }
    #[inline(always)]
    unsafe fn mul_even(a: [u32; N], b: [u32; N]) -> [u32; N] {
        lanes!(0, |i| {
            let product = u64::from(a[i & !1]) * u64::from(b[i & !1]);
            (product >> (32 * (i & 1))) as u32
        })
    }
    #[inline(always)]
    unsafe fn odd_to_even(a: [u32; N]) -> [u32; N] {
        lanes!(0, |i| a[i | 1])
    }
    #[inline(always)]
    unsafe fn merge_even(even: [u32; N], odd: [u32; N]) -> [u32; N] {
        lanes!(0, |i| if i % 2 == 0 { even[i] } else { odd[i & !1] })
    }
    #[inline(always)]
    unsafe fn blend_u16(low: [u32; N], high: [u32; N]) -> [u32; N] {
        lanes!(0, |i| low[i] & 0xFFFF | high[i] & 0xFFFF_0000)
    }
    #[inline(always)]
    unsafe fn shl<const S: i32>(a: [u32; N]) -> [u32; N] {
        lanes!(0, |i| a[i] << S)
    }
    #[inline(always)]
    unsafe fn shr<const S: i32>(a: [u32; N]) -> [u32; N] {
        lanes!(0, |i| a[i] >> S)
    }
    #[inline(always)]
    unsafe fn max_u32(a: [u32; N], b: [u32; N]) -> [u32; N] {
        lanes!(0, |i| if a[i] > b[i] { a[i] } else { b[i] })
    }
    #[inline(always)]
    unsafe fn max_u16(a: [u32; N], b: [u32; N]) -> [u32; N] {
        lanes!(0, |i| (a[i] >> 16).max(b[i] >> 16) << 16 | (a[i] & 0xFFFF).max(b[i] & 0xFFFF))
    }

    #[inline(always)]
    unsafe fn codes_of_doubled(nibbles: [u32; N]) -> [u32; N] {
        // 2q is 0 to 4, 6 (0110), 8 (1000) or 12 (1100), its code 0 to 4, 5, 6 or 7: by bits,
        // with b0 set for 1 and 3 only.
        lanes!(0, |i| {
            let n = nibbles[i];
            let low = 0x1111_1111;
            let (b3, b2, b1, b0) = (n >> 3 & low, n >> 2 & low, n >> 1 & low, n & low);
            let c2 = b3 | b2;
            let c1 = b3 | (b1 & !b2);
            let c0 = b0 | (b2 & (b3 | b1));
            c2 << 2 | c1 << 1 | c0
        })
    }
    #[inline(always)]
    unsafe fn sign_nibbles(pairs: [[u32; N]; 4]) -> [u32; N] {
        lanes!(0, |i| {
            let byte = |k: usize| (pairs[k][i] >> 12 & 0x08) | (pairs[k][i] >> 24 & 0x80);
            byte(0) | byte(1) << 8 | byte(2) << 16 | byte(3) << 24
        })
    }
    #[inline(always)]
    unsafe fn code_nibbles(pairs: [[u32; N]; 4]) -> [u32; N] {
        lanes!(0, |i| {
            let byte = |k: usize| (pairs[k][i] >> 13 & 0x07) | (pairs[k][i] >> 25 & 0x70);
            byte(0) | byte(1) << 8 | byte(2) << 16 | byte(3) << 24
        })
    }
    #[inline(always)]
    unsafe fn load_transposed(from: *const u32, stride: usize) -> [[u32; N]; 8] {
        let rows: [[u32; 8]; N] =
            from_fn(|l| unsafe { from.add(l * stride).cast::<[u32; 8]>().read_unaligned() });
        from_fn(|k| from_fn(|l| rows[l][k]))
    }
    #[inline(always)]
    unsafe fn sums_of_eight(lanes: [[f32; N]; 8]) -> [f32; N] {
        // Of the eight vectors' lanes after each other, eight a sum.
        let lane = |i: usize| lanes[i / N][i % N];
        lanes!(0.0, |i| {
            let pair = |k: usize| lane(8 * i + k) + lane(8 * i + k + 1);
            (pair(0) + pair(2)) + (pair(4) + pair(6))
        })
    }
    #[inline(always)]
    unsafe fn load_u32(from: *const u32) -> [u32; N] {
        unsafe { from.cast::<[u32; N]>().read_unaligned() }
    }
    #[inline(always)]
    unsafe fn load_u16(from: *const u16) -> [u32; N] {
        unsafe { from.cast::<[u16; N]>().read_unaligned() }.map(u32::from)
    }
    #[inline(always)]
    unsafe fn store_interleaved(low: [u32; N], high: [u32; N], to: *mut u8) {
        for i in 0..N {
            let word = u64::from(low[i]) | u64::from(high[i]) << 32;
            unsafe { to.add(8 * i).cast::<[u8; 8]>().write_unaligned(word.to_le_bytes()) };
        }
    }
    #[inline(always)]
    unsafe fn store_bytes(value: [u32; N], to: *mut u8) {
        unsafe { to.cast::<[u8; N]>().write_unaligned(value.map(|lane| lane as u8)) }
    }
}
