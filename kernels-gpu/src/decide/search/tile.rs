//! A search for a 16x16 tile, which eight lanes have between them (`decide/tile.rs`).
//!
//! A tile and its transpose have the same differences, but their contract adds them up in different
//! orders. One sweep along rows serves both where the best candidate is better by more than that explains:
//! 20 roundings on the way to each sum. Where it is not, the columnwise output asks its own sums.

use super::super::encoded;
use super::super::lines::{Encoded, Lines, largest, sum, sum_f16x2};
use super::super::rounding::Nearest;
use super::exact;
use super::filter;
use super::sweep::{self, Start};
use super::weigh::Line;
use crate::load::block::{Block, Placed, Strided};
use crate::load::input::Input;
use crate::ptx::{self, warp};
use fouroversix_core::abi::{GlobalScale, MAGNITUDES};

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
    let signs = raw.map(T::signs);
    let zeros = {
        let [a, b] = signs.map(encoded::Encoded::zero);
        [Encoded { codes: [a.codes, b.codes], scale: a.scale }; 2]
    };
    let zero = bmax == 0.0;
    if !warp::any(!zero) {
        return zeros;
    }
    let start = Start::new(bmax, global);
    let own =
        [Line::new(T::widen(raw[0]), global.s_enc), Line::new(T::widen(raw[1]), global.s_enc)];
    let magnitudes = flags & MAGNITUDES != 0;
    let [a, b] = &own;
    let left = filter::of_launch(magnitudes, &start, [a, b], sum_f16x2, 24.0);
    let open = start.open(left);
    let error_of = |encode, scale| {
        sum([a.error(encode, scale, magnitudes), b.error(encode, scale, magnitudes)])
    };
    let best = sweep::sweep(&start, open, global, error_of);
    let scale = sweep::value(best.byte);
    let encode = sweep::encoding(scale, global);
    let codes = [own[0].codes(encode, signs[0]), own[1].codes(encode, signs[1])];
    let encoded = Encoded { codes, scale };
    let is_regular = zero || start.is_regular(global);
    let settled = |is_settled: bool, along| {
        // `opaque` each time, for the reason in `decide/tile.rs`.
        let asks = || ptx::opaque(u32::from(!is_settled)) != 0;
        let mut settled = encoded;
        if warp::ballot(asks()) != 0 {
            let open = if is_regular { open } else { filter::ALL };
            let exact = exact::<T>(lines, along, open, global, flags);
            settled = if asks() { exact } else { encoded };
        }
        settled
    };
    let rowwise = if ROWWISE { settled(is_regular, lines.rows) } else { encoded };
    let columnwise = if COLUMNWISE {
        settled(is_regular && best.is_certain_in_any_order(&start), lines.columns)
    } else {
        encoded
    };
    if zero { zeros } else { [rowwise, columnwise] }
}

/// A tile by the contract's own sequence, its errors added up along some lines; codes of the lane's rows.
#[inline(always)]
fn exact<T: Input>(
    lines: &Lines<T>,
    along: [Strided; 2],
    open: u32,
    global: &GlobalScale,
    flags: u32,
) -> Encoded {
    let [a, b] = lines.rows;
    let own = ptx::max(a.amax::<T>(flags), b.amax::<T>(flags));
    let bmax = largest(own, ptx::max);
    let skips = |is_open| !warp::any(is_open);
    let best = exact::best(bmax, global, open, flags, skips, |encoder| {
        let [a, b] = along;
        let of = |line| exact::error::<T>(encoder, line, global, flags);
        sum([of(a), of(b)])
    });
    let codes = |block| best.codes::<T, Nearest>(Placed { block, segment: 0 }, Nearest, flags);
    Encoded { codes: [codes(a), codes(b)], scale: best.scale }
}
