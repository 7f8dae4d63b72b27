//! The hot path: estimated errors, and what rules a candidate out before it is weighed whole.

use crate::candidate::nearest;
use crate::group::Group;
use crate::lane_scale::LaneScale;
use crate::measure::Measure;
use crate::rules::error;
use crate::rules::rule::{Choice, Tile, TileChoice};
use crate::simd::vector::Vector;

use super::start::Start;

/// Above every E4M3 value.
const ABOVE: f32 = 449.0;

/// `$weigh` for each step in turn, each compiled by itself where that is faster, in a loop where it only
/// makes more code.
macro_rules! in_order {
    ([$($step:literal)*], |$name:ident| $weigh:expr) => {
        if V::WRITTEN_OUT {
            $({ let $name = $step; $weigh; })*
        } else {
            for $name in [$($step),*] {
                $weigh;
            }
        }
    };
}

/// The best candidate so far on each lane, and how close the others come.
struct Best<V: Vector> {
    scale: LaneScale<V>,
    error: V::F,
    second: V::F,
}

impl<V: Vector> Best<V> {
    /// Takes a candidate into account. One above 448 counts as infinitely wrong.
    #[inline(always)]
    unsafe fn meet(&mut self, scale: &LaneScale<V>, error: V::F) {
        // SAFETY: the caller's.
        unsafe {
            let none = V::gt(scale.value, V::splat(ABOVE));
            let error = V::select(none, V::splat(f32::INFINITY), error);
            let better = V::gt(self.error, error);
            self.second = V::min(self.second, V::max(self.error, error));
            self.error = V::min(self.error, error);
            self.scale = LaneScale {
                value: V::select(better, scale.value, self.scale.value),
                encode: V::select(better, scale.encode, self.scale.encode),
            };
        }
    }

    /// Lanes where an error of at least `part` is certain to lose.
    #[inline(always)]
    unsafe fn beats<M: Measure, const ROWS: usize>(&self, base: V::F, part: V::F) -> V::M {
        // SAFETY: the caller's.
        unsafe {
            let bound = M::bound::<V, ROWS>(base, V::add(self.error, part));
            V::gt(V::sub(part, self.error), bound)
        }
    }
}

/// What the elements of a group cost under a scale, in the domain of `y`; with `CLIP` where `y` may be
/// 7 or more.
#[inline(always)]
unsafe fn cost<V: Vector, M: Measure, const CLIP: bool>(
    elements: &[V::F],
    encode: V::F,
    mut sum: V::F,
) -> V::F {
    // SAFETY: the caller's.
    unsafe {
        for x in elements {
            let y = V::mul(*x, encode);
            let q = V::round_e2m1(y);
            // Below 16, rounding beyond the grid gives 8 or more.
            let q = if CLIP { V::min(q, V::splat(6.0)) } else { q };
            sum = M::add::<V>(sum, V::sub(q, y));
        }
        sum
    }
}

/// [`cost`] of all elements in the domain of `x·S_enc`.
#[inline(always)]
unsafe fn error<V: Vector, M: Measure, const CLIP: bool>(
    group: &Group<V>,
    scale: &LaneScale<V>,
) -> V::F {
    // SAFETY: the caller's.
    unsafe {
        let sum = cost::<V, M, CLIP>(&group.magnitudes, scale.encode, V::splat(0.0));
        M::scaled::<V>(sum, scale.value)
    }
}

/// What clipping a block's maximum costs under a scale.
#[inline(always)]
unsafe fn clipped<V: Vector, M: Measure>(base: V::F, scale: &LaneScale<V>) -> V::F {
    // SAFETY: the caller's.
    unsafe {
        let over = V::mul(V::sub(base, scale.value), V::splat(6.0));
        M::share::<V>(V::max(over, V::splat(0.0)))
    }
}

/// A tile's error under a scale, in the domain of `x·S_enc`; none where half of the elements are
/// certain to lose against the best.
#[inline(always)]
unsafe fn tile_cost<V: Vector, M: Measure, const CLIP: bool>(
    tile: &Tile<'_, V, Start<V>>,
    scale: &LaneScale<V>,
    best: Option<&Best<V>>,
) -> Option<V::F> {
    // SAFETY: the caller's.
    unsafe {
        let mut sum = V::splat(0.0);
        for group in tile.groups {
            sum = cost::<V, M, CLIP>(&group.magnitudes[..8], scale.encode, sum);
        }
        if let Some(best) = best {
            let part = whole::<V, M>(sum, scale);
            if V::all(best.beats::<M, 16>(tile.scales.base, part)) {
                return None;
            }
        }
        for group in tile.groups {
            sum = cost::<V, M, CLIP>(&group.magnitudes[8..], scale.encode, sum);
        }
        Some(whole::<V, M>(sum, scale))
    }
}

