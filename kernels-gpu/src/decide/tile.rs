//! A 16x16 tile: one scale and one choice for the 16 blocks that eight lanes hold between them.
//!
//! Lane `4·j + t` of a warp holds lines j and j+8 of tile t. A tile and its transpose have the same codes
//! and the same cheap error, which decides nearly always. The contract's sums go line by line and have a
//! direction: near ties are settled for rows and for columns separately.

use super::isa::{self, Candidate, Isa, Target};
use super::lines::{Encoded, Lines, largest, sum};
use super::metric::Metric;
use super::rounding::Rounding;
use super::{block, encoded, exact, near, search, stochastic};
use crate::load::block::{Block, Placed};
use crate::load::input::Input;
use crate::ptx::{self, warp};
use fouroversix_core::abi::GlobalScale;

/// Whether a condition holds in all lanes of this lane's tile.
#[inline(always)]
fn in_all_lanes(condition: bool, lane: u32) -> bool {
    let tile = 0x1111_1111 << (lane % 4);
    warp::ballot(condition) & tile == tile
}

/// Both candidates of both lines.
#[inline(always)]
fn candidates<M: Metric>(x: &[[f32; 16]; 2], encode: [f32; 2]) -> [[Candidate; 2]; 2] {
    let a = Target::candidates::<M, 2>(&x[0], encode);
    [a, Target::candidates::<M, 2>(&x[1], encode)]
}

/// Encodes a tile for the rowwise and for the columnwise output, whichever are wanted. All lanes of
/// the warp call it. `turn` takes the products of a lane's rows to those of its columns.
#[inline(always)]
pub(crate) fn encode<
    T: Input,
    M: Metric,
    R: Rounding,
    const ROWWISE: bool,
    const COLUMNWISE: bool,
