//! Plain Rust over arrays: what runs where no other path does, and how the kernel is tested with
//! the lane counts of instruction sets that the testing machine lacks.

use std::array::from_fn;

use super::vector::{Vector, Work};

/// `N` lanes.
#[derive(Clone, Copy)]
pub(crate) struct Portable<const N: usize>;

#[inline(always)]
fn map2<A: Copy, B, const N: usize>(a: [A; N], b: [A; N], f: impl Fn(A, A) -> B) -> [B; N] {
    from_fn(|i| f(a[i], b[i]))
}

// SAFETY (all functions): nothing but the pointers can go wrong, and the trait's contract makes
// them good for the bytes read or written.
#[allow(clippy::undocumented_unsafe_blocks)]
impl<const N: usize> Vector for Portable<N> {
    const LANES: usize = N;
    type F = [f32; N];
    type U = [u32; N];
    type M = [bool; N];

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
    unsafe fn load(from: *const f32) -> [f32; N] {
        unsafe { from.cast::<[f32; N]>().read_unaligned() }
    }
    #[inline(always)]
    unsafe fn store(value: [f32; N], to: *mut f32) {
        unsafe { to.cast::<[f32; N]>().write_unaligned(value) }
    }

    #[inline(always)]
    unsafe fn add(a: [f32; N], b: [f32; N]) -> [f32; N] {
        map2(a, b, |a, b| a + b)
    }
    #[inline(always)]
    unsafe fn sub(a: [f32; N], b: [f32; N]) -> [f32; N] {
        map2(a, b, |a, b| a - b)
    }
    #[inline(always)]
    unsafe fn mul(a: [f32; N], b: [f32; N]) -> [f32; N] {
        map2(a, b, |a, b| a * b)
    }
    #[inline(always)]
    unsafe fn div(a: [f32; N], b: [f32; N]) -> [f32; N] {
        map2(a, b, |a, b| a / b)
    }
    #[inline(always)]
    unsafe fn sqrt(a: [f32; N]) -> [f32; N] {
        a.map(f32::sqrt)
    }
    #[inline(always)]
    unsafe fn min(a: [f32; N], b: [f32; N]) -> [f32; N] {
        map2(a, b, |a, b| if a < b { a } else { b })
    }
    #[inline(always)]
    unsafe fn max(a: [f32; N], b: [f32; N]) -> [f32; N] {
        map2(a, b, |a, b| if a > b { a } else { b })
    }
    #[inline(always)]
    unsafe fn abs(a: [f32; N]) -> [f32; N] {
        a.map(f32::abs)
    }
    #[inline(always)]
    unsafe fn mul_add(a: [f32; N], b: [f32; N], c: [f32; N]) -> [f32; N] {
        // Two roundings: a fused operation is a library call on CPUs without the instruction.
        from_fn(|i| a[i] * b[i] + c[i])
    }
    #[inline(always)]
    unsafe fn round_e2m1(y: [f32; N]) -> [f32; N] {
        // Trick 1 of the kernel without fused operations: with m cut down to a power of two,
        // m·1.5·2^22 is exact and its ulp is m/2, the grid's step at y.
        y.map(|y| {
            let m = f32::from_bits((if y > 1.0 { y } else { 1.0 }).to_bits() & 0x7F80_0000);
            let magic = m * 6_291_456.0;
            (y + magic) - magic
        })
    }

    #[inline(always)]
    unsafe fn gt(a: [f32; N], b: [f32; N]) -> [bool; N] {
        map2(a, b, |a, b| a > b)
    }
    #[inline(always)]
    unsafe fn eq(a: [f32; N], b: [f32; N]) -> [bool; N] {
        map2(a, b, |a, b| a == b)
    }
    #[inline(always)]
    unsafe fn mask_and(a: [bool; N], b: [bool; N]) -> [bool; N] {
        map2(a, b, |a, b| a & b)
    }
    #[inline(always)]
    unsafe fn mask_bits(mask: [bool; N]) -> u32 {
        mask.iter().rev().fold(0, |bits, lane| bits << 1 | u32::from(*lane))
    }
    #[inline(always)]
    unsafe fn select(mask: [bool; N], a: [f32; N], b: [f32; N]) -> [f32; N] {
        from_fn(|i| if mask[i] { a[i] } else { b[i] })
    }

