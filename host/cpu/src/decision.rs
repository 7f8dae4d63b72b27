//! Trick 3 of the kernel: when the estimated errors decide, and what happens when they do not.

use fouroversix_core::ErrorPath;

use super::block_scale::{Global, Scale, ScalePair, all};
use super::group::Group;
use super::kernel::{
    Chosen, MSE, PLAIN, Panel, Prepared, Weighed, choose, lane_globals, prepare, store_group, weigh,
};
use super::scalar;
use super::scale::GlobalScale;
use super::tile::{Tile, tile_sum};
use super::vector::Vector;
use crate::element::CpuElement;

/// The contract's own error of a candidate, steps 5 to 7 as they stand.
#[inline(always)]
pub(super) unsafe fn exact_error<V: Vector, const RULE: u8>(
    group: &Group<V>,
    scale: &Scale<V>,
    global: &Global<V>,
    error_path: ErrorPath,
) -> V::F {
    // SAFETY: as the caller's.
    unsafe {
        let mut error = V::splat(0.0);
        for x in group.magnitudes {
            // The sign of x is that of q, and every step is odd: |d| is the same without it.
            let y = V::min(V::mul(x, scale.encode), V::splat(6.0));
            let product = V::mul(V::round_e2m1(y), scale.value);
            let d = match error_path {
                ErrorPath::Strict => {
                    V::sub(V::div(V::mul(product, global.amax), global.full_range), x)
                }
                ErrorPath::Fast => V::sub(product, V::mul(x, global.encode)),
            };
            error = V::add(error, if RULE == MSE { V::mul(d, d) } else { V::abs(d) });
        }
        error
    }
}

/// When the estimated errors decide.
///
/// Write `u = 2^-24`, `D_i = q_i·s − |x_i|·S_enc` in exact arithmetic, `E = Σ|D_i|` or `ΣD_i²`, and
/// `X = 6b` (times `1 + 2u`), which is at least every `|x_i|·S_enc`. Both the contract's error of a
/// candidate (strict ones times `S_enc`, or its square, which does not change their order) and the
/// kernel's estimate are `E` with a few roundings. `q_i` is the same in all three: it is exact.
///
/// - *Estimate.* `y` is `|x|·S_enc/s` with four roundings (`S_dec`, `s·S_dec`, its reciprocal, the
///   product), so `s·(q − y)` is `D` to within `4.01u·X`; the difference, the sum of `n = 16·ROWS`
///   terms (in any order, 15 additions deep and 4 in the tree) and the product with `s` add at
///   most `22u` relative.
/// - *Fast.* `fl(x·S_enc)` is off by `u·X`; the difference and the sum add `21u` relative.
/// - *Strict.* Two roundings in the value and one in `S_enc = fl(6A/amax)`: `v·S_enc` is `q·s` to
///   within `3.01u·q·s <= 3.01u·(X + |D|)`; the difference and the sum add `21u` relative.
///
/// MAE: each candidate differs from the contract's by at most `n·(4.01 + 3.01)u·X + 46u·E`. Two
/// candidates: `n·14.04u·6b + 46u·(E4 + E6) <= u·(1400·ROWS·b + 60·T)`, `T` the estimates' sum.
///
/// MSE: squares turn an absolute error `e` into `2|D|e + e²`, and double the relative part of the
/// difference, plus one rounding for the square: `2·7.02u·X·Σ|D_i| + 52u·E` and second order terms.
/// `Σ|D_i| <= sqrt(n·E)`, and `sqrt(E4) + sqrt(E6) <= sqrt(2T)`: the two candidates together give at
/// most `14.04u·6b·sqrt(2n)·sqrt(T) + 60u·T`, that is `477·u·b·sqrt(T)` for a row and four times that
/// for a tile. The second order, `n·(7.02u·X)²` for each candidate, is below `2^-8·ROWS·u·b²`.
///
/// Underflow and overflow: with `amax` in `[2^-28, 2^28]`, `0 < s` and `y < 7` (so `b < 523`) every
/// quantity is in `[2^-60, 2^60]` but tiny `x` and `d`; what their products lose is below `2^-149·2^80·n`, which
/// the term with `b >= 2^-10` covers. The constants below are rounded up, so that the roundings
/// of the bound itself are covered too.
pub(super) struct Bound;

impl Bound {
    pub(super) fn certifiable(global: &GlobalScale) -> bool {
        let limit = 268_435_456.0; // 2^28
        (1.0 / limit..=limit).contains(&global.amax)
    }

    /// Lanes where `|err4 - err6|` is large enough; `ROWS` blocks were added up.
    #[inline(always)]
    pub(super) unsafe fn certain<V: Vector, const RULE: u8, const ROWS: usize>(
        scales: &ScalePair<V>,
        err4: V::F,
        err6: V::F,
    ) -> V::M {
        // SAFETY: as the caller's.
        unsafe {
            let unit = 1.0 / 16_777_216.0;
            let total = V::add(err4, err6);
            let base = scales.base;
            let bound = if RULE == MSE {
                let root = if ROWS == 1 { 500.0 } else { 2000.0 };
                let first = V::mul(V::splat(root * unit), V::sqrt(total));
                let first = V::add(first, V::mul(V::splat(unit / 8.0), base));
                V::mul_add(V::splat(60.0 * unit), total, V::mul(first, base))
            } else {
                let slope = V::splat(1400.0 * ROWS as f32 * unit);
                V::mul_add(V::splat(60.0 * unit), total, V::mul(slope, base))
            };
            let apart = V::gt(V::abs(V::sub(err4, err6)), bound);
            V::mask_and(apart, V::gt(scales.map6.value, V::splat(0.0)))
        }
    }
}

