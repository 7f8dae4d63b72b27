//! NVFP4 as it is: the block maximum maps to 6.

use crate::block::{Block, block_amax, rows_amax};
use crate::candidate::nearest;
use crate::group::Group;
use crate::lane_scale::{LaneGlobal, LaneScale};
use crate::scale::GlobalScale;
use crate::simd::vector::Vector;

use super::rule::{BlockChoice, Choice, ScaleRule, Tile, TileChoice, Tried};

/// See the module.
#[derive(Clone, Copy)]
pub(crate) struct Plain;

#[inline(always)]
unsafe fn choice<V: Vector, const CLAMP: bool>(
    group: &Group<V>,
    scale: &LaneScale<V>,
) -> Choice<V> {
    // SAFETY: the caller's.
    unsafe {
        let none = V::gt(group.amax, group.amax);
        let nearest = nearest::<V, CLAMP>(group, scale);
        Choice { scale: *scale, nearest, map4: none, certain: true }
    }
}

impl ScaleRule for Plain {
    type Scales<V: Vector> = LaneScale<V>;

    #[inline(always)]
    unsafe fn scales<V: Vector>(global: &LaneGlobal<V>, amax: V::F) -> LaneScale<V> {
        // SAFETY: the caller's.
        unsafe { global.plain(amax) }
    }

    #[inline(always)]
    unsafe fn regular<V: Vector>(scale: &LaneScale<V>, amax: V::F) -> V::M {
        // SAFETY: the caller's.
        unsafe { scale.in_range(amax) }
    }

    #[inline(always)]
    fn certifiable<V: Vector>(_global: &LaneGlobal<V>) -> bool {
        true
    }

    #[inline(always)]
    unsafe fn choose<V: Vector>(&self, group: &Group<V>, scale: &LaneScale<V>) -> Choice<V> {
        // SAFETY: the caller's.
        unsafe { choice::<V, false>(group, scale) }
    }

    #[inline(always)]
    unsafe fn decide<V: Vector>(
        &self,
        group: &Group<V>,
        scale: &LaneScale<V>,
        _global: &LaneGlobal<V>,
    ) -> Choice<V> {
        // SAFETY: the caller's.
        unsafe { choice::<V, true>(group, scale) }
    }

    #[inline(always)]
    unsafe fn try_tile<V: Vector>(&self, _: &Tile<'_, V, LaneScale<V>>, _: &mut Tried<V>) {}

    #[inline(always)]
    unsafe fn choose_tile<V: Vector>(
        &self,
        tile: &Tile<'_, V, LaneScale<V>>,
        _tried: &Tried<V>,
        global: &LaneGlobal<V>,
    ) -> Option<TileChoice<V>> {
        // SAFETY: the caller's.
        Some(unsafe { self.decide_tile(tile, global) })
    }

    #[inline(always)]
    unsafe fn decide_tile<V: Vector>(
        &self,
        tile: &Tile<'_, V, LaneScale<V>>,
        _global: &LaneGlobal<V>,
    ) -> TileChoice<V> {
        TileChoice { scale: tile.scales, map4: false, codes: None }
    }

    fn block(&self, block: &Block, global: &GlobalScale) -> BlockChoice {
        BlockChoice::of(block, global.plain(block_amax(block)))
    }

    fn tile(&self, rows: &[Block; 16], global: &GlobalScale) -> [BlockChoice; 16] {
        let scale = global.plain(rows_amax(rows));
        rows.each_ref().map(|row| BlockChoice::of(row, scale))
    }
}