>(
    lines: &Lines<T>,
    roundings: [R; 2],
    turn: impl FnOnce([[u32; 8]; 2]) -> [[u32; 8]; 2],
    global: &GlobalScale,
    flags: u32,
) -> [Encoded; 2] {
    if M::SEARCH {
        return search::encode_tile::<T, ROWWISE, COLUMNWISE>(lines, global, flags);
    }
    let raw = lines.raw;
    let bmax = largest(ptx::max_nan(T::amax(raw[0]), T::amax(raw[1])), ptx::max_nan);
    let scales = block::scales::<M>(bmax, global);
    // Before the candidates: after them, the assembler works the scales out again to save registers.
    let irregular_anywhere = warp::ballot(!scales.regular) != 0;
    let signs = raw.map(T::signs);
    let x = [T::widen(raw[0]), T::widen(raw[1])];
    let mut map4 = [false; 2];
    let mut encoded = if M::FOUR_OVER_SIX {
        let [[a6, a4], [b6, b4]] = candidates::<M>(&x, [scales.encode6, scales.encode4]);
        let error6 = sum([a6.error, b6.error]);
        let error4 = sum([a4.error, b4.error]);
        let choice = block::choose::<M, 16>(error6, error4, scales.ratio, M::OF_ERROR);
        map4 = [choice.map4; 2];
        if warp::ballot(!choice.certain) != 0 {
            let near = !choice.certain && scales.regular;
            let same_values = |[[a6, a4], [b6, b4]]: [[Candidate; 2]; 2]| {
                isa::same_values::<Target>(&a6, &a4, scales.s6, scales.s4)
                    && isa::same_values::<Target>(&b6, &b4, scales.s6, scales.s4)
            };
            let same = if R::NEAREST {
                same_values([[a6, a4], [b6, b4]])
            } else {
                // `opaque`: kept from the hot path, all codes would take registers.
                let again = |factor: f32| f32::from_bits(ptx::opaque(factor.to_bits()));
                let encode = [again(scales.encode6), again(scales.encode4)];
                same_values(candidates::<M>(&x, encode))
            };
            let tie = in_all_lanes(same, lines.lane);
            let mut settled = [false; 2];
            if warp::ballot(near && !tie) != 0 {
                let settle =
                    |along| near::map4_is_better::<T, M>(along, &scales, global, flags, sum);
                if ROWWISE {
                    settled[0] = settle(lines.rows);
                }
                if COLUMNWISE {
                    settled[1] = settle(lines.columns);
                }
            }
            if near {
                map4 = settled.map(|better| better && !tie);
            }
        }
        map4.map(|map4| {
            // Word by word, as in `block.rs`.
            let half = |six: &Candidate, four: &Candidate, line: usize, half: usize| {
                let codes = if map4 { four.codes[half] } else { six.codes[half] };
                Target::nibbles(codes, signs[line][half])
            };
            let codes = [
                [half(&a6, &a4, 0, 0), half(&a6, &a4, 0, 1)],
                [half(&b6, &b4, 1, 0), half(&b6, &b4, 1, 1)],
            ];
            Encoded { codes, scale: if map4 { scales.exact4 } else { scales.exact6 } }
        })
    } else {
        let [a] = Target::candidates::<M, 1>(&x[0], [scales.encode6]);
        let [b] = Target::candidates::<M, 1>(&x[1], [scales.encode6]);
        let half = |of: &Candidate, line: usize, half: usize| {
            Target::nibbles(of.codes[half], signs[line][half])
        };
        let codes = [[half(&a, 0, 0), half(&a, 0, 1)], [half(&b, 1, 0), half(&b, 1, 1)]];
        [Encoded { codes, scale: scales.exact6 }; 2]
    };
    if !R::NEAREST {
        let factor = |map4: bool| {
            let encode = if map4 { scales.encode4 } else { scales.encode6 };
            // Zeros times 0 keep their signs; other tiles that are not regular take the exact path.
            if scales.regular { encode * (stochastic::UNIT / Target::GRID) } else { 0.0 }
        };
        let draw = |output: usize, i: usize| roundings[output].draw(lines.segments[output][i]);
        if ROWWISE {
            let factor = factor(map4[0]);
            let codes = |i: usize| stochastic::codes(&x[i], factor, draw(0, i), signs[i]);
            encoded[0].codes = [codes(0), codes(1)];
        }
        if COLUMNWISE {
            let factor = factor(map4[1]);
            let [a, b] = turn([0, 1].map(|i| stochastic::products(&x[i], factor)));
            let codes = |i: usize, w| stochastic::codes_of_products(w, draw(1, i));
            encoded[1].codes = [codes(0, a), codes(1, b)];
        }
    }
    // `opaque` each time: a known answer lets the compiler duplicate what follows for either value, and
    // lanes at different copies of one shuffle deadlock.
    let irregular = || ptx::opaque(u32::from(!scales.regular)) != 0;
    if irregular_anywhere {
        // Tiles of zeros are common: no exact path for them.
        let zero = bmax == 0.0;
        if warp::ballot(irregular() && !zero) != 0 {
            if ROWWISE {
                let exact = exact::<T, M, R>(lines, [0, 0], roundings[0], global, flags);
                encoded[0] = if irregular() { exact } else { encoded[0] };
            }
            if COLUMNWISE {
                let stored = if R::NEAREST { 0 } else { 1 };
                let exact = exact::<T, M, R>(lines, [1, stored], roundings[1], global, flags);
                encoded[1] = if irregular() { exact } else { encoded[1] };
            }
        }
        if R::NEAREST && zero {
            let lines = signs.map(encoded::Encoded::zero);
            let codes = lines.map(|line| line.codes);
            encoded = [Encoded { codes, scale: lines[0].scale }; 2];
        }
    }
    encoded
}

/// A tile by the contract's own sequence: its errors added up along rows (0) or columns (1), codes of
/// the lane's rows or columns. All lanes of the warp call it.
#[inline(always)]
fn exact<T: Input, M: Metric, R: Rounding>(
    lines: &Lines<T>,
    [along, stored]: [usize; 2],
    rounding: R,
    global: &GlobalScale,
    flags: u32,
) -> Encoded {
    let [a, b] = lines.rows;
    let own = ptx::max(a.amax::<T>(flags), b.amax::<T>(flags));
    let scales = exact::scales::<M>(largest(own, ptx::max), global);
    let both = [lines.rows, lines.columns];
    let (best, scale) = exact::better::<M>(scales, global, flags, |encoder| {
        sum(encoder.errors::<T, M>(both[along], global, flags))
    });
    let ([a, b], segments) = (both[stored], lines.segments[stored]);
    let codes = |block, segment| best.codes::<T, R>(Placed { block, segment }, rounding, flags);
    let codes = [codes(a, segments[0]), codes(b, segments[1])];
    Encoded { codes, scale }
}
