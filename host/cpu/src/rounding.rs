//! How elements are rounded once their block's scale is chosen.

use crate::block::Block;
use crate::candidate::{Packed, code_words};
use crate::elements::Segments;
use crate::group::Group;
use crate::lane_scale::LaneScale;
use crate::scale::BlockScale;
use crate::simd::vector::Vector;

/// Where a group (or a tile's group of rows) is.
#[derive(Clone, Copy)]
pub(crate) struct Place {
    /// The coordinates of all.
    pub(crate) segments: Segments,
    /// Which group or tile.
    pub(crate) index: usize,
    /// Its lane that is lane 0 here.
    pub(crate) lane: usize,
}

impl Place {
    /// The segment of the block `lanes` further.
    #[cfg_attr(not(test), expect(dead_code, reason = "nearest rounding draws nothing"))]
    #[inline(always)]
    pub(crate) const fn segment(&self, lanes: usize) -> u64 {
        self.segments.of(self.index, self.lane + lanes)
    }
}

/// A rounding. Candidates are always judged with the nearest codes; a rounding gets those of the
/// chosen one, and says which are stored.
pub(crate) trait Rounding: Copy + Send + Sync {
    /// Words of codes of a group: elements 0 to 7, elements 8 to 15.
    ///
    /// # Safety
    /// As [`Vector`].
    unsafe fn words<V: Vector>(
        &self,
        group: &Group<V>,
        scale: &LaneScale<V>,
        nearest: &Packed<V>,
        place: &Place,
    ) -> [V::U; 2];

    /// Codes of the one block at `place`.
    fn codes(&self, block: &Block, scale: BlockScale, nearest: [u8; 16], place: &Place)
    -> [u8; 16];
}

/// To nearest, ties to even.
#[derive(Clone, Copy)]
pub(crate) struct Nearest;

impl Rounding for Nearest {
    #[inline(always)]
    unsafe fn words<V: Vector>(
        &self,
        group: &Group<V>,
        _scale: &LaneScale<V>,
        nearest: &Packed<V>,
        _place: &Place,
    ) -> [V::U; 2] {
        // SAFETY: the caller's.
        unsafe { code_words::<V>(nearest, &group.signs) }
    }

    #[inline(always)]
    fn codes(
        &self,
        _block: &Block,
        _scale: BlockScale,
        nearest: [u8; 16],
        _place: &Place,
    ) -> [u8; 16] {
        nearest
    }
}
