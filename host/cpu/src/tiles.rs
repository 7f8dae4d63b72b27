//! The hot loop for 16x16 tiles: a lane is one of the 16 rows (or columns) of a tile.
//!
//! What it does with a group is what [`crate::groups`] does. A tile's rows add up their errors by
//! the contract's tree, which is a tree over lanes.

use std::mem::MaybeUninit;

use crate::candidate::{code_words, nearest};
use crate::elements::{Place, Reader};
use crate::encode::{Encode, ExactTile, NearTie};
use crate::group::Group;
use crate::lane_scale::{LaneGlobal, OfLane, e4m3_code};
use crate::output::Certain;
use crate::rounding::Rounding;
use crate::rules::rule::{ScaleRule, Tile, TileChoice, Tried};
use crate::simd::vector::{Vector, Work, apart, outlined};
use crate::stochastic::Draw;

/// Tiles whose scales are made together.
const AHEAD: usize = 4;

/// A tile's rows (or columns) in groups.
type TileGroups<V> = [MaybeUninit<Group<V>>; 4];

/// Quantizes 16x16 tiles. The output is how many chose map4.
///
/// # Safety
/// To run it: as [`crate::groups::Groups`].
pub(crate) struct Tiles<'a, V: Vector, S> {
    pub(crate) reader: Reader<'a, V>,
    pub(crate) encode: Encode<'a, S>,
}

impl<V: Vector, S: ScaleRule> Work<V> for Tiles<'_, V, S> {
    type Output = u64;

    #[inline(always)]
    unsafe fn run(self) -> u64 {
        let Self { reader, encode } = self;
        let Encode { output, .. } = encode;
        let specials = reader.specials;
        // SAFETY: the caller's. A tile's groups are read after they are written; `amax` holds 16
        // values, at least LANES.
        unsafe {
            let mut map4 = 0;
            let global = LaneGlobal::<V>::new(&output.globals[..1]);
            let mut groups: [TileGroups<V>; AHEAD] = [[const { MaybeUninit::uninit() }; 4]; AHEAD];
            let mut tried = [const { Tried::<V>::NONE }; AHEAD];
            for first in (0..output.count).step_by(AHEAD) {
                let ahead = AHEAD.min(output.count - first);
                let mut amax = [0.0_f32; 16];
                for t in 0..ahead {
                    amax[t] = read(&reader, first + t, &mut groups[t]);
                }
                let scales = S::scales(&global, V::load(amax.as_ptr()));
                // All are tried before the first is chosen: a choice waits long for sums, and nobody for it.
                for (t, tried) in tried.iter_mut().enumerate().take(ahead) {
                    encode.rule.try_tile(&tile(&groups[t], &scales, t, amax[t]), tried);
                }
                for t in 0..ahead {
                    let (index, tile) = (first + t, tile(&groups[t], &scales, t, amax[t]));
                    let (is_map4, certain) = if amax[t].is_nan() || amax[t] >= specials.limit {
                        let exact =
                            ExactTile { encode: &encode, index, groups: tile.groups, specials };
                        (outlined::<V, _>(exact), false)
                    } else {
                        encode.tile(index, &tile, &tried[t], &global)
                    };
                    map4 += u64::from(is_map4);
                    if !output.certain.is_null() {
                        output.certain.add(index).write(Certain::new(certain, is_map4));
                    }
                }
            }
            map4
        }
    }
}

/// A tile that was read, whose scales are on lane `t`.
#[inline(always)]
unsafe fn tile<'a, V: Vector, S: OfLane>(
    groups: &'a TileGroups<V>,
    scales: &S,
    t: usize,
    amax: f32,
) -> Tile<'a, V, S> {
    // SAFETY: the caller's.
    unsafe {
        let groups = std::slice::from_raw_parts(groups.as_ptr().cast(), 16 / V::LANES);
        Tile { groups, scales: scales.of_lane(t), amax }
    }
}

/// Reads a tile. Returns its largest magnitude, NaN above all.
#[inline(always)]
unsafe fn read<V: Vector>(reader: &Reader<'_, V>, index: usize, groups: &mut TileGroups<V>) -> f32 {
    // SAFETY: the caller's.
    unsafe {
        let mut max = V::splat_u(0);
        for (g, group) in groups.iter_mut().enumerate().take(16 / V::LANES) {
            reader.read(index, g * V::LANES, group.as_mut_ptr());
            max = V::max_u32(max, V::to_bits(group.assume_init_ref().amax));
        }
        f32::from_bits(V::largest(max))
    }
}

impl<S: ScaleRule> Encode<'_, S> {
    /// Quantizes a tile of finite elements. Returns whether it chose map4, and whether that is certain.
    #[inline(always)]
    unsafe fn tile<V: Vector>(
        &self,
        index: usize,
        tile: &Tile<'_, V, S::Scales<V>>,
        tried: &Tried<V>,
        global: &LaneGlobal<V>,
    ) -> (bool, bool) {
        let Self { output, rule, rounding } = *self;
        // SAFETY: the caller's; `code` holds 16 lanes; a rule names codes that it has left.
        unsafe {
            let choice = rule.choose_tile(tile, tried, global);
            let certain = choice.is_some();
            let TileChoice { scale, map4, codes } = match choice {
                Some(choice) => choice,
                None => outlined(NearTie { rule, tile, global }),
            };
            for (g, group) in tile.groups.iter().enumerate() {
                let lane = g * V::LANES;
                let words = match rounding {
                    Rounding::Nearest => {
                        let nearest = match codes {
                            Some(codes) => tried.codes[codes][g].assume_init(),
                            None => nearest::<V, true>(group, &scale),
                        };
                        code_words::<V>(&nearest, &group.signs)
                    }
                    Rounding::Stochastic(random) => {
                        let place = Place { segments: output.segments, index, lane };
                        let encode = scale.encode;
                        apart(Draw::<V, true> { random, place, group, encode })
                    }
                };
                output.store_codes::<V>(index, lane, words);
            }
            let mut code = [0_u8; 16];
            V::store_bytes(e4m3_code::<V>(scale.value), code.as_mut_ptr());
            output.scales.add(index).write(code[0]);
            (map4, certain)
        }
    }
}