/// What the lanes of a tile cost together, in the domain of `x·S_enc`.
#[inline(always)]
unsafe fn whole<V: Vector, M: Measure>(sum: V::F, scale: &LaneScale<V>) -> V::F {
    // SAFETY: the caller's.
    unsafe {
        let zero = V::splat(0.0);
        M::scaled::<V>(V::splat(error::of_tile::<V>([sum, zero, zero, zero])), scale.value)
    }
}

/// Weighs a candidate at or above map6's scale, unless half of the elements rule it out.
#[inline(always)]
unsafe fn above<V: Vector, M: Measure>(
    group: &Group<V>,
    start: &Start<V>,
    step: i32,
    best: &mut Best<V>,
) {
    // SAFETY: the caller's.
    unsafe {
        let scale = start.near(step);
        let (front, back) = group.magnitudes.split_at(10);
        let sum = cost::<V, M, false>(front, scale.encode, V::splat(0.0));
        if step > 4 {
            let part = M::scaled::<V>(sum, scale.value);
            if V::all(best.beats::<M, 1>(start.base, part)) {
                return;
            }
        }
        let sum = cost::<V, M, false>(back, scale.encode, sum);
        best.meet(&scale, M::scaled::<V>(sum, scale.value));
    }
}

/// Weighs a candidate below map6's scale, unless its clipping rules it out.
#[inline(always)]
unsafe fn below<V: Vector, M: Measure>(
    group: &Group<V>,
    start: &Start<V>,
    step: i32,
    best: &mut Best<V>,
) {
    // SAFETY: the caller's.
    unsafe {
        let scale = start.near(step);
        let part = clipped::<V, M>(start.base, &scale);
        if !V::all(best.beats::<M, 1>(start.base, part)) {
            best.meet(&scale, error::<V, M, true>(group, &scale));
        }
    }
}

/// Weighs a candidate for a tile, unless half of its elements rule it out.
#[inline(always)]
unsafe fn weigh_tile<V: Vector, M: Measure>(
    tile: &Tile<'_, V, Start<V>>,
    step: i32,
    best: &mut Best<V>,
) {
    // SAFETY: the caller's.
    unsafe {
        let scale = tile.scales.near(step);
        let error = if step < 0 {
            tile_cost::<V, M, true>(tile, &scale, Some(best))
        } else {
            tile_cost::<V, M, false>(tile, &scale, Some(best))
        };
        if let Some(error) = error {
            best.meet(&scale, error);
        }
    }
}

/// The choice for a regular group.
///
/// # Safety
/// As [`Vector`].
#[inline(always)]
pub(super) unsafe fn choose<V: Vector, M: Measure>(
    group: &Group<V>,
    start: &Start<V>,
) -> Choice<V> {
    // SAFETY: the caller's.
    unsafe {
        let first = error::<V, M, false>(group, &start.map6);
        let second = V::splat(f32::INFINITY);
        let mut best = Best { scale: start.map6, error: first, second };
        // Those that win most often first: the sooner the best is good, the more it rules out.
        in_order!([1 2 3 4 -1 5 -2 -3 -4 6 7 8], |step| if step > 0 {
            above::<V, M>(group, start, step, &mut best);
        } else {
            below::<V, M>(group, start, step, &mut best);
        });
        let certain = best.beats::<M, 1>(start.base, best.second);
        let zeros = V::eq(group.amax, V::splat(0.0));
        let certain = V::mask_bits(certain) | V::mask_bits(zeros) == u32::MAX >> (32 - V::LANES);
        let nearest = nearest::<V, true>(group, &best.scale);
        let map4 = V::gt(group.amax, group.amax);
        Choice { scale: best.scale, nearest, map4, certain }
    }
}

/// The choice for a tile of finite elements, where it is certain.
///
/// # Safety
/// As [`Vector`].
#[inline(always)]
pub(super) unsafe fn choose_tile<V: Vector, M: Measure>(
    tile: &Tile<'_, V, Start<V>>,
    certifiable: bool,
) -> Option<TileChoice<V>> {
    // SAFETY: the caller's.
    unsafe {
        let Tile { scales: start, amax, .. } = tile;
        if *amax == 0.0 {
            return Some(TileChoice { scale: start.map6, map4: false, codes: None });
        }
        if !certifiable || !V::all(start.regular(V::splat(*amax))) {
            return None;
        }
        let first = tile_cost::<V, M, false>(tile, &start.map6, None)?;
        let second = V::splat(f32::INFINITY);
        let mut best = Best { scale: start.map6, error: first, second };
        in_order!([1 -1 2 -2 3 -3 4 -4 5 6 7 8], |step| weigh_tile::<V, M>(tile, step, &mut best));
        let certain = V::all(best.beats::<M, 16>(start.base, best.second));
        certain.then_some(TileChoice { scale: best.scale, map4: false, codes: None })
    }
}
