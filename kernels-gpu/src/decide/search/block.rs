//! A search for a 1x16 block in each lane.

use super::super::encoded::Encoded;
use super::super::isa::{Isa, Target};
use super::super::rounding::Nearest;
use super::exact;
use super::sweep::{self, Errors, Start};
use super::weigh::{Line, Sums};
use crate::load::block::{Block, Placed};
use crate::load::input::Input;
use crate::ptx::{self, warp};
use fouroversix_core::abi::GlobalScale;

impl Errors for Line {
    const CLIP_RULES_OUT: bool = true;

    #[inline(always)]
    fn of<const CLIP: bool>(&self, encode: f32, scale: f32, sums: Sums) -> f32 {
        self.error::<CLIP>(encode, scale, sums)
    }
}

/// Encodes a block. All lanes of the warp call it, lanes without a block with any. `block_of` gives the
/// block of any thread of the warp, for the exact path.
#[inline(always)]
pub(crate) fn encode<T: Input, B: Block>(
    raw: T::Raw,
    thread: u32,
    block_of: impl Fn(u32) -> Placed<B>,
    global: &GlobalScale,
    flags: u32,
) -> Encoded {
    let x = T::widen(raw);
    let start = Start::new(Target::amax::<T>(raw, &x), global);
    let regular = start.is_regular(global);
    let line = Line::new(x, global.s_enc);
    let mut sums = Sums::new(flags);
    let best = loop {
        let best = sweep::sweep(&line, &start, global, sums, flags);
        if !sums.are_cheap() || !warp::any(regular && !best.is_certain(&start)) {
            break best;
        }
        sums = sums.exact();
    };
    let scale = sweep::value(best.byte);
    let codes = line.codes(sweep::encoding(scale, global), T::signs(raw));
    let mut encoded = Encoded { codes, scale };
    if warp::any(!regular) {
        warp::sync();
        // `opaque` keeps the exact path's addresses from being hoisted.
        let (thread, flags) = (ptx::opaque(thread), ptx::opaque(flags));
        if !regular {
            let placed = block_of(thread);
            let block = placed.block;
            let bmax = block.amax::<T>(flags);
            let best = exact::best(bmax, global, flags, |encoder| {
                exact::error::<T>(encoder, block, global, flags)
            });
            encoded = Encoded {
                codes: best.codes::<T, Nearest>(placed, Nearest, flags),
                scale: best.scale,
            };
        }
        warp::sync();
    }
    encoded
}
