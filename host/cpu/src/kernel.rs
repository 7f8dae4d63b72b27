//! The block kernel, written once for every instruction set.
//!
//! Lane `l` of a vector belongs to block `l` of a group of `LANES` blocks, so that everything a
//! block needs (its maximum, scales, sums in element order, codes) is made lane by lane:
//!
//! ```text
//! for each group of LANES blocks:
//!     |x|[0..16], signs, amax   <- load, transposed
//!     s4, s6, e4, e6            <- block scales and their encode scales      (contract 4, 5)
//!     for each candidate c, for i in 0..16:
//!         y = fl(|x_i| * e_c)                                                (contract 5)
//!         q = E2M1(y)                                                        (trick 1)
//!         packed_c += 2q * 16^(i mod 4)                                      (trick 2)
//!         estimate_c += |q - y|  or  (q - y)^2                               (trick 3)
//!     if some |s4*estimate_4 - s6*estimate_6| is below its bound:
//!         compute the contract's own errors of the group                     (contract 6, 7)
//!     take map4 where its error is lower; codes from packed, signs from x
//! ```
//!
//! **Trick 1, rounding to E2M1.** For `0 <= y < 7` the E2M1 grid has step 1/2 up to 2, 1 up to 4,
//! 2 above. With `m = max(y, 1 + 2^-21)` and fused operations, `t = y - m·2^22` is rounded to a
//! multiple of `ulp(t)`, which is 1/2, 1 or 2 as `|t|` is in `[2^22, 2^23)`, `[2^23, 2^24)` or
//! above. As `|t| = m·2^22 - y`, its binade is that of `m`, but for a few `y` just above 2 or 4
//! where it is the one below: there the step is finer, and `y` still rounds to 2 or 4 as it must.
//! `m·2^22` is a multiple of the step too, so `q = t + m·2^22` is exact, `y` moved to the grid; ties
//! went to even multiples, as `m·2^22` is an even one at a tie. (With `y + m·2^22` the sum would
//! change binade too early, and 2 - 2^-23 round to 1.5.) A test runs every FP32 value in `[0, 7)`.
//!
//! **Trick 2, packing without integers.** `2q` is one of 0, 1, 2, 3, 4, 6, 8, 12, so the sum of
//! `2q_i·16^i` over four elements on top of 2^23 is an integer below 2^24: exact, and its low 16
//! bits hold a nibble for each element. A table of 16 nibbles turns `2q` into codes, eight at a
//! time. Magnitudes only: the sign bits come from `x`, which also keeps the sign of zeros.
//!
//! **Trick 3, the certified decision.** See [`Bound`], which proves it. Where
//! an element is not finite the group is done by the scalar kernel.

use fouroversix_core::{ErrorPath, Metric, Rule};

use super::block_scale::{Global, Scale, ScalePair, all, e4m3_code};
use super::decision::Bound;
use super::group::Group;
use super::scale::GlobalScale;
use super::vector::Vector;
use crate::element::CpuElement;

/// The rules as const arguments: no errors, or the metric of the errors.
pub(super) const PLAIN: u8 = 0;
/// See [`PLAIN`].
pub(super) const MAE: u8 = 1;
/// See [`PLAIN`].
pub(super) const MSE: u8 = 2;

/// Blocks to quantize and where the result goes.
///
/// In groups a lane is a block; in tiles a lane is one of a tile's 16 rows (or columns).
#[derive(Clone, Copy)]
pub(crate) struct Panel<'a, T> {
    /// The first element.
    pub(super) from: *const T,
    /// Elements from a block to the block of the next lane (blocks along rows), or from an element
    /// of a block to the next (blocks along columns).
    pub(super) stride: usize,
    /// Elements from a group or tile to the next.
    pub(super) step: usize,
    /// Codes of the first block.
    pub(super) codes: *mut u8,
    /// Bytes from a lane's codes to the next lane's.
    pub(super) lane_bytes: usize,
    /// Bytes from a group's or tile's codes to the next.
    pub(super) step_bytes: usize,
    /// Scales: one byte for each lane of a group, or for each tile.
    pub(super) scales: *mut u8,
    /// Groups or tiles.
    pub(super) count: usize,
    /// One global scale, or one for each lane of each group.
    pub(super) globals: &'a [GlobalScale],
    /// What to do.
    pub(super) rule: Rule,
}

/// Codes of a candidate as trick 2 leaves them, and its estimated error in the scaled domain.
#[derive(Clone, Copy)]
pub(super) struct Weighed<V: Vector> {
    pub(super) packed: [V::F; 4],
    pub(super) error: V::F,
}

