//! Block scales, a lane a block: steps 2 to 5 of the contract.

use super::decision::Bound;
use super::scale::GlobalScale;
use super::vector::Vector;

/// A global scale on every lane.
pub(crate) struct Global<V: Vector> {
    pub(super) amax: V::F,
    pub(super) encode: V::F,
    pub(super) decode: V::F,
    pub(super) sixth: V::F,
    pub(super) full_range: V::F,
    pub(super) certifiable: bool,
}

/// A block scale on every lane.
#[derive(Clone, Copy)]
pub(super) struct Scale<V: Vector> {
    pub(super) value: V::F,
    pub(super) encode: V::F,
}

/// The scales of the two candidates, and `b` of the contract's step 4.
#[derive(Clone, Copy)]
pub(super) struct ScalePair<V: Vector> {
    pub(super) base: V::F,
    pub(super) map4: Scale<V>,
    pub(super) map6: Scale<V>,
}

impl<V: Vector> Global<V> {
    /// # Safety
    /// As [`Vector`], also below. `globals` holds one scale or `LANES`.
    #[inline(always)]
    pub(super) unsafe fn new(globals: &[GlobalScale]) -> Self {
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
                certifiable: globals.iter().all(Bound::certifiable),
            }
        }
    }

    #[inline(always)]
    pub(super) unsafe fn plain(&self, amax: V::F) -> Scale<V> {
        // SAFETY: as the caller's.
        unsafe { self.scale(V::mul(amax, self.sixth)) }
    }

    #[inline(always)]
    pub(super) unsafe fn candidates(&self, amax: V::F) -> ScalePair<V> {
        // SAFETY: as the caller's.
        unsafe {
            let base = V::mul(V::div(amax, V::splat(6.0)), self.encode);
            let map4 = self.scale(V::mul(base, V::splat(1.5)));
            ScalePair { base, map4, map6: self.scale(base) }
        }
    }

    /// Rounds to E4M3 (as a value: the code is [`e4m3_code`]) and makes the encode scale.
    #[inline(always)]
    unsafe fn scale(&self, scale: V::F) -> Scale<V> {
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
            Scale { value, encode: V::min(encode, V::splat(f32::MAX)) }
        }
    }
}

/// The E4M3 code of a value on its grid: times 2^-120 its FP32 fields are the code's, subnormals
/// included.
#[inline(always)]
pub(super) unsafe fn e4m3_code<V: Vector>(value: V::F) -> V::U {
    // SAFETY: as the caller's.
    unsafe { V::shr::<20>(V::to_bits(V::mul(value, V::splat(f32::from_bits((127 - 120) << 23))))) }
}

/// Whether `y < 7` for every element, so that trick 1 needs no clamp. `e4 <= e6`, so map6 decides.
#[inline(always)]
pub(super) unsafe fn in_range<V: Vector>(amax: V::F, scale: &Scale<V>) -> bool {
    // SAFETY: as the caller's.
    unsafe { all::<V>(V::gt(V::splat(7.0), V::mul(amax, scale.encode))) }
}

#[inline(always)]
pub(super) unsafe fn all<V: Vector>(mask: V::M) -> bool {
    // SAFETY: as the caller's.
    unsafe { V::mask_bits(mask) == u32::MAX >> (32 - V::LANES) }
}
