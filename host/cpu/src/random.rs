//! Random bytes (step T3): Philox4x32 with ten rounds, a counter-based generator (Salmon, Moraes,
//! Dror, Shaw, *Parallel random numbers: as easy as 1, 2, 3*, 2011).
//!
//! Every segment of 16 elements has a counter of its own, so any block can have its bytes without
//! those of the others. A lane is a segment. Products have 64 bits, so the even lanes and the odd
//! ones are drawn apart, each word in the low half of a 64-bit lane; what is above it is not looked at.

use fouroversix_core::RandomState;

use crate::elements::Place;
use crate::simd::vector::Vector;

const MULTIPLIERS: [u32; 2] = [0xD251_1F53, 0xCD9E_8D57];
const KEY_STEPS: [u32; 2] = [0x9E37_79B9, 0xBB67_AE85];

/// The generator of one output.
#[derive(Clone, Debug)]
pub(crate) struct Random {
    /// A round's key after another.
    keys: [[u32; 2]; 10],
    /// The two upper words of every counter.
    stream: [u32; 2],
    /// What these make of the first round: the share in words 0, 1 and 2.
    first: [u32; 3],
}

impl Random {
    /// Of the rowwise output, or of the columnwise one.
    pub(crate) fn new(state: RandomState, columnwise: bool) -> Self {
        let stream = halves(state.offset.wrapping_mul(2) | u64::from(columnwise));
        let mut key = halves(state.seed);
        let mut keys = [key; 10];
        for later in &mut keys[1..] {
            key = [key[0].wrapping_add(KEY_STEPS[0]), key[1].wrapping_add(KEY_STEPS[1])];
            *later = key;
        }
        let [low, high] = halves(u64::from(MULTIPLIERS[1]) * u64::from(stream[0]));
        Self { keys, stream, first: [high ^ keys[0][0], low, stream[1] ^ keys[0][1]] }
    }

    /// The bytes of a segment's elements.
    pub(crate) fn bytes(&self, segment: u64) -> [u8; 16] {
        let words = self.words_of(segment);
        // The order of bytes in a word is that of the hardware's conversion.
        std::array::from_fn(|i| words[i / 4].to_le_bytes()[[0, 2, 1, 3][i % 4]])
    }

    /// The four words of a segment.
    fn words_of(&self, segment: u64) -> [u32; 4] {
        let [low, high] = halves(segment);
        let mut counter = [low, high, self.stream[0], self.stream[1]];
        for [k0, k1] in self.keys {
            let [c0, c1, c2, c3] = counter;
            let [low0, high0] = halves(u64::from(MULTIPLIERS[0]) * u64::from(c0));
            let [low1, high1] = halves(u64::from(MULTIPLIERS[1]) * u64::from(c2));
            counter = [high1 ^ c1 ^ k0, low1, high0 ^ c3 ^ k1, low0];
        }
        counter
    }

    /// The four words of the segment of each lane.
    ///
    /// # Safety
    /// As [`Vector`].
    #[inline(always)]
    pub(crate) unsafe fn words<V: Vector>(&self, place: &Place) -> [V::U; 4] {
        let stride = place.segment(1).wrapping_sub(place.segment(0));
        let [low, high] = halves(stride);
        // SAFETY: the caller's; `EVEN` is as long as a vector at least.
        unsafe {
            // Of each even lane, in 64 bits, how far its segment is from the first.
            let lanes = V::load_u32(EVEN.as_ptr());
            let far = V::mul_even(lanes, V::splat_u(high));
            let far = V::merge_even(V::splat_u(0), far);
            let far = V::add_u64(V::mul_even(lanes, V::splat_u(low)), far);
            let first = place.segment(0);
            let segments = V::add_u64(far, V::splat_u64(first));
            let mut even = Counter::<V>::new(segments, &self.first);
            let segments = V::add_u64(far, V::splat_u64(first.wrapping_add(stride)));
            let mut odd = Counter::<V>::new(segments, &self.first);
            let (threes, _) = self.keys[1..].as_chunks::<3>();
            for [first, second, third] in threes {
                even.round(first);
                odd.round(first);
                even.round(second);
                odd.round(second);
                even.round(third);
                odd.round(third);
            }
            [
                V::merge_even(even.c0, odd.c0),
                V::merge_even(even.c1, odd.c1),
                V::merge_even(even.c2, odd.c2),
                V::merge_even(even.c3, odd.c3),
            ]
        }
    }
}

