//! Four Over Six: the block maximum maps to 6 or to 4, whichever has the lower error.

use std::marker::PhantomData;

use fouroversix_core::ErrorPath;

use crate::block::{Block, block_amax, sum_rows};
use crate::candidate::{Candidate, nearest, pair};
use crate::formats::{E2M1_SIGNED, e2m1};
use crate::group::Group;
use crate::lane_scale::{LaneGlobal, LanePair, LaneScale};
use crate::measure::Measure;
use crate::scale::{BlockScale, GlobalScale, ScalePair};
use crate::simd::vector::Vector;

use super::rule::{BlockChoice, Choice, ScaleRule, Tile, TileChoice};

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

    /// The contract's own error of a candidate: steps 5 to 7 as they stand.
    #[inline(always)]
    unsafe fn error<V: Vector>(
        &self,
        group: &Group<V>,
        scale: &LaneScale<V>,
        global: &LaneGlobal<V>,
    ) -> V::F {
        // SAFETY: the caller's.
        unsafe {
            let mut error = V::splat(0.0);
            for x in group.magnitudes {
                // The sign of x is that of q, and every step is odd: |d| is the same without it.
                let y = V::min(V::mul(x, scale.encode), V::splat(6.0));
                let product = V::mul(V::round_e2m1(y), scale.value);
                let d = match self.error_path {
                    ErrorPath::Strict => {
                        V::sub(V::div(V::mul(product, global.amax), global.full_range), x)
                    }
                    ErrorPath::Fast => V::sub(product, V::mul(x, global.encode)),
                };
                error = V::add(error, M::share::<V>(d));
            }
            error
        }
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

    /// A block quantized with one scale, and its error, added up in element order.
    fn try_scale(&self, block: &Block, scale: BlockScale, global: &GlobalScale) -> ([u8; 16], f32) {
        let codes = block.map(|x| e2m1(x * scale.encode));
        let mut error = 0.0_f32;
        for (x, code) in block.iter().zip(codes) {
            // Exact: at most 2 + 4 significant bits.
            let product = E2M1_SIGNED[usize::from(code)] * scale.value;
            let d = match self.error_path {
                ErrorPath::Strict => product * global.amax / global.full_range - x,
                ErrorPath::Fast => product - x * global.encode,
            };
            error += M::share_of(d);
        }
        (codes, error)
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

/// The errors of 16 rows, in lanes of groups, by the contract's tree (step 8): +8, +4, +2, +1.
#[inline(always)]
pub(super) unsafe fn tile_sum<V: Vector>(mut groups: [V::F; 4]) -> f32 {
    let mut rows = [0.0_f32; 16];
    // SAFETY: the caller's; 16 is at least LANES.
    unsafe {
        let mut count = 16 / V::LANES;
        while count > 1 {
            count /= 2;
            for i in 0..count {
                groups[i] = V::add(groups[i], groups[i + count]);
            }
        }
        V::store(groups[0], rows.as_mut_ptr());
    }
    let mut half = V::LANES / 2;
    while half > 0 {
        for i in 0..half {
            rows[i] += rows[i + half];
        }
        half /= 2;
    }
    rows[0]
}

#[inline(always)]
fn tile_choice<V: Vector>(scales: &LanePair<V>, map4: bool) -> TileChoice<V> {
    TileChoice { scale: if map4 { scales.map4 } else { scales.map6 }, map4 }
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
            let err4 = self.error(group, &scales.map4, global);
            let err6 = self.error(group, &scales.map6, global);
            select(V::gt(err6, err4), true, scales, [&four, &six])
        }
    }

    #[inline(always)]
    unsafe fn choose_tile<V: Vector>(
        &self,
        tile: &Tile<'_, V, LanePair<V>>,
        global: &LaneGlobal<V>,
    ) -> Option<TileChoice<V>> {
        // SAFETY: the caller's.
        unsafe {
            let Tile { groups, scales, amax } = tile;
            if *amax == 0.0 {
                return Some(tile_choice(scales, false));
            }
            if !global.certifiable || !V::all(scales.map6.in_range(V::splat(*amax))) {
                return None;
            }
            let zero = V::splat(0.0);
            let (mut err4, mut err6) = (zero, zero);
            for group in *groups {
                let [four, six]: [Candidate<V>; 2] = pair::<V, M>(group, scales);
                err4 = V::add(err4, four.error);
                err6 = V::add(err6, six.error);
            }
            let err4 = tile_sum::<V>([err4, zero, zero, zero]);
            let err6 = tile_sum::<V>([err6, zero, zero, zero]);
            let certain = Self::certain::<V, 16>(scales, V::splat(err4), V::splat(err6));
            (V::mask_bits(certain) != 0).then(|| tile_choice(scales, err4 < err6))
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
                errors[0][g] = self.error(group, &scales.map4, global);
                errors[1][g] = self.error(group, &scales.map6, global);
            }
            tile_choice(scales, tile_sum::<V>(errors[0]) < tile_sum::<V>(errors[1]))
        }
    }

    fn block(&self, block: &Block, global: &GlobalScale) -> BlockChoice {
        let ScalePair { map4, map6 } = global.candidates(block_amax(block));
        let (four, err4) = self.try_scale(block, map4, global);
        let (six, err6) = self.try_scale(block, map6, global);
        if err4 < err6 {
            BlockChoice { scale: map4, nearest: four, map4: true }
        } else {
            BlockChoice { scale: map6, nearest: six, map4: false }
        }
    }

    fn tile(&self, rows: &[Block; 16], global: &GlobalScale) -> [BlockChoice; 16] {
        let amax = rows.iter().map(block_amax).fold(0.0, f32::max);
        let ScalePair { map4, map6 } = global.candidates(amax);
        let four = rows.each_ref().map(|row| self.try_scale(row, map4, global));
        let six = rows.each_ref().map(|row| self.try_scale(row, map6, global));
        if sum_rows(four.map(|(_, error)| error)) < sum_rows(six.map(|(_, error)| error)) {
            four.map(|(nearest, _)| BlockChoice { scale: map4, nearest, map4: true })
        } else {
            six.map(|(nearest, _)| BlockChoice { scale: map6, nearest, map4: false })
        }
    }
}
