//! A block in memory, read element by element: what the exact path and near ties work on.

use super::input::Input;
use crate::ptx;
use crate::ptx::rolled::sixteen;

/// A block in memory, read element by element.
pub(crate) trait Block: Copy {
    /// Element `i` of 16.
    fn element<T: Input>(self, i: u64) -> f32;

    /// Largest magnitude, NaN ignored.
    #[inline(always)]
    fn amax<T: Input>(self, flags: u32) -> f32 {
        let mut amax = 0.0;
        for i in 0..sixteen(flags) {
            amax = ptx::max(amax, self.element::<T>(i).abs());
        }
        amax
    }
}

/// A block and its number among those of the whole tensor's output, for random bytes.
#[derive(Clone, Copy)]
pub(crate) struct Placed<B> {
    pub(crate) block: B,
    pub(crate) segment: u64,
}

/// A block in global memory: elements `stride` bytes apart.
#[derive(Clone, Copy)]
pub(crate) struct Strided {
    pub(crate) at: *const u8,
    pub(crate) stride: u64,
}

impl Block for Strided {
    #[inline(always)]
    fn element<T: Input>(self, i: u64) -> f32 {
        // SAFETY: whoever made it promised 16 elements of an input (launch contract, clause 3), and i < 16.
        unsafe { T::element(self.at.add((i * self.stride) as usize)) }
    }
}
