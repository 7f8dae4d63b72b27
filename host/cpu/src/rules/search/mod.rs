//! Scale search: the block scale with the lowest fast error, of 13 around that of map6.
//!
//! The candidates are neighbouring E4M3 bytes. A byte's value is its FP32 bits shifted, so that for
//! normal scales the next byte's value is one step of `2^20` further in FP32 bits.
//!
//! **Which candidates are weighed.** A sum of errors is at least every part of it, also as the contract
//! rounds it: magnitudes and squares only add. So a part that is larger than the best sum so far, by
//! more than the bound for these two, proves that a candidate loses (strictly: a tie would go to the
//! earlier one). Two parts are cheap:
//!
//! - Below map6's scale the block's maximum is clipped: it alone costs `6b − 6s`, or its square.
//! - Far above it the steps are coarse: half of the elements often cost more than all do under the best.
//!
//! What is left out is never near the best, and the order in which candidates are weighed is free:
//! only where the best is certain against every other one does the order of the estimates count.

mod hot;
mod start;

use std::marker::PhantomData;

use fouroversix_core::ErrorPath;

use crate::block::{Block, block_amax, rows_amax, sum_rows};
use crate::candidate::nearest;
use crate::group::Group;
use crate::lane_scale::{LaneGlobal, LaneScale};
use crate::measure::Measure;
use crate::scale::{BlockScale, GlobalScale};
use crate::simd::vector::Vector;

use self::start::Start;
use super::error;
use super::rule::{BlockChoice, Choice, ScaleRule, Tile, TileChoice, Tried};

/// How far from map6's byte the candidates are, in the order in which they are tried.
const STEPS: [i32; 13] = [0, 1, -1, 2, -2, 3, -3, 4, -4, 5, 6, 7, 8];

/// See the module; with the metric `M`.
#[derive(Clone, Copy)]
pub(crate) struct Search<M>(PhantomData<M>);

impl<M: Measure> Search<M> {
    /// The rule.
    pub(crate) const fn new() -> Self {
        Self(PhantomData)
    }

    /// The contract's own error of a candidate; the search compares fast ones.
    #[inline(always)]
    unsafe fn exact<V: Vector>(
        group: &Group<V>,
        scale: &LaneScale<V>,
        global: &LaneGlobal<V>,
    ) -> V::F {
        // SAFETY: the caller's.
        unsafe { error::of_group::<V, M>(group, scale, global, ErrorPath::Fast) }
    }

    /// [`Search::exact`] of a tile.
    #[inline(always)]
    unsafe fn exact_of_tile<V: Vector>(
        tile: &Tile<'_, V, Start<V>>,
        scale: &LaneScale<V>,
        global: &LaneGlobal<V>,
    ) -> f32 {
        // SAFETY: the caller's.
        unsafe {
            let mut errors = [V::splat(0.0); 4];
            for (error, group) in errors.iter_mut().zip(tile.groups) {
                *error = Self::exact(group, scale, global);
            }
            error::of_tile::<V>(errors)
        }
    }

    /// A block's error under one scale.
    fn error_of(block: &Block, scale: BlockScale, global: &GlobalScale) -> f32 {
        error::of_block::<M>(block, scale, global, ErrorPath::Fast).1
    }
}

/// The scales that are tried, map6's first: bytes around it that are positive finite scales.
fn scales(amax: f32, global: &GlobalScale) -> impl Iterator<Item = BlockScale> {
    let map6 = global.candidates(amax).map6.code;
    let bytes = STEPS.into_iter().map(move |step| i32::from(map6) + step);
    let tried = bytes.filter(move |&byte| byte == i32::from(map6) || (1..=126).contains(&byte));
    tried.map(|byte| global.with_code(byte as u8))
}

/// The first of the scales with the lowest error, or the first of all where none is lower.
fn best(
    mut scales: impl Iterator<Item = BlockScale>,
    error: impl Fn(BlockScale) -> f32,
) -> BlockScale {
    let mut best = scales.next().expect("map6's own scale is always tried");
    let mut lowest = error(best);
    for scale in scales {
        let error = error(scale);
        if error < lowest {
            (best, lowest) = (scale, error);
        }
    }
    best
}

