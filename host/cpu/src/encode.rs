//! A rule, a rounding and an output: all that does not depend on where elements come from. Here is
//! what the hot loops leave: near ties, and the exact path.

use crate::block::{Block, QuantizedBlock};
use crate::candidate::code_words;
use crate::elements::{Blocks, Place};
use crate::group::{Group, Specials};
use crate::lane_scale::{LaneGlobal, e4m3_code};
use crate::output::Output;
use crate::rounding::Rounding;
use crate::rules::rule::{BlockChoice, Choice, ScaleRule, Tile, TileChoice};
use crate::simd::vector::{Vector, Work, apart};
use crate::stochastic::Draw;

/// How groups or tiles are encoded, and where they go.
#[derive(Clone, Copy)]
pub(crate) struct Encode<'a, S> {
    /// Where they go.
    pub(crate) output: &'a Output<'a>,
    /// How scales are chosen.
    pub(crate) rule: S,
    /// How elements are rounded.
    pub(crate) rounding: &'a Rounding,
}

impl<S: ScaleRule> Encode<'_, S> {
    /// Writes a group as it was chosen; with `CLAMP` whatever its products are, without it where they are
    /// below 7.
    ///
    /// # Safety
    /// As [`Vector`]; the group is among the output's, and that is writable.
    #[inline(always)]
    pub(crate) unsafe fn store<V: Vector, const CLAMP: bool>(
        &self,
        index: usize,
        group: &Group<V>,
        choice: &Choice<V>,
    ) {
        let Self { output, rounding, .. } = self;
        // SAFETY: the caller's.
        unsafe {
            let words = match rounding {
                Rounding::Nearest => code_words::<V>(&choice.nearest, &group.signs),
                Rounding::Stochastic(random) => {
                    let place = Place { segments: output.segments, index, lane: 0 };
                    let encode = choice.scale.encode;
                    apart(Draw::<V, CLAMP> { random, place, group, encode })
                }
            };
            output.store_codes::<V>(index, 0, words);
            let scales = output.scales.add(index * V::LANES);
            V::store_bytes(e4m3_code::<V>(choice.scale.value), scales);
        }
    }

    /// The scalar path: groups of one block, every one on the exact path. Returns how many chose map4.
    ///
    /// # Safety
    /// The elements have the output's groups, and that is writable.
    pub(crate) unsafe fn exact_groups(&self, blocks: &dyn Blocks) -> u64 {
        let exact = |index| {
            // SAFETY: the caller's.
            unsafe { self.exact_block(&blocks.block(index, 0), index, 0, 1) }
        };
        (0..self.output.count).map(|index| u64::from(exact(index))).sum()
    }

    /// The scalar path for tiles.
    ///
    /// # Safety
    /// As [`Encode::exact_groups`].
    pub(crate) unsafe fn exact_tiles(&self, blocks: &dyn Blocks) -> u64 {
        let exact = |index| {
            // SAFETY: the caller's.
            unsafe {
                let rows = std::array::from_fn(|lane| blocks.block(index, lane));
                self.exact_tile(&rows, index)
            }
        };
        (0..self.output.count).map(|index| u64::from(exact(index))).sum()
    }

    /// The exact path: the contract's steps in the contract's order, for the block of one lane of a
    /// group of `lanes`. True when it chose map4.
    ///
    /// Not the oracle (the reference crate is, and shares no code with this). The scalar path is
    /// nothing else, and what the speed of the vector paths is measured against.
    ///
    /// # Safety
    /// The block is among the output's, and that is writable.
    #[inline(never)]
    pub(crate) unsafe fn exact_block(
        &self,
        block: &Block,
        index: usize,
        lane: usize,
        lanes: usize,
    ) -> bool {
        let number = index * lanes + lane;
        let choice = self.rule.block(block, self.output.global(number));
        let quantized = self.round(block, &choice, index, lane);
        // SAFETY: the caller's.
        unsafe {
            self.output.store_block(index, lane, quantized.packed());
            self.output.scales.add(number).write(quantized.scale);
        }
        choice.map4
    }

    /// As [`Encode::exact_block`], for a tile given as its rows.
    ///
    /// # Safety
    /// As [`Encode::exact_block`].
    #[inline(never)]
    pub(crate) unsafe fn exact_tile(&self, rows: &[Block; 16], index: usize) -> bool {
        let choices = self.rule.tile(rows, self.output.global(0));
        for (lane, (row, choice)) in rows.iter().zip(&choices).enumerate() {
            let quantized = self.round(row, choice, index, lane);
            // SAFETY: the caller's.
            unsafe { self.output.store_block(index, lane, quantized.packed()) };
        }
        // SAFETY: the caller's.
        unsafe { self.output.scales.add(index).write(choices[0].scale.code) };
        choices[0].map4
    }

    fn round(
        &self,
        block: &Block,
        choice: &BlockChoice,
        index: usize,
        lane: usize,
    ) -> QuantizedBlock {
        let place = Place { segments: self.output.segments, index, lane };
        let BlockChoice { scale, nearest, .. } = *choice;
        let codes = self.rounding.codes(block, scale, nearest, &place);
        QuantizedBlock { scale: scale.code, codes }
    }
}