    #[inline(always)]
    unsafe fn to_bits(a: [f32; N]) -> [u32; N] {
        a.map(f32::to_bits)
    }
    #[inline(always)]
    unsafe fn from_bits(a: [u32; N]) -> [f32; N] {
        a.map(f32::from_bits)
    }
    #[inline(always)]
    unsafe fn and(a: [u32; N], b: [u32; N]) -> [u32; N] {
        map2(a, b, |a, b| a & b)
    }
    #[inline(always)]
    unsafe fn or(a: [u32; N], b: [u32; N]) -> [u32; N] {
        map2(a, b, |a, b| a | b)
    }
    #[inline(always)]
    unsafe fn xor(a: [u32; N], b: [u32; N]) -> [u32; N] {
        map2(a, b, |a, b| a ^ b)
    }
    #[inline(always)]
    unsafe fn add_u(a: [u32; N], b: [u32; N]) -> [u32; N] {
        map2(a, b, u32::wrapping_add)
    }
    #[inline(always)]
    unsafe fn add_u16(a: [u32; N], b: [u32; N]) -> [u32; N] {
        map2(a, b, |a, b| {
            let high = (a & 0xFFFF_0000).wrapping_add(b & 0xFFFF_0000);
            high | a.wrapping_add(b) & 0xFFFF
        })
    }
    #[inline(always)]
    unsafe fn mul_even(a: [u32; N], b: [u32; N]) -> [u32; N] {
        from_fn(|i| {
            let product = u64::from(a[i & !1]) * u64::from(b[i & !1]);
            (product >> (32 * (i & 1))) as u32
        })
    }
    #[inline(always)]
    unsafe fn odd_to_even(a: [u32; N]) -> [u32; N] {
        from_fn(|i| a[i | 1])
    }
    #[inline(always)]
    unsafe fn merge_even(even: [u32; N], odd: [u32; N]) -> [u32; N] {
        from_fn(|i| if i % 2 == 0 { even[i] } else { odd[i - 1] })
    }
    #[inline(always)]
    unsafe fn blend_u16(low: [u32; N], high: [u32; N]) -> [u32; N] {
        map2(low, high, |low, high| low & 0xFFFF | high & 0xFFFF_0000)
    }
    #[inline(always)]
    unsafe fn shl<const S: i32>(a: [u32; N]) -> [u32; N] {
        a.map(|a| a << S)
    }
    #[inline(always)]
    unsafe fn shr<const S: i32>(a: [u32; N]) -> [u32; N] {
        a.map(|a| a >> S)
    }
    #[inline(always)]
    unsafe fn max_u32(a: [u32; N], b: [u32; N]) -> [u32; N] {
        map2(a, b, u32::max)
    }
    #[inline(always)]
    unsafe fn max_u16(a: [u32; N], b: [u32; N]) -> [u32; N] {
        map2(a, b, |a, b| (a >> 16).max(b >> 16) << 16 | (a & 0xFFFF).max(b & 0xFFFF))
    }

    #[inline(always)]
    unsafe fn codes_of_doubled(nibbles: [u32; N]) -> [u32; N] {
        // 2q is 0 to 4, 6 (0110), 8 (1000) or 12 (1100), its code 0 to 4, 5, 6 or 7: by bits,
        // with b0 set for 1 and 3 only.
        nibbles.map(|n| {
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
        from_fn(|i| {
            let byte = |k: usize| (pairs[k][i] >> 12 & 0x08) | (pairs[k][i] >> 24 & 0x80);
            byte(0) | byte(1) << 8 | byte(2) << 16 | byte(3) << 24
        })
    }
    #[inline(always)]
    unsafe fn code_nibbles(pairs: [[u32; N]; 4]) -> [u32; N] {
        from_fn(|i| {
            let byte = |k: usize| (pairs[k][i] >> 8 & 0x07) | (pairs[k][i] >> 20 & 0x70);
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
