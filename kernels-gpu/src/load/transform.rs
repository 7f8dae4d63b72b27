//! The door between what is loaded and what is quantized: a transform, or none.

use super::block::Block;
use super::input::Input;

/// What becomes of a block's elements before anything else, as the hot path and the exact path take them.
pub(crate) trait Transform: Copy {
    /// The 16 elements of a lane's block.
    fn block<T: Input>(self, raw: T::Raw) -> T::Raw;
    /// Element `lane % 16` of a block that all lanes of the warp share.
    fn shared<T: Input>(self, block: impl Block, lane: u32) -> f32;
}

/// None.
#[derive(Clone, Copy)]
pub(crate) struct Identity;

impl Transform for Identity {
    #[inline(always)]
    fn block<T: Input>(self, raw: T::Raw) -> T::Raw {
        raw
    }

    #[inline(always)]
    fn shared<T: Input>(self, block: impl Block, lane: u32) -> f32 {
        block.element::<T>(u64::from(lane % 16))
    }
}
