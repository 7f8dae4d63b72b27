//! A search for a 16x16 tile, which eight lanes have between them (`decide/tile.rs`).
//!
//! A tile and its transpose have the same differences, but their contract adds them up in different
//! orders. One sweep along rows serves both where the best candidate is better by more than that explains:
//! 20 roundings on the way to each sum. Where it is not, the columnwise output asks its own sums.

use super::super::encoded;
use super::super::lines::{Encoded, Lines, largest, sum, sum_f16x2};
use super::super::rounding::Nearest;
use super::candidates::{self, Start};
use super::sweep::{self, Errors};
use super::weigh::Line;
use super::{exact, filter};
use crate::load::block::{Block, Placed, Strided};
use crate::load::input::Input;
use crate::ptx::{self, warp};
use fouroversix_core::abi::{GlobalScale, MAGNITUDES};

impl Errors for [Line; 2] {
    /// Step 8, along the lines.
    #[inline(always)]
    fn error(&self, encode: f32, scale: f32, magnitudes: bool) -> f32 {
        let [a, b] = self;
        sum([a.error(encode, scale, magnitudes), b.error(encode, scale, magnitudes)])
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
    if !warp::any(bmax != 0.0) {
        let [a, b] = raw.map(T::signs).map(encoded::Encoded::zero);
        return [Encoded { codes: [a.codes, b.codes], scale: a.scale }; 2];
    }
    let start = Start::new(bmax, global);
    let magnitudes = flags & MAGNITUDES != 0;
    let lines_of = |raw: [T::Raw; 2]| raw.map(|raw| Line::new(T::widen(raw), global.s_enc));
    let [a, b] = lines_of(raw);
    let left = filter::of_launch(&start, [&a, &b], sum_f16x2, 15.0, flags);
    // Widened again: kept, they would take registers beside the filter's.
    let own = lines_of(raw.map(T::opaque));
    let open = start.open(left, global);
    let best = sweep::sweep(&start, open, global, &own, magnitudes);
    let scale = candidates::value(best.byte);
    let encode = candidates::encoding(scale, global);
    let codes = [own[0].codes(encode), own[1].codes(encode)];
    let encoded = Encoded { codes, scale };
    let is_regular = start.is_regular(global);
    let mut outputs = [encoded; 2];
    if ROWWISE {
        // `opaque`: with a stride that it knows, the compiler unrolls.
        let stride = u64::from(ptx::opaque(T::BYTES as u32));
        let rows = lines.rows.map(|row| Strided { stride, ..row });
        let unsettled = if is_regular { 0 } else { candidates::ALL };
        outputs[0] = settle::<T, false>(encoded, unsettled, lines, rows, global, flags);
    }
    if COLUMNWISE {
        let open = if is_regular { open } else { candidates::ALL };
        let is_settled = is_regular && best.is_certain_in_any_order(&start);
        let unsettled = if is_settled { 0 } else { open };
        outputs[1] = settle::<T, true>(encoded, unsettled, lines, lines.columns, global, flags);
    }
    outputs
}

/// A tile as it is, or by errors added up along some lines where there are candidates to choose from again, with
/// `FEW` less than all of them. All lanes of the warp call it.
#[inline(always)]
fn settle<T: Input, const FEW: bool>(
    encoded: Encoded,
    unsettled: u32,
    lines: &Lines<T>,
    along: [Strided; 2],
    global: &GlobalScale,
    flags: u32,
) -> Encoded {
    // `opaque` each time, for the reason in `decide/tile.rs`.
    let asks = || ptx::opaque(unsettled) != 0;
    if warp::ballot(asks()) == 0 {
        return encoded;
    }
    let exact = exact::<T, FEW>(lines, along, unsettled, global, flags);
    if asks() { exact } else { encoded }
}

/// A tile by the contract's own sequence, its errors added up along some lines; codes of the lane's rows.
#[inline(always)]
fn exact<T: Input, const FEW: bool>(
    lines: &Lines<T>,
    along: [Strided; 2],
    open: u32,
    global: &GlobalScale,
    flags: u32,
) -> Encoded {
    let [a, b] = lines.rows;
    let own = ptx::max(a.amax::<T>(flags), b.amax::<T>(flags));
    let bmax = largest(own, ptx::max);
    let skips = |is_open| FEW && !warp::any(is_open);
    let best = exact::best(bmax, global, open, flags, skips, |encoder| {
        let [a, b] = along;
        let of = |line| exact::error::<T>(encoder, line, global, flags);
        sum([of(a), of(b)])
    });
    let codes = |block| best.codes::<T, Nearest>(Placed { block, segment: 0 }, Nearest, flags);
    Encoded { codes: [codes(a), codes(b)], scale: best.scale }
}
