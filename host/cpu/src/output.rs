//! Where the codes and scales of a batch go.

use crate::elements::{Segments, Steps};
use crate::scale::GlobalScale;
use crate::simd::vector::Vector;

/// Places for groups, in which a lane is a block, or for tiles, in which it is one of 16 rows (or
/// columns).
#[derive(Clone, Copy)]
pub(crate) struct Output<'a> {
    /// Coordinates of the blocks.
    pub(crate) segments: Segments,
    /// Codes of the first block.
    pub(crate) codes: *mut u8,
    /// Bytes from a lane's codes to the next lane's.
    pub(crate) lane_bytes: usize,
    /// Bytes between groups' or tiles' codes.
    pub(crate) steps: Steps,
    /// Scales: one byte for each lane of a group, or for each tile.
    pub(crate) scales: *mut u8,
    /// What [`Certain`] says of each tile; or null.
    pub(crate) certain: *mut Certain,
    /// Groups or tiles.
    pub(crate) count: usize,
    /// One global scale, or one for each lane of each group.
    pub(crate) globals: &'a [GlobalScale],
}

/// A tile's choice: certain ones are the same for rows and columns, whose sums of errors differ in their order.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Certain {
    /// It may be another one along the other direction.
    #[default]
    No,
    /// Certain, and not map4.
    Map6,
    /// Certain.
    Map4,
}

impl Certain {
    pub(crate) fn new(certain: bool, map4: bool) -> Self {
        match (certain, map4) {
            (false, _) => Self::No,
            (true, false) => Self::Map6,
            (true, true) => Self::Map4,
        }
    }
}

impl<'a> Output<'a> {
    /// The global scales of a group's lanes, or the one of all.
    #[inline(always)]
    pub(crate) fn lane_globals<V: Vector>(&self, index: usize) -> &'a [GlobalScale] {
        match self.globals {
            [_] => self.globals,
            lanes => &lanes[index * V::LANES..][..V::LANES],
        }
    }

    /// The global scale of a block.
    #[inline(always)]
    pub(crate) fn global(&self, block: usize) -> &'a GlobalScale {
        match self.globals {
            [one] => one,
            blocks => &blocks[block],
        }
    }

    /// Writes the 8 bytes of codes of each of `LANES` lanes from `lane` on.
    ///
    /// # Safety
    /// As [`Vector`]; these blocks are among the output's.
    #[inline(always)]
    pub(crate) unsafe fn store_codes<V: Vector>(
        &self,
        index: usize,
        lane: usize,
        words: [V::U; 2],
    ) {
        // SAFETY: the caller's; the buffer holds 16 lanes.
        unsafe {
            let to = self.codes.add(self.steps.at(index) + lane * self.lane_bytes);
            if self.lane_bytes == 8 {
                V::store_interleaved(words[0], words[1], to);
            } else {
                let mut lanes = [0_u64; 16];
                V::store_interleaved(words[0], words[1], lanes.as_mut_ptr().cast());
                for (l, codes) in lanes.iter().enumerate().take(V::LANES) {
                    to.add(l * self.lane_bytes).cast::<u64>().write_unaligned(*codes);
                }
            }
        }
    }

    /// Writes the codes of one block.
    ///
    /// # Safety
    /// The block is among the output's.
    #[inline(always)]
    pub(crate) unsafe fn store_block(&self, index: usize, lane: usize, codes: [u8; 8]) {
        // SAFETY: the caller's.
        unsafe {
            let to = self.codes.add(self.steps.at(index) + lane * self.lane_bytes);
            to.cast::<[u8; 8]>().write(codes);
        }
    }
}