/// A group that is not regular, or a near tie. The output is how many lanes chose map4.
pub(crate) struct Fallback<'a, V: Vector, S: ScaleRule> {
    pub(crate) encode: &'a Encode<'a, S>,
    pub(crate) index: usize,
    pub(crate) group: &'a Group<V>,
    pub(crate) scales: &'a S::Scales<V>,
    pub(crate) specials: Specials,
}

impl<V: Vector, S: ScaleRule> Work<V> for Fallback<'_, V, S> {
    type Output = u64;

    #[inline(always)]
    unsafe fn run(self) -> u64 {
        let Self { encode, index, group, scales, specials } = self;
        // SAFETY: the caller's.
        unsafe {
            if V::all(V::gt(V::splat(specials.limit), group.amax)) {
                let global = LaneGlobal::<V>::new(encode.output.lane_globals::<V>(index));
                let choice = encode.rule.decide(group, scales, &global);
                encode.store::<V, true>(index, group, &choice);
                return u64::from(V::mask_bits(choice.map4).count_ones());
            }
            let exact = |lane| {
                let block = group.block(lane, &specials);
                encode.exact_block(&block, index, lane, V::LANES)
            };
            (0..V::LANES).map(|lane| u64::from(exact(lane))).sum()
        }
    }
}

/// A tile whose choice the hot path leaves open.
pub(crate) struct NearTie<'a, V: Vector, S: ScaleRule> {
    pub(crate) rule: S,
    pub(crate) tile: &'a Tile<'a, V, S::Scales<V>>,
    pub(crate) global: &'a LaneGlobal<V>,
}

impl<V: Vector, S: ScaleRule> Work<V> for NearTie<'_, V, S> {
    type Output = TileChoice<V>;

    #[inline(always)]
    unsafe fn run(self) -> TileChoice<V> {
        // SAFETY: the caller's.
        unsafe { self.rule.decide_tile(self.tile, self.global) }
    }
}

/// A tile with elements that are not finite; the output is whether it chose map4.
pub(crate) struct ExactTile<'a, V: Vector, S> {
    pub(crate) encode: &'a Encode<'a, S>,
    pub(crate) index: usize,
    pub(crate) groups: &'a [Group<V>],
    pub(crate) specials: Specials,
}

impl<V: Vector, S: ScaleRule> Work<V> for ExactTile<'_, V, S> {
    type Output = bool;

    #[inline(always)]
    unsafe fn run(self) -> bool {
        let Self { encode, index, groups, specials } = self;
        // SAFETY: the caller's.
        unsafe {
            let row = |lane: usize| groups[lane / V::LANES].block(lane % V::LANES, &specials);
            encode.exact_tile(&std::array::from_fn(row), index)
        }
    }
}