/// Quantizes to one scale, and estimates the error unless the rule is [`PLAIN`].
#[inline(always)]
pub(super) unsafe fn weigh<V: Vector, const CLAMP: bool, const RULE: u8>(
    group: &Group<V>,
    scale: &Scale<V>,
) -> Weighed<V> {
    // SAFETY: as the caller's.
    unsafe {
        let mut error = V::splat(0.0);
        let [first, second, third, fourth] = quads(&group.magnitudes);
        // Written out: in a loop the four sums would live in memory.
        let packed = [
            weigh_quad::<V, CLAMP, RULE>(first, scale, &mut error),
            weigh_quad::<V, CLAMP, RULE>(second, scale, &mut error),
            weigh_quad::<V, CLAMP, RULE>(third, scale, &mut error),
            weigh_quad::<V, CLAMP, RULE>(fourth, scale, &mut error),
        ];
        Weighed { packed, error: scaled_error::<V, RULE>(error, scale) }
    }
}

/// [`weigh`] for both candidates at once.
#[inline(always)]
pub(super) unsafe fn weigh_both<V: Vector, const RULE: u8>(
    group: &Group<V>,
    scales: &ScalePair<V>,
) -> [Weighed<V>; 2] {
    // SAFETY: as the caller's.
    unsafe {
        let ScalePair { map4, map6, .. } = scales;
        let (mut err4, mut err6) = (V::splat(0.0), V::splat(0.0));
        let [first, second, third, fourth] = quads(&group.magnitudes);
        let a4 = weigh_quad::<V, false, RULE>(first, map4, &mut err4);
        let a6 = weigh_quad::<V, false, RULE>(first, map6, &mut err6);
        let b4 = weigh_quad::<V, false, RULE>(second, map4, &mut err4);
        let b6 = weigh_quad::<V, false, RULE>(second, map6, &mut err6);
        let c4 = weigh_quad::<V, false, RULE>(third, map4, &mut err4);
        let c6 = weigh_quad::<V, false, RULE>(third, map6, &mut err6);
        let d4 = weigh_quad::<V, false, RULE>(fourth, map4, &mut err4);
        let d6 = weigh_quad::<V, false, RULE>(fourth, map6, &mut err6);
        [
            Weighed { packed: [a4, b4, c4, d4], error: scaled_error::<V, RULE>(err4, map4) },
            Weighed { packed: [a6, b6, c6, d6], error: scaled_error::<V, RULE>(err6, map6) },
        ]
    }
}

#[inline(always)]
pub(super) fn quads<T>(elements: &[T; 16]) -> [&[T; 4]; 4] {
    let (quads, _) = elements.as_chunks::<4>();
    [&quads[0], &quads[1], &quads[2], &quads[3]]
}

/// Four elements: their `2q` packed, their errors added to `error`.
#[inline(always)]
pub(super) unsafe fn weigh_quad<V: Vector, const CLAMP: bool, const RULE: u8>(
    quad: &[V::F; 4],
    scale: &Scale<V>,
    error: &mut V::F,
) -> V::F {
    // SAFETY: as the caller's.
    unsafe {
        let sixteen = V::splat(16.0);
        let packed = weigh_one::<V, CLAMP, RULE>(quad[3], scale, error);
        let q = weigh_one::<V, CLAMP, RULE>(quad[2], scale, error);
        let packed = V::mul_add(packed, sixteen, q);
        let q = weigh_one::<V, CLAMP, RULE>(quad[1], scale, error);
        let packed = V::mul_add(packed, sixteen, q);
        let q = weigh_one::<V, CLAMP, RULE>(quad[0], scale, error);
        let packed = V::mul_add(packed, sixteen, q);
        V::mul_add(packed, V::splat(2.0), V::splat(8_388_608.0))
    }
}

#[inline(always)]
pub(super) unsafe fn weigh_one<V: Vector, const CLAMP: bool, const RULE: u8>(
    x: V::F,
    scale: &Scale<V>,
    error: &mut V::F,
) -> V::F {
    // SAFETY: as the caller's.
    unsafe {
        let y = V::mul(x, scale.encode);
        let q = V::round_e2m1(if CLAMP { V::min(y, V::splat(6.0)) } else { y });
        if RULE != PLAIN {
            let d = V::sub(q, y);
            *error = if RULE == MSE { V::mul_add(d, d, *error) } else { V::add(*error, V::abs(d)) };
        }
        q
    }
}

