//! A search for a 1x16 block in each lane.

use super::super::encoded::Encoded;
use super::super::isa::{Isa, Target};
use super::super::rounding::Nearest;
use super::candidates::{self, Start};
use super::weigh::Line;
use super::{exact, filter, sweep};
use crate::load::block::{Block, Placed};
use crate::load::input::Input;
use crate::ptx::{self, warp};
use fouroversix_core::abi::{GlobalScale, MAGNITUDES};

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
    if !warp::any(start.bmax != 0.0) {
        return Encoded::zero(T::signs(raw));
    }
    let line = Line::new(x, global.s_enc);
    let magnitudes = flags & MAGNITUDES != 0;
    let left = filter::of_launch(&start, [&line], |sum| sum, 11.0, flags);
    // Widened again: kept, they would take registers beside the filter's.
    let line = Line::new(T::widen(T::opaque(raw)), global.s_enc);
    let byte = sweep::sweep(&start, start.open(left, global), global, &line, magnitudes).byte;
    let scale = candidates::value(byte);
    let codes = line.codes(candidates::encoding(scale, global));
    let mut encoded = Encoded { codes, scale };
    let is_regular = start.is_regular(global);
    if warp::any(!is_regular) {
        warp::sync();
        // `opaque` keeps the exact path's addresses from being hoisted.
        let (thread, flags) = (ptx::opaque(thread), ptx::opaque(flags));
        if !is_regular {
            let placed = block_of(thread);
            let block = placed.block;
            let bmax = block.amax::<T>(flags);
            let best = exact::best(
                bmax,
                global,
                candidates::ALL,
                flags,
                |is_open| !is_open,
                |encoder| exact::error::<T>(encoder, block, global, flags),
            );
            encoded = Encoded {
                codes: best.codes::<T, Nearest>(placed, Nearest, flags),
                scale: best.scale,
            };
        }
        warp::sync();
    }
    encoded
}
