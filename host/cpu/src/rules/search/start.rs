//! The candidates' scales, a block on each lane.

use crate::lane_scale::{LaneScale, OfLane, e4m3_code};
use crate::simd::vector::Vector;

/// The smallest map6 scale whose lowest candidate is a normal E4M3 value: byte 12 less 4 is byte 8.
const LOWEST: f32 = 1.5 / 64.0;

/// Where a search starts.
#[derive(Clone, Copy)]
pub(crate) struct Start<V: Vector> {
    /// `b` of the contract's step 4.
    pub(super) base: V::F,
    /// The scale of map6.
    pub(super) map6: LaneScale<V>,
    /// Its value, but for blocks of zeros, where any will do.
    pub(super) value: V::F,
    /// `S_dec`.
    pub(super) decode: V::F,
}

impl<V: Vector> OfLane for Start<V> {
    #[inline(always)]
    unsafe fn of_lane(&self, lane: usize) -> Self {
        // SAFETY: the caller's.
        unsafe {
            Self {
                base: V::splat(V::lane(&self.base, lane)),
                map6: self.map6.of_lane(lane),
                value: V::splat(V::lane(&self.value, lane)),
                decode: V::splat(V::lane(&self.decode, lane)),
            }
        }
    }
}

impl<V: Vector> Start<V> {
    /// The candidate `step` bytes from map6's, where that is a normal scale. Above 448 it is none, and
    /// its value tells.
    #[inline(always)]
    pub(super) unsafe fn near(&self, step: i32) -> LaneScale<V> {
        // SAFETY: the caller's.
        unsafe {
            let step = V::splat_u((step << 20).cast_unsigned());
            self.scale(V::from_bits(V::add_u(V::to_bits(self.value), step)))
        }
    }

    #[inline(always)]
    unsafe fn scale(&self, value: V::F) -> LaneScale<V> {
        // SAFETY: the caller's.
        unsafe {
            let encode = V::div(V::splat(1.0), V::mul(value, self.decode));
            LaneScale { value, encode: V::min(encode, V::splat(f32::MAX)) }
        }
    }

    /// The candidate `step` bytes from map6's, and the lanes where there is one.
    #[inline(always)]
    pub(super) unsafe fn any(&self, step: i32) -> (LaneScale<V>, V::M) {
        // SAFETY: the caller's.
        unsafe {
            // On top of 2^23 an integer is the low bits of its FP32 form.
            let integers = V::splat(8_388_608.0);
            let byte = V::or(e4m3_code::<V>(self.map6.value), V::to_bits(integers));
            let byte = V::add(V::sub(V::from_bits(byte), integers), V::splat(step as f32));
            let is_byte = V::mask_and(V::gt(byte, V::splat(0.5)), V::gt(V::splat(126.5), byte));
            let byte = V::max(V::min(byte, V::splat(126.0)), V::splat(1.0));
            let byte = V::and(V::to_bits(V::add(byte, integers)), V::splat_u(0x7F));
            let value = V::from_bits(V::shl::<20>(byte));
            let value = V::mul(value, V::splat(f32::from_bits((127 + 120) << 23)));
            (self.scale(value), is_byte)
        }
    }

    /// Lanes that the hot path can take: every candidate is normal, and `y < 7` under map6.
    #[inline(always)]
    pub(super) unsafe fn regular(&self, amax: V::F) -> V::M {
        // SAFETY: the caller's.
        unsafe {
            let normal = V::gt(self.value, V::splat(LOWEST.next_down()));
            V::mask_and(normal, self.map6.in_range(amax))
        }
    }
}
