//! A search for a 16x16 tile, which eight lanes have between them (`decide/tile.rs`).
//!
//! A tile and its transpose have the same differences, but their contract adds them up in different
//! orders. One sweep along rows serves both where the best candidate is better by more than that explains:
//! 20 roundings on the way to each sum. Where it is not, each output asks the contract's own sums.

use super::super::lines::{Encoded, Lines, largest, sum};
use super::super::rounding::Nearest;
use super::exact;
use super::sweep::{self, Errors, Start};
use super::weigh::{Line, Sums};
use crate::load::block::{Block, Placed, Strided};
use crate::load::input::Input;
use crate::ptx::{self, warp};
use fouroversix_core::abi::GlobalScale;

impl Errors for [Line; 2] {
    const CLIP_RULES_OUT: bool = false;

    #[inline(always)]
    fn of<const CLIP: bool>(&self, encode: f32, scale: f32, sums: Sums) -> f32 {
        let [a, b] = self;
        sum([a.error::<CLIP>(encode, scale, sums), b.error::<CLIP>(encode, scale, sums)])
    }
}

/// Encodes a tile for the rowwise and for the columnwise output, whichever are wanted. All lanes of the
/// warp call it.
#[inline(always)]
pub(crate) fn encode<T: Input, const ROWWISE: bool, const COLUMNWISE: bool>(
    lines: &Lines<T>,
    global: &GlobalScale,
    flags: u32,
) -> [Encoded; 2] {
    let raw = lines.raw;
    let bmax = largest(ptx::max_nan(T::amax(raw[0]), T::amax(raw[1])), ptx::max_nan);
    let start = Start::new(bmax, global);
    let own =
        [Line::new(T::widen(raw[0]), global.s_enc), Line::new(T::widen(raw[1]), global.s_enc)];
    let best = sweep::sweep(&own, &start, global, Sums::new(flags), flags);
    let scale = sweep::value(best.byte);
    let encode = sweep::encoding(scale, global);
    let codes = [own[0].codes(encode, T::signs(raw[0])), own[1].codes(encode, T::signs(raw[1]))];
    let mut encoded = [Encoded { codes, scale }; 2];
    let settled = start.is_regular(global) && best.is_certain(&start);
    // `opaque` each time, for the reason in `decide/tile.rs`.
    let open = || ptx::opaque(u32::from(!settled)) != 0;
    if warp::ballot(open()) != 0 {
        if ROWWISE {
            let exact = exact::<T>(lines, lines.rows, global, flags);
            encoded[0] = if open() { exact } else { encoded[0] };
        }
        if COLUMNWISE {
            let exact = exact::<T>(lines, lines.columns, global, flags);
            encoded[1] = if open() { exact } else { encoded[1] };
        }
    }
    encoded
}

/// A tile by the contract's own sequence, its errors added up along some lines; codes of the lane's rows.
#[inline(always)]
fn exact<T: Input>(
    lines: &Lines<T>,
    along: [Strided; 2],
    global: &GlobalScale,
    flags: u32,
) -> Encoded {
    let [a, b] = lines.rows;
    let own = ptx::max(a.amax::<T>(flags), b.amax::<T>(flags));
    let best = exact::best(largest(own, ptx::max), global, flags, |encoder| {
        let [a, b] = along;
        let of = |line| exact::error::<T>(encoder, line, global, flags);
        sum([of(a), of(b)])
    });
    let codes = |block| best.codes::<T, Nearest>(Placed { block, segment: 0 }, Nearest, flags);
    Encoded { codes: [codes(a), codes(b)], scale: best.scale }
}
