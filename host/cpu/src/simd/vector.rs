//! What the kernels ask of an instruction set.

/// A set of vector instructions on `LANES` lanes of 32 bits.
///
/// The implementors are one file per instruction set. Every operation on floats is the IEEE
/// operation rounded to nearest even on every lane, subnormals kept.
///
/// # Safety
/// Every function may only be called on a CPU that has the implementor's instructions (the
/// path that names it is available), and only be inlined into functions that enable
/// them. Functions that take pointers read or write what they say, at any alignment.
pub(crate) trait Vector: Copy + 'static {
    /// Blocks that are worked on at once: 4, 8 or 16.
    const LANES: usize;
    /// Whether a long sequence of steps that are alike is faster written out than in a loop.
    const WRITTEN_OUT: bool = true;
    /// `LANES` FP32 values, lane 0 first in memory.
    type F: Copy;
    /// `LANES` 32-bit integers, lane 0 first in memory.
    type U: Copy;
    /// One condition for each lane.
    type M: Copy;

    /// Calls `work` in a function that enables the instructions.
    unsafe fn enable<W: Work<Self>>(work: W) -> W::Output;

    unsafe fn splat(value: f32) -> Self::F;
    unsafe fn splat_u(value: u32) -> Self::U;
    /// On each two lanes.
    unsafe fn splat_u64(value: u64) -> Self::U;
    /// Reads `LANES` values.
    unsafe fn load(from: *const f32) -> Self::F;
    /// Writes `LANES` values.
    unsafe fn store(value: Self::F, to: *mut f32);

    /// The value of one lane.
    #[inline(always)]
    unsafe fn lane(value: &Self::F, lane: usize) -> f32 {
        debug_assert!(lane < Self::LANES, "lane {lane} of {}", Self::LANES);
        // SAFETY: `F` is `LANES` values, and `lane` one of them.
        unsafe { std::ptr::from_ref(value).cast::<f32>().add(lane).read() }
    }
    /// The integer of one lane.
    #[inline(always)]
    unsafe fn lane_u(value: &Self::U, lane: usize) -> u32 {
        debug_assert!(lane < Self::LANES, "lane {lane} of {}", Self::LANES);
        // SAFETY: `U` is `LANES` integers, and `lane` one of them.
        unsafe { std::ptr::from_ref(value).cast::<u32>().add(lane).read() }
    }

    unsafe fn add(a: Self::F, b: Self::F) -> Self::F;
    unsafe fn sub(a: Self::F, b: Self::F) -> Self::F;
    unsafe fn mul(a: Self::F, b: Self::F) -> Self::F;
    unsafe fn div(a: Self::F, b: Self::F) -> Self::F;
    unsafe fn sqrt(a: Self::F) -> Self::F;
    /// Of numbers that are not NaN.
    unsafe fn min(a: Self::F, b: Self::F) -> Self::F;
    /// Of numbers that are not NaN.
    unsafe fn max(a: Self::F, b: Self::F) -> Self::F;
    unsafe fn abs(a: Self::F) -> Self::F;
    /// `a·b + c`, rounded once or twice: for uses where that makes no difference.
    unsafe fn mul_add(a: Self::F, b: Self::F, c: Self::F) -> Self::F;
    /// `(a + 1)/2` without the bits that tell no 256th of `a` in `[0, 1)`; above, nothing larger than `a`.
    #[inline(always)]
    unsafe fn half_of_next(a: Self::F) -> Self::F {
        // SAFETY: the caller's.
        unsafe {
            // Cut down to nine mantissa bits, the sum is exact or far below the first 256th.
            let leading = Self::and(Self::to_bits(a), Self::splat_u(0xFFFF_C000));
            Self::mul_add(Self::from_bits(leading), Self::splat(0.5), Self::splat(0.5))
        }
    }
    /// Rounds `0 ≤ y < 7` to the E2M1 grid, to nearest, ties to even.
    unsafe fn round_e2m1(y: Self::F) -> Self::F;

    /// `a > b`, false for NaN.
    unsafe fn gt(a: Self::F, b: Self::F) -> Self::M;
    /// `a == b`, false for NaN.
    unsafe fn eq(a: Self::F, b: Self::F) -> Self::M;
    unsafe fn mask_and(a: Self::M, b: Self::M) -> Self::M;
    /// One bit for each lane, lane 0 lowest.
    unsafe fn mask_bits(mask: Self::M) -> u32;
    /// Whether the condition holds on every lane.
    #[inline(always)]
    unsafe fn all(mask: Self::M) -> bool {
        // SAFETY: the caller's.
        unsafe { Self::mask_bits(mask) == u32::MAX >> (32 - Self::LANES) }
    }
    /// `mask ? a : b`.
    unsafe fn select(mask: Self::M, a: Self::F, b: Self::F) -> Self::F;

    unsafe fn to_bits(a: Self::F) -> Self::U;
    unsafe fn from_bits(a: Self::U) -> Self::F;
    unsafe fn and(a: Self::U, b: Self::U) -> Self::U;
    unsafe fn or(a: Self::U, b: Self::U) -> Self::U;
    unsafe fn xor(a: Self::U, b: Self::U) -> Self::U;
    /// Modulo 2^32.
    unsafe fn add_u(a: Self::U, b: Self::U) -> Self::U;
    /// Each 64 bits modulo 2^64.
    unsafe fn add_u64(a: Self::U, b: Self::U) -> Self::U;
    /// Each 16-bit half as a signed number, saturating.
    unsafe fn add_saturating(a: Self::U, b: Self::U) -> Self::U;
    /// 64-bit products of the even lanes, each on the two lanes of its factors.
    unsafe fn mul_even(a: Self::U, b: Self::U) -> Self::U;
    /// Every odd lane on the even lane before it, and something on the odd ones.
    unsafe fn odd_to_even(a: Self::U) -> Self::U;
    /// The even lanes of `even`, and each even lane of `odd` on the lane after it.
    unsafe fn merge_even(even: Self::U, odd: Self::U) -> Self::U;
    /// The low half of each lane of `low`, the high half of `high`.
    unsafe fn blend_u16(low: Self::U, high: Self::U) -> Self::U;
    unsafe fn shl<const N: i32>(a: Self::U) -> Self::U;
    unsafe fn shr<const N: i32>(a: Self::U) -> Self::U;
    /// Unsigned maximum.
    unsafe fn max_u32(a: Self::U, b: Self::U) -> Self::U;
    /// Unsigned maximum of each 16-bit half.
    unsafe fn max_u16(a: Self::U, b: Self::U) -> Self::U;

    /// Replaces each nibble `2·q` by the E2M1 code of `q`, `q` one of the eight magnitudes.
    unsafe fn codes_of_doubled(nibbles: Self::U) -> Self::U;
    /// From element pairs (first in the low half): bit 15 of half `i` to bit `4·i + 3`.
    unsafe fn sign_nibbles(pairs: [Self::U; 4]) -> Self::U;
    /// From pairs of halves: bits 13 to 15 of half `i` to bits `4·i` to `4·i + 2`.
    unsafe fn code_nibbles(pairs: [Self::U; 4]) -> Self::U;
    /// Lane `l` of vector `k` is the `u32` at `from + l·stride + k`, `stride` in `u32`s.
    unsafe fn load_transposed(from: *const u32, stride: usize) -> [Self::U; 8];
    /// Rounds to bf16, to nearest even: the high halves. A NaN whose low half is zero stays one.
    #[inline(always)]
    unsafe fn to_bf16(value: Self::F) -> Self::U {
        // SAFETY: the caller's.
        unsafe {
            // Half a unit is added, less one bit where the result is even.
            let bits = Self::to_bits(value);
            let odd = Self::and(Self::shr::<16>(bits), Self::splat_u(1));
            Self::add_u(bits, Self::add_u(odd, Self::splat_u(0x7FFF)))
        }
    }
    /// The sum of each eight lanes of the vectors after each other, in any order.
    unsafe fn sums_of_eight(lanes: [Self::F; 8]) -> Self::F;
    /// Values of the f16 in the low halves; the high ones are zero.
    #[inline(always)]
    unsafe fn from_f16(bits: Self::U) -> Self::F {
        // SAFETY: the caller's.
        unsafe {
            // In FP32's fields the exponent is 112 too small, for subnormals as well: the product is
            // exact. What is beyond 65504 is infinite or NaN.
            let magnitude =
                Self::from_bits(Self::shl::<13>(Self::and(bits, Self::splat_u(0x7FFF))));
            let magnitude = Self::mul(magnitude, Self::splat(f32::from_bits((127 + 112) << 23)));
            let special = Self::or(Self::to_bits(magnitude), Self::splat_u(0x7F80_0000));
            let special = Self::from_bits(special);
            let magnitude =
                Self::select(Self::gt(magnitude, Self::splat(65504.0)), special, magnitude);
            let sign = Self::shl::<16>(Self::and(bits, Self::splat_u(0x8000)));
            Self::from_bits(Self::or(Self::to_bits(magnitude), sign))
        }
    }
    /// Rounds to f16, to nearest even: to the low halves, the high ones zero.
    #[inline(always)]
    unsafe fn to_f16(value: Self::F) -> Self::U {
        // SAFETY: the caller's.
        unsafe {
            let magnitude = Self::abs(value);
            // What is above 65536 becomes infinite as that does.
            let over = Self::gt(magnitude, Self::splat(65536.0));
            let bits = Self::to_bits(Self::select(over, Self::splat(65536.0), magnitude));
            // Half a unit is added, less one bit where the result is even; the exponent is 112 less.
            let even = Self::and(Self::shr::<13>(bits), Self::splat_u(1));
            let normal = Self::add_u(Self::add_u(bits, Self::splat_u(0xFFF)), even);
            let normal =
                Self::add_u(Self::shr::<13>(normal), Self::splat_u((112_u32 << 10).wrapping_neg()));
            // Beside 1/2, subnormals' units are the last bits of FP32.
            let half = Self::splat(0.5);
            let subnormal = Self::to_bits(Self::add(magnitude, half));
            let subnormal = Self::add_u(subnormal, Self::splat_u(0.5_f32.to_bits().wrapping_neg()));
            let small = Self::gt(Self::splat(1.0 / 16384.0), magnitude);
            let bits = Self::select(small, Self::from_bits(subnormal), Self::from_bits(normal));
            let nan = Self::from_bits(Self::splat_u(0x7E00));
            let bits = Self::to_bits(Self::select(Self::eq(value, value), bits, nan));
            let sign = Self::and(Self::shr::<16>(Self::to_bits(value)), Self::splat_u(0x8000));
            Self::or(bits, sign)
        }
    }
    /// The largest lane.
    #[inline(always)]
    unsafe fn largest(value: Self::U) -> u32 {
        let mut lanes = [0.0_f32; 16];
        // SAFETY: the caller's; 16 is at least LANES.
        unsafe { Self::store(Self::from_bits(value), lanes.as_mut_ptr()) };
        lanes[..Self::LANES].iter().fold(0, |max, lane| lane.to_bits().max(max))
    }
    /// The sum of all lanes: each half of them is added to the other, until one is left.
    #[inline(always)]
    unsafe fn sum(value: Self::F) -> f32 {
        let mut lanes = [0.0_f32; 16];
        // SAFETY: the caller's; 16 is at least LANES.
        unsafe { Self::store(value, lanes.as_mut_ptr()) };
        let mut half = Self::LANES / 2;
        while half > 0 {
            for i in 0..half {
                lanes[i] += lanes[i + half];
            }
            half /= 2;
        }
        lanes[0]
    }
    /// Reads `LANES` integers.
    unsafe fn load_u32(from: *const u32) -> Self::U;
    /// Reads `LANES` 16-bit integers, zero-extended.
    unsafe fn load_u16(from: *const u16) -> Self::U;
    /// Writes lane after lane the word of `low`, then that of `high`: `8·LANES` bytes.
    unsafe fn store_interleaved(low: Self::U, high: Self::U, to: *mut u8);
    /// Writes the low byte of each lane (the rest is zero): `LANES` bytes.
    unsafe fn store_bytes(value: Self::U, to: *mut u8);

    /// Writes the 16 words that the codes of a block select: `magnitudes`, with bit 15 flipped for
    /// codes with a sign.
    #[inline(always)]
    unsafe fn look_up(magnitudes: [u16; 8], codes: &[u8; 8], to: *mut u16) {
        let word = |code: u8| magnitudes[usize::from(code % 8)] ^ (u16::from(code & 8) << 12);
        for (j, code) in codes.iter().enumerate() {
            // SAFETY: the caller's: 16 words may be written.
            unsafe {
                to.add(2 * j).write_unaligned(word(code & 0xF));
                to.add(2 * j + 1).write_unaligned(word(code >> 4));
            }
        }
    }
}

/// Work for the lanes of `V`: a closure whose call is always inlined into [`Vector::enable`], so
/// that it is compiled for the instructions.
pub(crate) trait Work<V: Vector> {
    /// What comes out.
    type Output;

    /// # Safety
    /// As [`Vector`], and as the work says.
    unsafe fn run(self) -> Self::Output;
}

/// What is done for the lanes of any instruction set, which it enables itself.
pub(crate) trait Vectorized {
    /// What comes out.
    type Output;

    /// # Safety
    /// As [`Work::run`].
    unsafe fn run_on<V: Vector>(self) -> Self::Output;
}

/// Runs rare work in a function of its own: inlined, it would take registers from the hot loop.
///
/// # Safety
/// As [`Work::run`].
#[cold]
pub(crate) unsafe fn outlined<V: Vector, W: Work<V>>(work: W) -> W::Output {
    // SAFETY: the caller's.
    unsafe { apart(work) }
}

/// Runs work in a function of its own, which is compiled once for all its callers.
///
/// # Safety
/// As [`Work::run`].
#[inline(never)]
pub(crate) unsafe fn apart<V: Vector, W: Work<V>>(work: W) -> W::Output {
    // SAFETY: the caller's.
    unsafe { V::enable(work) }
}
