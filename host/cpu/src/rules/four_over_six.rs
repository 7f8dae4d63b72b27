//! Four Over Six: the block maximum maps to 6 or to 4, whichever has the lower error.

use std::marker::PhantomData;

use fouroversix_core::ErrorPath;

use crate::block::{Block, block_amax, rows_amax, sum_rows};
use crate::candidate::{Candidate, nearest, pair};
use crate::group::Group;
use crate::lane_scale::{LaneGlobal, LanePair, LaneScale};
use crate::measure::Measure;
use crate::scale::{GlobalScale, ScalePair};
use crate::simd::vector::Vector;

use super::error;
use super::rule::{BlockChoice, Choice, ScaleRule, Tile, TileChoice, Tried};

/// See the module; with the metric `M`.
#[derive(Clone, Copy)]
pub(crate) struct FourOverSix<M> {
    error_path: ErrorPath,
    metric: PhantomData<M>,
}

impl<M: Measure> FourOverSix<M> {
    /// The rule that compares errors on `error_path`.
    pub(crate) const fn new(error_path: ErrorPath) -> Self {
        Self { error_path, metric: PhantomData }
    }

    /// Lanes whose estimated errors, over `ROWS` blocks, are far enough apart.
    #[inline(always)]
    unsafe fn certain<V: Vector, const ROWS: usize>(
        scales: &LanePair<V>,
        err4: V::F,
        err6: V::F,
    ) -> V::M {
        // SAFETY: the caller's.
        unsafe {
            let bound = M::bound::<V, ROWS>(scales.base, V::add(err4, err6));
            let apart = V::gt(V::abs(V::sub(err4, err6)), bound);
            V::mask_and(apart, V::gt(scales.map6.value, V::splat(0.0)))
        }
    }
}

/// The candidate of each lane's choice.
#[inline(always)]
unsafe fn select<V: Vector>(
    map4: V::M,
    certain: bool,
    scales: &LanePair<V>,
    [four, six]: [&[V::F; 4]; 2],
) -> Choice<V> {
    // SAFETY: the caller's.
    unsafe {
        let mut nearest = *six;
        for (six, four) in nearest.iter_mut().zip(four) {
            *six = V::select(map4, *four, *six);
        }
        let scale = LaneScale {
            value: V::select(map4, scales.map4.value, scales.map6.value),
            encode: V::select(map4, scales.map4.encode, scales.map6.encode),
        };
        Choice { scale, nearest, map4, certain }
    }
}

#[inline(always)]
fn tile_choice<V: Vector>(scales: &LanePair<V>, map4: bool) -> TileChoice<V> {
    TileChoice { scale: if map4 { scales.map4 } else { scales.map6 }, map4, codes: None }
}

impl<M: Measure> ScaleRule for FourOverSix<M> {
    type Scales<V: Vector> = LanePair<V>;

    #[inline(always)]
    unsafe fn scales<V: Vector>(global: &LaneGlobal<V>, amax: V::F) -> LanePair<V> {
        // SAFETY: the caller's.
        unsafe { global.candidates(amax) }
    }

    /// `e4 <= e6`, so map6 decides.
    #[inline(always)]
    unsafe fn regular<V: Vector>(scales: &LanePair<V>, amax: V::F) -> V::M {
        // SAFETY: the caller's.
        unsafe { scales.map6.in_range(amax) }
    }

    #[inline(always)]
    fn certifiable<V: Vector>(global: &LaneGlobal<V>) -> bool {
        global.certifiable
    }

    #[inline(always)]
    unsafe fn choose<V: Vector>(&self, group: &Group<V>, scales: &LanePair<V>) -> Choice<V> {
        // SAFETY: the caller's.
        unsafe {
            let [four, six] = pair::<V, M>(group, scales);
            let certain = Self::certain::<V, 1>(scales, four.error, six.error);
            let zeros = V::eq(group.amax, V::splat(0.0));
            let certain =
                V::mask_bits(certain) | V::mask_bits(zeros) == u32::MAX >> (32 - V::LANES);
            let map4 = V::gt(six.error, four.error);
            select(map4, certain, scales, [&four.packed, &six.packed])
        }
    }