impl<M: Measure> ScaleRule for Search<M> {
    const OTHER_SCALES: bool = true;
    type Scales<V: Vector> = Start<V>;

    #[inline(always)]
    unsafe fn scales<V: Vector>(global: &LaneGlobal<V>, amax: V::F) -> Start<V> {
        // SAFETY: the caller's.
        unsafe {
            let (base, map6) = global.map6(amax);
            let zeros = V::eq(amax, V::splat(0.0));
            let value = V::select(zeros, V::splat(1.0), map6.value);
            Start { base, map6, value, decode: global.decode }
        }
    }

    #[inline(always)]
    unsafe fn regular<V: Vector>(start: &Start<V>, amax: V::F) -> V::M {
        // SAFETY: the caller's.
        unsafe { start.regular(amax) }
    }

    #[inline(always)]
    fn certifiable<V: Vector>(global: &LaneGlobal<V>) -> bool {
        global.certifiable
    }

    #[inline(always)]
    unsafe fn choose<V: Vector>(&self, group: &Group<V>, start: &Start<V>) -> Choice<V> {
        // SAFETY: the caller's.
        unsafe { hot::choose::<V, M>(group, start) }
    }

    #[inline(always)]
    unsafe fn decide<V: Vector>(
        &self,
        group: &Group<V>,
        start: &Start<V>,
        global: &LaneGlobal<V>,
    ) -> Choice<V> {
        // SAFETY: the caller's.
        unsafe {
            let mut scale = start.map6;
            let mut error = Self::exact(group, &scale, global);
            for step in &STEPS[1..] {
                let (other, is_byte) = start.any(*step);
                let other_error = Self::exact(group, &other, global);
                let better = V::mask_and(is_byte, V::gt(error, other_error));
                error = V::select(better, other_error, error);
                scale.value = V::select(better, other.value, scale.value);
                scale.encode = V::select(better, other.encode, scale.encode);
            }
            let nearest = nearest::<V, true>(group, &scale);
            Choice { scale, nearest, map4: V::gt(group.amax, group.amax), certain: true }
        }
    }

    #[inline(always)]
    unsafe fn try_tile<V: Vector>(&self, _: &Tile<'_, V, Start<V>>, _: &mut Tried<V>) {}

    #[inline(always)]
    unsafe fn choose_tile<V: Vector>(
        &self,
        tile: &Tile<'_, V, Start<V>>,
        _tried: &Tried<V>,
        global: &LaneGlobal<V>,
    ) -> Option<TileChoice<V>> {
        // SAFETY: the caller's.
        unsafe { hot::choose_tile::<V, M>(tile, global.certifiable) }
    }

    #[inline(always)]
    unsafe fn decide_tile<V: Vector>(
        &self,
        tile: &Tile<'_, V, Start<V>>,
        global: &LaneGlobal<V>,
    ) -> TileChoice<V> {
        // SAFETY: the caller's.
        unsafe {
            let mut scale = tile.scales.map6;
            let mut lowest = Self::exact_of_tile(tile, &scale, global);
            for step in &STEPS[1..] {
                let (other, is_byte) = tile.scales.any(*step);
                if V::mask_bits(is_byte) == 0 {
                    continue;
                }
                let other_error = Self::exact_of_tile(tile, &other, global);
                if other_error < lowest {
                    (scale, lowest) = (other, other_error);
                }
            }
            TileChoice { scale, map4: false, codes: None }
        }
    }

    fn block(&self, block: &Block, global: &GlobalScale) -> BlockChoice {
        let scales = scales(block_amax(block), global);
        BlockChoice::of(block, best(scales, |scale| Self::error_of(block, scale, global)))
    }

    fn tile(&self, rows: &[Block; 16], global: &GlobalScale) -> [BlockChoice; 16] {
        let amax = rows_amax(rows);
        let error = |scale| sum_rows(rows.each_ref().map(|row| Self::error_of(row, scale, global)));
        let scale = best(scales(amax, global), error);
        rows.each_ref().map(|row| BlockChoice::of(row, scale))
    }
}