/// From the domain of `y` to that of `x·S_enc`.
#[inline(always)]
pub(super) unsafe fn scaled_error<V: Vector, const RULE: u8>(
    error: V::F,
    scale: &Scale<V>,
) -> V::F {
    // SAFETY: as the caller's.
    unsafe {
        let error = V::mul(error, scale.value);
        if RULE == MSE { V::mul(error, scale.value) } else { error }
    }
}

/// A chosen candidate.
pub(super) struct Chosen<V: Vector> {
    pub(super) packed: [V::F; 4],
    pub(super) value: V::F,
    pub(super) map4: V::M,
    pub(super) settled: bool,
}

#[inline(always)]
pub(super) unsafe fn choose<V: Vector>(
    map4: V::M,
    settled: bool,
    scales: &ScalePair<V>,
    four: &Weighed<V>,
    six: &Weighed<V>,
) -> Chosen<V> {
    // SAFETY: as the caller's.
    unsafe {
        let mut packed = six.packed;
        for (six, four) in packed.iter_mut().zip(four.packed) {
            *six = V::select(map4, four, *six);
        }
        Chosen {
            packed,
            value: V::select(map4, scales.map4.value, scales.map6.value),
            map4,
            settled,
        }
    }
}

/// The words of codes of a group: elements 0 to 7, elements 8 to 15.
#[inline(always)]
pub(super) unsafe fn code_words<V: Vector>(packed: &[V::F; 4], signs: &[V::U; 2]) -> [V::U; 2] {
    // SAFETY: as the caller's.
    unsafe {
        [
            code_word::<V>(packed[0], packed[1], signs[0]),
            code_word::<V>(packed[2], packed[3], signs[1]),
        ]
    }
}

#[inline(always)]
pub(super) unsafe fn code_word<V: Vector>(low: V::F, high: V::F, signs: V::U) -> V::U {
    // SAFETY: as the caller's.
    unsafe {
        let low = V::and(V::to_bits(low), V::splat_u(0xFFFF));
        let high = V::shl::<16>(V::to_bits(high));
        V::or(V::codes_of_doubled(V::or(low, high)), signs)
    }
}

/// Writes each lane's 8 bytes of codes, `lane_bytes` apart.
#[inline(always)]
pub(super) unsafe fn store_codes<V: Vector>(words: [V::U; 2], to: *mut u8, lane_bytes: usize) {
    // SAFETY: as the caller's; the buffer holds 16 lanes.
    unsafe {
        if lane_bytes == 8 {
            V::store_interleaved(words[0], words[1], to);
        } else {
            let mut lanes = [0_u64; 16];
            V::store_interleaved(words[0], words[1], lanes.as_mut_ptr().cast());
            for (l, lane) in lanes.iter().enumerate().take(V::LANES) {
                to.add(l * lane_bytes).cast::<u64>().write_unaligned(*lane);
            }
        }
    }
}

/// Quantizes the groups of a panel, every block for itself. Returns how many chose map4.
///
/// # Safety
/// As [`Vector`]. The panel's blocks are readable, its codes and scales writable.
#[inline(always)]
pub(super) unsafe fn groups<V: Vector, T: CpuElement, const COLUMNS: bool>(
    panel: &Panel<'_, T>,
) -> u64 {
    // SAFETY: as the caller's.
    unsafe {
        match panel.rule {
            Rule::Plain => run_groups::<V, T, COLUMNS, PLAIN>(panel, ErrorPath::Fast),
            Rule::FourOverSix { metric: Metric::Mae, error_path, .. } => {
                run_groups::<V, T, COLUMNS, MAE>(panel, error_path)
            }
            Rule::FourOverSix { metric: Metric::Mse, error_path, .. } => {
                run_groups::<V, T, COLUMNS, MSE>(panel, error_path)
            }
            other => unreachable!("no kernel for the rule {other}"),
        }
    }
}

/// A group and its scales, made while the group before it is quantized: the divisions that lead
/// to a scale take as long as a third of a group's elements.
#[derive(Clone, Copy)]
pub(super) struct Prepared<V: Vector> {
    pub(super) group: Group<V>,
    /// Plain: both are the plain scale.
    pub(super) scales: ScalePair<V>,
    /// Everything is finite and `y < 7`.
    pub(super) regular: bool,
}

