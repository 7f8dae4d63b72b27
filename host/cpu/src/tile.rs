//! The block kernel for 16x16 tiles: a lane is one of the 16 rows (or columns) of a tile.
//!
//! The hot loop is that of [`super::kernel`]. A tile's rows add up their errors by the contract's
//! tree, which is a tree over lanes.

use std::mem::MaybeUninit;

use fouroversix_core::{ErrorPath, Metric, Rule};

use super::block_scale::{Global, Scale, ScalePair, e4m3_code, in_range};
use super::decision::{Bound, scalar_tile};
use super::group::Group;
use super::kernel::{MAE, MSE, PLAIN, Panel, code_words, load, store_codes, weigh, weigh_both};
use super::vector::Vector;
use crate::element::CpuElement;

/// Tiles whose scales are made together.
pub(super) const BATCH: usize = 4;

/// A tile's rows (or columns) in groups.
pub(super) type TileGroups<V> = [MaybeUninit<Group<V>>; 4];

/// Quantizes the 16x16 tiles of a panel. Returns how many chose map4.
///
/// # Safety
/// As [`groups`].
#[inline(always)]
pub(super) unsafe fn tiles<V: Vector, T: CpuElement, const COLUMNS: bool>(
    panel: &Panel<'_, T>,
) -> u64 {
    // SAFETY: as the caller's.
    unsafe {
        match panel.rule {
            Rule::Plain => run_tiles::<V, T, COLUMNS, PLAIN>(panel, ErrorPath::Fast),
            Rule::FourOverSix { metric: Metric::Mae, error_path, .. } => {
                run_tiles::<V, T, COLUMNS, MAE>(panel, error_path)
            }
            Rule::FourOverSix { metric: Metric::Mse, error_path, .. } => {
                run_tiles::<V, T, COLUMNS, MSE>(panel, error_path)
            }
            other => unreachable!("no kernel for the rule {other}"),
        }
    }
}

#[inline(always)]
pub(super) unsafe fn run_tiles<V: Vector, T: CpuElement, const COLUMNS: bool, const RULE: u8>(
    panel: &Panel<'_, T>,
    error_path: ErrorPath,
) -> u64 {
    // SAFETY: as the caller's. A tile's groups are read after they are written; `amax` and
    // `lanes` hold 16 values, at least LANES.
    unsafe {
        let mut map4 = 0;
        let global = Global::<V>::new(&panel.globals[..1]);
        let lane_step = V::LANES * if COLUMNS { 1 } else { panel.stride };
        let mut groups: [TileGroups<V>; BATCH] = [[const { MaybeUninit::uninit() }; 4]; BATCH];
        for first in (0..panel.count).step_by(BATCH) {
            let batch = BATCH.min(panel.count - first);
            let mut amax = [0.0_f32; 16];
            for t in 0..batch {
                let from = panel.from.add((first + t) * panel.step);
                let mut max = V::splat_u(0);
                for (g, slot) in groups[t].iter_mut().enumerate().take(16 / V::LANES) {
                    let group =
                        slot.write(load::<V, T, COLUMNS>(from.add(g * lane_step), panel.stride));
                    max = V::max_u32(max, V::to_bits(group.amax));
                }
                amax[t] = lane_max::<V>(max);
            }
            let scales = TileScales::new::<V, RULE>(V::load(amax.as_ptr()), &global);
            for t in 0..batch {
                let index = first + t;
                if amax[t].is_nan() || amax[t] >= T::LIMIT {
                    map4 += scalar_tile::<T, COLUMNS>(panel, index);
                    continue;
                }
                let groups = std::slice::from_raw_parts(groups[t].as_ptr().cast(), 16 / V::LANES);
                let tile = Tile::<V> { groups, scales: scales.splat(t), amax: amax[t] };
                let codes = panel.codes.add(index * panel.step_bytes);
                let lanes = panel.lane_bytes;
                let (value, is_map4) =
                    quantize_tile::<V, RULE>(&tile, &global, error_path, codes, lanes);
                let mut code = [0_u8; 16];
                V::store_bytes(e4m3_code::<V>(value), code.as_mut_ptr());
                panel.scales.add(index).write(code[0]);
                map4 += u64::from(is_map4);
            }
        }
        map4
    }
}

/// The largest lane, as integers: the order of magnitudes, NaN on top.
#[inline(always)]
pub(super) unsafe fn lane_max<V: Vector>(max: V::U) -> f32 {
    let mut lanes = [0.0_f32; 16];
    // SAFETY: as the caller's; 16 is at least LANES.
    unsafe { V::store(V::from_bits(max), lanes.as_mut_ptr()) };
    let bits = lanes.iter().take(V::LANES).fold(0, |max, lane| lane.to_bits().max(max));
    f32::from_bits(bits)
}