/// Numbers of the even lanes, on these.
static EVEN: [u32; 16] = [0, 0, 2, 0, 4, 0, 6, 0, 8, 0, 10, 0, 12, 0, 14, 0];

/// Half of the lanes' counters.
struct Counter<V: Vector> {
    c0: V::U,
    c1: V::U,
    c2: V::U,
    c3: V::U,
}

impl<V: Vector> Counter<V> {
    /// After the first round, in which two words are the same on all lanes.
    ///
    /// # Safety
    /// As [`Vector`], also below.
    #[inline(always)]
    unsafe fn new(segments: V::U, first: &[u32; 3]) -> Self {
        // SAFETY: the caller's.
        unsafe {
            let product0 = V::mul_even(segments, V::splat_u(MULTIPLIERS[0]));
            Self {
                c0: V::xor(V::odd_to_even(segments), V::splat_u(first[0])),
                c1: V::splat_u(first[1]),
                c2: V::xor(V::odd_to_even(product0), V::splat_u(first[2])),
                c3: product0,
            }
        }
    }

    #[inline(always)]
    unsafe fn round(&mut self, key: &[u32; 2]) {
        // SAFETY: the caller's.
        unsafe {
            let product0 = V::mul_even(self.c0, V::splat_u(MULTIPLIERS[0]));
            let product1 = V::mul_even(self.c2, V::splat_u(MULTIPLIERS[1]));
            let keyed1 = V::xor(self.c1, V::splat_u(key[0]));
            let keyed3 = V::xor(self.c3, V::splat_u(key[1]));
            self.c0 = V::xor(V::odd_to_even(product1), keyed1);
            self.c1 = product1;
            self.c2 = V::xor(V::odd_to_even(product0), keyed3);
            self.c3 = product0;
        }
    }
}

/// The low and the high word.
const fn halves(bits: u64) -> [u32; 2] {
    [bits as u32, (bits >> 32) as u32]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::elements::{Segments, Steps};
    use crate::tests::on_every_vector;

    #[test]
    fn the_known_answer() {
        let random = Random::new(RandomState { seed: 0, offset: 0 }, false);
        assert_eq!(random.words_of(0), [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]);
        let bytes = [0xd5, 0x27, 0xe8, 0x66];
        assert_eq!(random.bytes(0)[..4], bytes);
    }

    /// Segments beyond 32 bits, and lanes on both sides of such a number.
    #[test]
    fn lanes_draw_what_segments_do() {
        fn check<V: Vector>() {
            for columnwise in [false, true] {
                let state = RandomState { seed: 0x0123_4567_89AB_CDEF, offset: 1 << 63 | 5 };
                let random = Random::new(state, columnwise);
                for (first, lane) in [(0, 1), (u64::from(u32::MAX) - 3, 1), (1 << 40, 1 << 33)] {
                    let segments = Segments { first, lane, steps: Steps::of(16) };
                    let place = Place { segments, index: 3, lane: 0 };
                    // SAFETY: the path is available.
                    let words = unsafe { random.words::<V>(&place) };
                    for l in 0..V::LANES {
                        // SAFETY: a lane.
                        let drawn = words.map(|word| unsafe { V::lane_u(&word, l) });
                        assert_eq!(drawn, random.words_of(place.segment(l)), "{first} {lane} {l}");
                    }
                }
            }
        }
        on_every_vector!(check);
    }
}
