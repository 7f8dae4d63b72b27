//! How elements are rounded once their block's scale is chosen.
//!
//! Candidates are always judged with the nearest codes (step T5), so that a rounding changes nothing
//! but the codes that are stored.

use fouroversix_core as core;

use crate::block::Block;
use crate::elements::Place;
use crate::formats::stochastic_e2m1;
use crate::random::Random;
use crate::scale::BlockScale;

/// A rounding. It is a value and no type: the hot loops are compiled once for both.
#[derive(Clone, Debug)]
pub(crate) enum Rounding {
    /// To nearest, ties to even.
    Nearest,
    /// Up or down by random bytes (steps T3 and T4); on vectors in [`crate::stochastic`].
    Stochastic(Random),
}

impl Rounding {
    /// Of the rowwise output, or of the columnwise one.
    pub(crate) fn new(rounding: core::Rounding, columnwise: bool) -> Self {
        match rounding {
            core::Rounding::Nearest => Self::Nearest,
            core::Rounding::Stochastic(state) => Self::Stochastic(Random::new(state, columnwise)),
        }
    }

    /// Codes of the one block at `place`, from its nearest ones.
    pub(crate) fn codes(
        &self,
        block: &Block,
        scale: BlockScale,
        nearest: [u8; 16],
        place: &Place,
    ) -> [u8; 16] {
        match self {
            Self::Nearest => nearest,
            Self::Stochastic(random) => {
                let bytes = random.bytes(place.segment(0));
                std::array::from_fn(|i| stochastic_e2m1(block[i] * scale.encode, bytes[i]))
            }
        }
    }
}
