//! Block scales, a lane a block: steps 3 to 5 of the contract.

use crate::bound;
use crate::scale::GlobalScale;
use crate::simd::vector::Vector;

/// A global scale on every lane.
pub(crate) struct LaneGlobal<V: Vector> {
    pub(crate) amax: V::F,
    pub(crate) encode: V::F,
    pub(crate) decode: V::F,
    pub(crate) sixth: V::F,
    pub(crate) full_range: V::F,
    /// Whether every lane's amax is one for which the bounds are proven.
    pub(crate) certifiable: bool,
}

/// A block scale on every lane.
#[derive(Clone, Copy)]
pub(crate) struct LaneScale<V: Vector> {
    pub(crate) value: V::F,
    pub(crate) encode: V::F,
}

impl<V: Vector> LaneScale<V> {
    /// Lanes where every element stays below 7 when it is multiplied by the encode scale.
    ///
    /// # Safety
    /// As [`Vector`].
    #[inline(always)]
    pub(crate) unsafe fn in_range(&self, amax: V::F) -> V::M {
        // SAFETY: the caller's.
        unsafe { V::gt(V::splat(7.0), V::mul(amax, self.encode)) }
    }
}

/// The scales of the two candidates, and `b` of step 4.
#[derive(Clone, Copy)]
pub(crate) struct LanePair<V: Vector> {
    pub(crate) base: V::F,
    pub(crate) map4: LaneScale<V>,
    pub(crate) map6: LaneScale<V>,
}

/// Scales of a block on each lane.
pub(crate) trait OfLane {
    /// Those of one lane on every lane.
    ///
    /// # Safety
    /// As [`Vector`].
    unsafe fn of_lane(&self, lane: usize) -> Self;
}

impl<V: Vector> OfLane for LaneScale<V> {
    #[inline(always)]
    unsafe fn of_lane(&self, lane: usize) -> Self {
        // SAFETY: the caller's.
        unsafe {
            Self {
                value: V::splat(V::lane(&self.value, lane)),
                encode: V::splat(V::lane(&self.encode, lane)),
            }
        }
    }
}

impl<V: Vector> OfLane for LanePair<V> {
    #[inline(always)]
    unsafe fn of_lane(&self, lane: usize) -> Self {
        // SAFETY: the caller's.
        unsafe {
            Self {
                base: V::splat(V::lane(&self.base, lane)),
                map4: self.map4.of_lane(lane),
                map6: self.map6.of_lane(lane),
            }
        }
    }
}

impl<V: Vector> LaneGlobal<V> {
    /// # Safety
    /// As [`Vector`], also below. `globals` holds one scale or `LANES`.
    #[inline(always)]
    pub(crate) unsafe fn new(globals: &[GlobalScale]) -> Self {
        // SAFETY: `lanes` holds 16 values, at least LANES.
        unsafe {
            let gather = |part: fn(&GlobalScale) -> f32| {
                let mut lanes = [part(&globals[0]); 16];
                for (lane, global) in lanes.iter_mut().zip(globals) {
                    *lane = part(global);
                }
                V::load(lanes.as_ptr())
            };
            Self {
                amax: gather(|global| global.amax),
                encode: gather(|global| global.encode),
                decode: gather(|global| global.decode),
                sixth: gather(|global| global.encode * (1.0 / 6.0)),
                full_range: gather(|global| global.full_range),
                certifiable: globals.iter().all(|global| bound::certifiable(global.amax)),
            }
        }
    }

    #[inline(always)]
    pub(crate) unsafe fn plain(&self, amax: V::F) -> LaneScale<V> {
        // SAFETY: as the caller's.
        unsafe { self.scale(V::mul(amax, self.sixth)) }
    }

    #[inline(always)]
    pub(crate) unsafe fn candidates(&self, amax: V::F) -> LanePair<V> {
        // SAFETY: as the caller's.
        unsafe {
            let (base, map6) = self.map6(amax);
            LanePair { base, map4: self.scale(V::mul(base, V::splat(1.5))), map6 }
        }
    }

    /// `b` of the contract's step 4, and the scale of map6.
    #[inline(always)]
    pub(crate) unsafe fn map6(&self, amax: V::F) -> (V::F, LaneScale<V>) {
        // SAFETY: as the caller's.
        unsafe {
            let base = V::mul(V::div(amax, V::splat(6.0)), self.encode);
            (base, self.scale(base))
        }
    }

    /// Rounds to E4M3 (as a value: the code is [`e4m3_code`]) and makes the encode scale.
    #[inline(always)]
    pub(crate) unsafe fn scale(&self, scale: V::F) -> LaneScale<V> {
        // SAFETY: as the caller's.
        unsafe {
            let clamped = V::min(scale, V::splat(448.0));
            // The step is 1/8 of the binade, 2^-9 below 2^-6: adding and taking away 1.5·2^23
            // steps, a multiple of a power of two and exact, rounds to it, ties to even.
            let binade = V::to_bits(V::max(clamped, V::splat(1.0 / 64.0)));
            let binade = V::from_bits(V::and(binade, V::splat_u(0x7F80_0000)));
            let magic = V::mul(binade, V::splat(1_572_864.0));
            let value = V::sub(V::add(clamped, magic), magic);
            let encode = V::div(V::splat(1.0), V::mul(value, self.decode));
            LaneScale { value, encode: V::min(encode, V::splat(f32::MAX)) }
        }
    }
}

/// The E4M3 code of a value on its grid: times 2^-120 its FP32 fields are the code's, subnormals
/// included.
#[inline(always)]
pub(crate) unsafe fn e4m3_code<V: Vector>(value: V::F) -> V::U {
    // SAFETY: as the caller's.
    unsafe { V::shr::<20>(V::to_bits(V::mul(value, V::splat(f32::from_bits((127 - 120) << 23))))) }
}
