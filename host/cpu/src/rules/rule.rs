//! What a rule answers.

use std::mem::MaybeUninit;

use crate::block::Block;
use crate::candidate::Packed;
use crate::formats::e2m1;
use crate::group::Group;
use crate::lane_scale::{LaneGlobal, LaneScale, OfLane};
use crate::scale::{BlockScale, GlobalScale};
use crate::simd::vector::Vector;

/// How a block's scale is chosen, for each path that a block can take.
///
/// | path | when | function |
/// |---|---|---|
/// | hot | every element finite, `y < 7` | [`ScaleRule::choose`], [`ScaleRule::choose_tile`] |
/// | near tie | the hot path is not certain, or `y >= 7` | [`ScaleRule::decide`], [`ScaleRule::decide_tile`] |
/// | exact | an element is not finite; all of the scalar path | [`ScaleRule::block`], [`ScaleRule::tile`] |
///
/// # Safety
/// The unsafe functions' callers: as [`Vector`].
pub(crate) trait ScaleRule: Copy + Send + Sync {
    /// Whether a group that is regular may be stored under a scale that is not one of [`Self::scales`], so that
    /// products are as large as they like.
    const OTHER_SCALES: bool = false;
    /// The scales that are tried, a block on each lane.
    type Scales<V: Vector>: OfLane + Copy;

    /// Those of blocks with these largest magnitudes.
    unsafe fn scales<V: Vector>(global: &LaneGlobal<V>, amax: V::F) -> Self::Scales<V>;

    /// Lanes that the hot path can take; elsewhere every element is finite, too.
    unsafe fn regular<V: Vector>(scales: &Self::Scales<V>, amax: V::F) -> V::M;

    /// Whether the hot path can take anything under this global scale.
    fn certifiable<V: Vector>(global: &LaneGlobal<V>) -> bool;

    /// The hot path's choice for regular blocks. Only where it is certain it counts.
    unsafe fn choose<V: Vector>(&self, group: &Group<V>, scales: &Self::Scales<V>) -> Choice<V>;

    /// The choice by the contract's own steps (5 to 9), for any finite elements.
    unsafe fn decide<V: Vector>(
        &self,
        group: &Group<V>,
        scales: &Self::Scales<V>,
        global: &LaneGlobal<V>,
    ) -> Choice<V>;

    /// The first half of the hot path's choice for a tile: what takes many operations and no decision. Of
    /// tiles that the hot path can't take it is never looked at.
    unsafe fn try_tile<V: Vector>(&self, tile: &Tile<'_, V, Self::Scales<V>>, tried: &mut Tried<V>);

    /// The second half: the choice, `None` where it is not certain.
    unsafe fn choose_tile<V: Vector>(
        &self,
        tile: &Tile<'_, V, Self::Scales<V>>,
        tried: &Tried<V>,
        global: &LaneGlobal<V>,
    ) -> Option<TileChoice<V>>;

    /// As [`ScaleRule::decide`], for a tile.
    unsafe fn decide_tile<V: Vector>(
        &self,
        tile: &Tile<'_, V, Self::Scales<V>>,
        global: &LaneGlobal<V>,
    ) -> TileChoice<V>;

    /// The choice for one block, whatever its elements are.
    fn block(&self, block: &Block, global: &GlobalScale) -> BlockChoice;

    /// The choice for a tile, given as its rows; the scale is the same for all.
    fn tile(&self, rows: &[Block; 16], global: &GlobalScale) -> [BlockChoice; 16];
}

/// Choices for a group.
pub(crate) struct Choice<V: Vector> {
    /// The chosen scale.
    pub(crate) scale: LaneScale<V>,
    /// The codes' magnitudes, rounded to nearest.
    pub(crate) nearest: Packed<V>,
    /// Lanes that chose map4.
    pub(crate) map4: V::M,
    /// Whether every lane's choice is the contract's.
    pub(crate) certain: bool,
}

/// A tile's rows (or columns) in groups, and its scales on every lane.
pub(crate) struct Tile<'a, V: Vector, S> {
    /// `16 / LANES` groups.
    pub(crate) groups: &'a [Group<V>],
    /// The scales that are tried.
    pub(crate) scales: S,
    /// The largest magnitude, finite.
    pub(crate) amax: f32,
}

/// The choice for a tile.
pub(crate) struct TileChoice<V: Vector> {
    /// The chosen scale, on every lane.
    pub(crate) scale: LaneScale<V>,
    /// Whether it is map4's.
    pub(crate) map4: bool,
    /// Which of the codes that were tried are the chosen scale's.
    pub(crate) codes: Option<usize>,
}

/// A tile under each of two scales, as far as a rule tries them.
pub(crate) struct Tried<V: Vector> {
    /// Its groups' codes.
    pub(crate) codes: [[MaybeUninit<Packed<V>>; 4]; 2],
    /// The estimated errors of its rows, or of as many lanes.
    pub(crate) errors: [MaybeUninit<V::F>; 2],
}

impl<V: Vector> Tried<V> {
    /// Nothing yet.
    pub(crate) const NONE: Self = Self {
        codes: [[const { MaybeUninit::uninit() }; 4]; 2],
        errors: [const { MaybeUninit::uninit() }; 2],
    };
}

/// The choice for one block, with its codes rounded to nearest.
#[derive(Clone, Copy)]
pub(crate) struct BlockChoice {
    /// The chosen scale.
    pub(crate) scale: BlockScale,
    /// A code for each element.
    pub(crate) nearest: [u8; 16],
    /// Whether it is map4's.
    pub(crate) map4: bool,
}

impl BlockChoice {
    /// The block under a scale that is not map4's.
    pub(super) fn of(block: &Block, scale: BlockScale) -> Self {
        Self { scale, nearest: block.map(|x| e2m1(x * scale.encode)), map4: false }
    }
}
