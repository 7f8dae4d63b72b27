//! Philox4x32 with 10 rounds (step T3): the random words of a block.

use fouroversix_core::abi::{PHILOX_ROUNDS, Random, next_key};

use crate::ptx::rolled::sixteen;
use crate::ptx::{self, memory};

#[inline(always)]
fn round([c0, c1, c2, c3]: [u32; 4], [k0, k1]: [u32; 2]) -> [u32; 4] {
    let [low_a, a] = ptx::mul_wide_u32(c0, 0xD251_1F53);
    let [low_b, b] = ptx::mul_wide_u32(c2, 0xCD9E_8D57);
    [b ^ c1 ^ k0, low_b, a ^ c3 ^ k1, low_a]
}

#[inline(always)]
fn counter(segment: u64, stream: u64) -> [u32; 4] {
    [segment as u32, (segment >> 32) as u32, stream as u32, (stream >> 32) as u32]
}

macro_rules! rounds {
    ($each:expr) => {{
        let mut each = $each;
        const { assert!(PHILOX_ROUNDS == 10) };
        each(0);
        each(1);
        each(2);
        each(3);
        each(4);
        each(5);
        each(6);
        each(7);
        each(8);
        each(9);
    }};
}

/// The words of a segment of a stream, counted from the launch's first.
///
/// Numbers in the parameter come with the keys of all rounds, operands that cost nothing; those in memory
/// are loaded here, and their keys worked out.
#[inline(always)]
pub(crate) fn words(random: &Random, segment: u64, stream: u64) -> [u32; 4] {
    if random.state == 0 {
        let mut words = counter(segment, random.stream.wrapping_add(stream));
        rounds!(|i: usize| words = round(words, random.keys[i]));
        return words;
    }
    let (mut key, offset) = state(random);
    let mut words = counter(segment, offset.wrapping_mul(2).wrapping_add(stream));
    rounds!(|_| {
        words = round(words, key);
        key = next_key(key);
    });
    words
}

/// The same in few instructions, for rare paths.
#[inline(always)]
pub(crate) fn words_rolled(random: &Random, segment: u64, stream: u64, flags: u32) -> [u32; 4] {
    let (mut key, mut first) = (random.keys[0], random.stream);
    if random.state != 0 {
        let (seed, offset) = state(random);
        (key, first) = (seed, offset.wrapping_mul(2));
    }
    let mut words = counter(segment, first.wrapping_add(stream));
    for _ in 6..sixteen(flags) {
        words = round(words, key);
        key = next_key(key);
    }
    words
}

/// Seed and offset in memory.
#[inline(always)]
fn state(random: &Random) -> ([u32; 2], u64) {
    // SAFETY: launch contract, clause 11: two aligned u64.
    let [k0, k1, low, high] = unsafe { memory::load_v4(random.state as *const u8) };
    ([k0, k1], u64::from(high) << 32 | u64::from(low))
}