/// The scales of up to `LANES` tiles.
pub(super) struct TileScales {
    pub(super) base: [f32; 16],
    pub(super) map4: [[f32; 16]; 2],
    pub(super) map6: [[f32; 16]; 2],
}

impl TileScales {
    #[inline(always)]
    pub(super) unsafe fn new<V: Vector, const RULE: u8>(amax: V::F, global: &Global<V>) -> Self {
        // SAFETY: as the caller's; the arrays hold 16 lanes.
        unsafe {
            let lanes = |value: V::F| {
                let mut lanes = [0.0; 16];
                V::store(value, lanes.as_mut_ptr());
                lanes
            };
            let part = |scale: &Scale<V>| [lanes(scale.value), lanes(scale.encode)];
            if RULE == PLAIN {
                let plain = part(&global.plain(amax));
                return Self { base: [0.0; 16], map4: plain, map6: plain };
            }
            let pair = global.candidates(amax);
            Self { base: lanes(pair.base), map4: part(&pair.map4), map6: part(&pair.map6) }
        }
    }

    /// Those of one tile on every lane.
    #[inline(always)]
    pub(super) unsafe fn splat<V: Vector>(&self, tile: usize) -> ScalePair<V> {
        // SAFETY: as the caller's.
        unsafe {
            let scale = |[value, encode]: &[[f32; 16]; 2]| Scale {
                value: V::splat(value[tile]),
                encode: V::splat(encode[tile]),
            };
            let base = V::splat(self.base[tile]);
            ScalePair { base, map4: scale(&self.map4), map6: scale(&self.map6) }
        }
    }
}

/// A tile with its scales.
pub(crate) struct Tile<'a, V: Vector> {
    pub(super) groups: &'a [Group<V>],
    pub(super) scales: ScalePair<V>,
    pub(super) amax: f32,
}

/// Quantizes a tile and writes its codes. Returns the scale on every lane, and whether of map4.
#[inline(always)]
pub(super) unsafe fn quantize_tile<V: Vector, const RULE: u8>(
    tile: &Tile<'_, V>,
    global: &Global<V>,
    error_path: ErrorPath,
    codes: *mut u8,
    lane_bytes: usize,
) -> (V::F, bool) {
    // SAFETY: as the caller's.
    unsafe {
        let Tile { groups, scales, .. } = tile;
        let map4 = RULE != PLAIN && tile_choice::<V, RULE>(tile, global, error_path);
        let scale = if map4 { &scales.map4 } else { &scales.map6 };
        for (g, group) in groups.iter().enumerate() {
            let weighed = weigh::<V, true, PLAIN>(group, scale);
            let words = code_words::<V>(&weighed.packed, &group.signs);
            store_codes::<V>(words, codes.add(g * V::LANES * lane_bytes), lane_bytes);
        }
        (scale.value, map4)
    }
}

/// Whether a tile takes map4.
#[inline(always)]
pub(super) unsafe fn tile_choice<V: Vector, const RULE: u8>(
    tile: &Tile<'_, V>,
    global: &Global<V>,
    error_path: ErrorPath,
) -> bool {
    // SAFETY: as the caller's.
    unsafe {
        let Tile { groups, scales, amax } = tile;
        if *amax == 0.0 {
            return false;
        }
        if global.certifiable && in_range(V::splat(*amax), &scales.map6) {
            let zero = V::splat(0.0);
            let (mut err4, mut err6) = (zero, zero);
            for group in *groups {
                let [four, six] = weigh_both::<V, RULE>(group, scales);
                err4 = V::add(err4, four.error);
                err6 = V::add(err6, six.error);
            }
            let err4 = tile_sum::<V>([err4, zero, zero, zero]);
            let err6 = tile_sum::<V>([err6, zero, zero, zero]);
            let certain = Bound::certain::<V, RULE, 16>(scales, V::splat(err4), V::splat(err6));
            if V::mask_bits(certain) != 0 {
                return err4 < err6;
            }
        }
        V::rare_tile::<RULE>(tile, global, error_path)
    }
}

/// The errors of 16 rows, in lanes of groups, by the contract's tree: +8, +4, +2, +1.
#[inline(always)]
pub(super) unsafe fn tile_sum<V: Vector>(mut groups: [V::F; 4]) -> f32 {
    let mut rows = [0.0_f32; 16];
    // SAFETY: as the caller's; 16 is at least LANES.
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
