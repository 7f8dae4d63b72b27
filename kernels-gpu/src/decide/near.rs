//! Near ties of tiles: the contract's own errors, where the cheap ones are too close.
//!
//! The tile is regular: nothing saturates, underflows or overflows, and its codes are known. Only the
//! errors are computed again, in the contract's operations and order. Both candidates run side by side
//! and without divergence: few warps come here, but their thread block waits for them. Magnitudes are
//! enough, since a term is `|d|` or `d·d`.

use super::block::ScalePair;
use super::isa::{Isa, Target};
use super::metric::Metric;
use crate::load::block::Block;
use crate::load::input::Input;
use crate::ptx;
use crate::ptx::rolled::sixteen;
use fouroversix_core::abi::{E4M3_MAX_256, GlobalScale, STRICT};

/// `RN(p / d)`, with `r = RN(1/d)`, for `p` zero or well inside the normal range (Markstein).
#[inline(always)]
fn divide(p: f32, d: f32, r: f32) -> f32 {
    let q = p * r;
    ptx::fma_rn(ptx::fma_rn(-q, d, p), r, q)
}

/// The contract's term of one element whose magnitude is `x` (steps 6 and 7).
#[inline(always)]
fn term<M: Metric>(x: f32, scale: f32, encode: f32, global: &GlobalScale, flags: u32) -> f32 {
    let (six_a, reciprocal) = if flags & E4M3_MAX_256 != 0 {
        (6.0 * 256.0, 1.0 / (6.0 * 256.0))
    } else {
        (6.0 * 448.0, 1.0 / (6.0 * 448.0))
    };
    // GRID is a power of two: taken out exactly.
    let value = Target::round(x * encode) * (1.0 / Target::GRID) * scale;
    M::term(if flags & STRICT != 0 {
        divide(value * global.amax, six_a, reciprocal) - x
    } else {
        value - x * global.s_enc
    })
}

/// Whether map4 has the lower error over a tile, of which a lane has two lines. `sum` adds the errors of
/// all lines.
#[inline(always)]
pub(crate) fn map4_is_better<T: Input, M: Metric>(
    lines: [impl Block; 2],
    scales: &ScalePair,
    global: &GlobalScale,
    flags: u32,
    sum: impl Fn([f32; 2]) -> f32,
) -> bool {
    let (mut error6, mut error4) = ([0.0; 2], [0.0; 2]);
    let ScalePair { s6, s4, encode6, encode4, .. } = *scales;
    for i in 0..sixteen(flags) {
        for line in 0..2 {
            let x = lines[line].element::<T>(i).abs();
            error6[line] += term::<M>(x, s6, encode6, global, flags);
            error4[line] += term::<M>(x, s4, encode4, global, flags);
        }
    }
    sum(error4) < sum(error6)
}