    #[inline(always)]
    unsafe fn decide<V: Vector>(
        &self,
        group: &Group<V>,
        scales: &LanePair<V>,
        global: &LaneGlobal<V>,
    ) -> Choice<V> {
        // SAFETY: the caller's.
        unsafe {
            let four = nearest::<V, true>(group, &scales.map4);
            let six = nearest::<V, true>(group, &scales.map6);
            let err4 = error::of_group::<V, M>(group, &scales.map4, global, self.error_path);
            let err6 = error::of_group::<V, M>(group, &scales.map6, global, self.error_path);
            select(V::gt(err6, err4), true, scales, [&four, &six])
        }
    }

    #[inline(always)]
    unsafe fn try_tile<V: Vector>(&self, tile: &Tile<'_, V, LanePair<V>>, tried: &mut Tried<V>) {
        // SAFETY: the caller's.
        unsafe {
            let (mut err4, mut err6) = (V::splat(0.0), V::splat(0.0));
            for (g, group) in tile.groups.iter().enumerate() {
                let [four, six]: [Candidate<V>; 2] = pair::<V, M>(group, &tile.scales);
                tried.codes[0][g].write(four.packed);
                tried.codes[1][g].write(six.packed);
                err4 = V::add(err4, four.error);
                err6 = V::add(err6, six.error);
            }
            tried.errors[0].write(err4);
            tried.errors[1].write(err6);
        }
    }

    #[inline(always)]
    unsafe fn choose_tile<V: Vector>(
        &self,
        tile: &Tile<'_, V, LanePair<V>>,
        tried: &Tried<V>,
        global: &LaneGlobal<V>,
    ) -> Option<TileChoice<V>> {
        // SAFETY: the caller's.
        unsafe {
            let Tile { scales, amax, .. } = tile;
            if *amax == 0.0 {
                return Some(tile_choice(scales, false));
            }
            if !global.certifiable || !V::all(scales.map6.in_range(V::splat(*amax))) {
                return None;
            }
            let err4 = V::splat(V::sum(tried.errors[0].assume_init()));
            let err6 = V::splat(V::sum(tried.errors[1].assume_init()));
            let certain = Self::certain::<V, 16>(scales, err4, err6);
            // By selection: half of all branches would be taken, and none of them foreseen.
            let map4 = V::gt(err6, err4);
            let scale = LaneScale {
                value: V::select(map4, scales.map4.value, scales.map6.value),
                encode: V::select(map4, scales.map4.encode, scales.map6.encode),
            };
            let map4 = V::mask_bits(map4) & 1 == 1;
            let choice = TileChoice { scale, map4, codes: Some(usize::from(!map4)) };
            (V::mask_bits(certain) != 0).then_some(choice)
        }
    }

    #[inline(always)]
    unsafe fn decide_tile<V: Vector>(
        &self,
        tile: &Tile<'_, V, LanePair<V>>,
        global: &LaneGlobal<V>,
    ) -> TileChoice<V> {
        // SAFETY: the caller's.
        unsafe {
            let Tile { groups, scales, .. } = tile;
            let mut errors = [[V::splat(0.0); 4]; 2];
            for (g, group) in groups.iter().enumerate() {
                errors[0][g] =
                    error::of_group::<V, M>(group, &scales.map4, global, self.error_path);
                errors[1][g] =
                    error::of_group::<V, M>(group, &scales.map6, global, self.error_path);
            }
            tile_choice(scales, error::of_tile::<V>(errors[0]) < error::of_tile::<V>(errors[1]))
        }
    }

    fn block(&self, block: &Block, global: &GlobalScale) -> BlockChoice {
        let ScalePair { map4, map6 } = global.candidates(block_amax(block));
        let (four, err4) = error::of_block::<M>(block, map4, global, self.error_path);
        let (six, err6) = error::of_block::<M>(block, map6, global, self.error_path);
        if err4 < err6 {
            BlockChoice { scale: map4, nearest: four, map4: true }
        } else {
            BlockChoice { scale: map6, nearest: six, map4: false }
        }
    }

    fn tile(&self, rows: &[Block; 16], global: &GlobalScale) -> [BlockChoice; 16] {
        let amax = rows_amax(rows);
        let ScalePair { map4, map6 } = global.candidates(amax);
        let four =
            rows.each_ref().map(|row| error::of_block::<M>(row, map4, global, self.error_path));
        let six =
            rows.each_ref().map(|row| error::of_block::<M>(row, map6, global, self.error_path));
        if sum_rows(four.map(|(_, error)| error)) < sum_rows(six.map(|(_, error)| error)) {
            four.map(|(nearest, _)| BlockChoice { scale: map4, nearest, map4: true })
        } else {
            six.map(|(nearest, _)| BlockChoice { scale: map6, nearest, map4: false })
        }
    }
}