/// The choice by the contract's own errors, for any scales.
#[inline(always)]
pub(super) unsafe fn exact_choice<V: Vector, const RULE: u8>(
    group: &Group<V>,
    scales: &ScalePair<V>,
    global: &Global<V>,
    error_path: ErrorPath,
) -> Chosen<V> {
    // SAFETY: as the caller's.
    unsafe {
        let four = weigh::<V, true, PLAIN>(group, &scales.map4);
        let six = weigh::<V, true, PLAIN>(group, &scales.map6);
        let err4 = exact_error::<V, RULE>(group, &scales.map4, global, error_path);
        let err6 = exact_error::<V, RULE>(group, &scales.map6, global, error_path);
        choose(V::gt(err6, err4), true, scales, &four, &six)
    }
}

/// A group that is not regular or not settled. Returns how many chose map4.
///
/// # Safety
/// As [`groups`].
#[inline(always)]
pub(super) unsafe fn rare_group<V: Vector, T: CpuElement, const COLUMNS: bool, const RULE: u8>(
    panel: &Panel<'_, T>,
    index: usize,
    error_path: ErrorPath,
) -> u64 {
    // SAFETY: as the caller's.
    unsafe {
        let global = Global::<V>::new(lane_globals::<V, T>(panel, index));
        let Prepared { group, scales, .. } = prepare::<V, T, COLUMNS, RULE>(panel, index, &global);
        if !all::<V>(V::gt(V::splat(T::LIMIT), group.amax)) {
            return scalar_group::<V, T, COLUMNS>(panel, index);
        }
        let chosen = if RULE == PLAIN {
            let Weighed { packed, error } = weigh::<V, true, PLAIN>(&group, &scales.map6);
            Chosen { packed, value: scales.map6.value, map4: V::gt(error, error), settled: true }
        } else {
            exact_choice::<V, RULE>(&group, &scales, &global, error_path)
        };
        store_group(panel, index, &group, &chosen);
        u64::from(V::mask_bits(chosen.map4).count_ones())
    }
}

/// One lane's block, element by element.
pub(super) unsafe fn gather<T: CpuElement, const COLUMNS: bool>(
    from: *const T,
    stride: usize,
    lane: usize,
) -> scalar::Block {
    let (first, next) = if COLUMNS { (lane, stride) } else { (lane * stride, 1) };
    // SAFETY: as the caller's: the block is readable.
    std::array::from_fn(|i| unsafe { from.add(first + i * next).read() }.to_f32())
}

/// A group with elements that are not finite, block by block.
#[cold]
#[inline(never)]
pub(super) unsafe fn scalar_group<V: Vector, T: CpuElement, const COLUMNS: bool>(
    panel: &Panel<'_, T>,
    index: usize,
) -> u64 {
    let mut map4 = 0;
    for lane in 0..V::LANES {
        // SAFETY: as the caller's.
        unsafe {
            let from = panel.from.add(index * panel.step);
            let block = gather::<T, COLUMNS>(from, panel.stride, lane);
            let global = match panel.globals {
                [one] => one,
                lanes => &lanes[index * V::LANES + lane],
            };
            let (chosen, is_map4) = scalar::quantize_block(&block, global, panel.rule);
            let codes = panel.codes.add(index * panel.step_bytes + lane * panel.lane_bytes);
            codes.cast::<[u8; 8]>().write(chosen.packed());
            panel.scales.add(index * V::LANES + lane).write(chosen.scale);
            map4 += u64::from(is_map4);
        }
    }
    map4
}

/// A tile's choice by the contract's own errors.
///
/// # Safety
/// As [`groups`].
#[inline(always)]
pub(super) unsafe fn exact_tile_choice<V: Vector, const RULE: u8>(
    tile: &Tile<'_, V>,
    global: &Global<V>,
    error_path: ErrorPath,
) -> bool {
    // SAFETY: as the caller's.
    unsafe {
        let Tile { groups, scales, .. } = tile;
        let mut errors = [[V::splat(0.0); 4]; 2];
        for (g, group) in groups.iter().enumerate() {
            errors[0][g] = exact_error::<V, RULE>(group, &scales.map4, global, error_path);
            errors[1][g] = exact_error::<V, RULE>(group, &scales.map6, global, error_path);
        }
        tile_sum::<V>(errors[0]) < tile_sum::<V>(errors[1])
    }
}

/// A tile with elements that are not finite, element by element.
#[cold]
#[inline(never)]
pub(super) unsafe fn scalar_tile<T: CpuElement, const COLUMNS: bool>(
    panel: &Panel<'_, T>,
    index: usize,
) -> u64 {
    // SAFETY: as the caller's.
    unsafe {
        let from = panel.from.add(index * panel.step);
        let rows = std::array::from_fn(|lane| gather::<T, COLUMNS>(from, panel.stride, lane));
        let (chosen, map4) = scalar::quantize_tile(&rows, &panel.globals[0], panel.rule);
        let codes = panel.codes.add(index * panel.step_bytes);
        for (lane, candidate) in chosen.iter().enumerate() {
            codes.add(lane * panel.lane_bytes).cast::<[u8; 8]>().write(candidate.packed());
        }
        panel.scales.add(index).write(chosen[0].scale);
        u64::from(map4)
    }
}