#[inline(always)]
pub(super) unsafe fn prepare<V: Vector, T: CpuElement, const COLUMNS: bool, const RULE: u8>(
    panel: &Panel<'_, T>,
    index: usize,
    global: &Global<V>,
) -> Prepared<V> {
    // SAFETY: as the caller's.
    unsafe {
        let from = panel.from.add(index * panel.step);
        let group = load::<V, T, COLUMNS>(from, panel.stride);
        let scales = if RULE == PLAIN {
            let plain = global.plain(group.amax);
            ScalePair { base: group.amax, map4: plain, map6: plain }
        } else {
            global.candidates(group.amax)
        };
        let finite = V::gt(V::splat(T::LIMIT), group.amax);
        let in_range = V::gt(V::splat(7.0), V::mul(group.amax, scales.map6.encode));
        let regular = all::<V>(V::mask_and(finite, in_range));
        Prepared { group, scales, regular: regular && (RULE == PLAIN || global.certifiable) }
    }
}

#[inline(always)]
pub(super) unsafe fn run_groups<V: Vector, T: CpuElement, const COLUMNS: bool, const RULE: u8>(
    panel: &Panel<'_, T>,
    error_path: ErrorPath,
) -> u64 {
    // SAFETY: as the caller's.
    unsafe {
        if panel.count == 0 {
            return 0;
        }
        let mut map4 = 0;
        let per_lane = panel.globals.len() > 1;
        let mut global = Global::<V>::new(lane_globals::<V, T>(panel, 0));
        let first = prepare::<V, T, COLUMNS, RULE>(panel, 0, &global);
        let mut prepared = [first; 2];
        for index in 0..panel.count {
            let next = (index + 1).min(panel.count - 1);
            if per_lane {
                global = Global::new(lane_globals::<V, T>(panel, next));
            }
            prepared[(index + 1) % 2] = prepare::<V, T, COLUMNS, RULE>(panel, next, &global);
            let this = &prepared[index % 2];
            // Stored before it is known to be settled, and in the rare case once more: behind the
            // branch LLVM would put the packing too, and keep all its parts in memory.
            let mut settled = false;
            if this.regular {
                let chosen = regular_choice::<V, RULE>(this);
                settled = chosen.settled;
                store_group(panel, index, &this.group, &chosen);
                if RULE != PLAIN && settled {
                    map4 += u64::from(V::mask_bits(chosen.map4).count_ones());
                }
            }
            if !settled {
                map4 += V::rare_group::<T, COLUMNS, RULE>(panel, index, error_path);
            }
        }
        map4
    }
}

/// The global scales of a group's lanes, or the one of all.
#[inline(always)]
pub(super) fn lane_globals<'a, V: Vector, T>(
    panel: &Panel<'a, T>,
    index: usize,
) -> &'a [GlobalScale] {
    match panel.globals {
        [_] => panel.globals,
        lanes => &lanes[index * V::LANES..][..V::LANES],
    }
}

/// Quantizes a regular group by its estimated errors, which may not settle it.
#[inline(always)]
pub(super) unsafe fn regular_choice<V: Vector, const RULE: u8>(this: &Prepared<V>) -> Chosen<V> {
    // SAFETY: as the caller's.
    unsafe {
        let Prepared { group, scales, .. } = this;
        if RULE == PLAIN {
            let Weighed { packed, error } = weigh::<V, false, PLAIN>(group, &scales.map6);
            let map4 = V::gt(error, error);
            return Chosen { packed, value: scales.map6.value, map4, settled: true };
        }
        let [four, six] = weigh_both::<V, RULE>(group, scales);
        let certain = Bound::certain::<V, RULE, 1>(scales, four.error, six.error);
        let zeros = V::eq(group.amax, V::splat(0.0));
        let settled = V::mask_bits(certain) | V::mask_bits(zeros) == u32::MAX >> (32 - V::LANES);
        choose(V::gt(six.error, four.error), settled, scales, &four, &six)
    }
}

#[inline(always)]
pub(super) unsafe fn store_group<V: Vector, T>(
    panel: &Panel<'_, T>,
    index: usize,
    group: &Group<V>,
    chosen: &Chosen<V>,
) {
    // SAFETY: as the caller's.
    unsafe {
        let codes = panel.codes.add(index * panel.step_bytes);
        let words = code_words::<V>(&chosen.packed, &group.signs);
        store_codes::<V>(words, codes, panel.lane_bytes);
        V::store_bytes(e4m3_code::<V>(chosen.value), panel.scales.add(index * V::LANES));
    }
}

#[inline(always)]
pub(super) unsafe fn load<V: Vector, T: CpuElement, const COLUMNS: bool>(
    from: *const T,
    stride: usize,
) -> Group<V> {
    // SAFETY: as the caller's.
    unsafe { if COLUMNS { T::columns(from, stride) } else { T::blocks(from, stride) } }
}
