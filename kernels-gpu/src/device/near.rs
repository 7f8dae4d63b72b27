//! Near ties: the contract's own errors of a block that the hot loop has encoded but can't judge.
//!
//! Such a block is regular: nothing saturates, underflows or overflows, and its codes are known. So
//! only the errors are computed anew, in the contract's operations and order, both candidates side
//! by side and without branches: few warps come here, but they hold their block of threads up.
//! Magnitudes serve as well as signed values: a term is `|d|` or `d·d`.

use super::block::ScalePair;
use super::exact::{Strided, sixteen};
use super::input::Input;
use super::isa::{Isa, Target};
use super::metric::Metric;
use super::ptx;
use crate::abi::{E4M3_MAX_256, GlobalScale, STRICT};

/// `RN(p / d)`, with `r = RN(1/d)`, for `p` zero or well inside the normal range (Markstein).
#[inline(always)]
fn divide(p: f32, d: f32, r: f32) -> f32 {
    let q = p * r;
    ptx::fma_rn(ptx::fma_rn(-q, d, p), r, q)
}

/// The contract's term of one element whose magnitude is `x`, added to a sum.
#[inline(always)]
fn add<M: Metric>(
    sum: f32,
    x: f32,
    scale: f32,
    encode: f32,
    global: &GlobalScale,
    flags: u32,
) -> f32 {
    let (six_a, reciprocal) = if flags & E4M3_MAX_256 != 0 {
        (6.0 * 256.0, 1.0 / (6.0 * 256.0))
    } else {
        (6.0 * 448.0, 1.0 / (6.0 * 448.0))
    };
    // q carries GRID: it is taken out exactly.
    let value = Target::round(x * encode) * (1.0 / Target::GRID) * scale;
    let d = if flags & STRICT != 0 {
        divide(value * global.amax, six_a, reciprocal) - x
    } else {
        value - x * global.s_enc
    };
    M::add_exact(sum, d)
}

/// Whether map4 has the lower error over one or two lines of 16, whose errors `sum` adds up.
#[inline(always)]
pub(crate) fn map4_is_better<T: Input, M: Metric, const LINES: usize>(
    lines: [Strided; LINES],
    scales: &ScalePair,
    global: &GlobalScale,
    flags: u32,
    sum: impl Fn([f32; LINES]) -> f32,
) -> bool {
    let (mut error6, mut error4) = ([0.0; LINES], [0.0; LINES]);
    let ScalePair { s6, s4, encode6, encode4, .. } = *scales;
    for i in 0..sixteen(flags) {
        macro_rules! line {
            ($l:expr) => {
                let x = lines[$l].element::<T>(i).abs();
                error6[$l] = add::<M>(error6[$l], x, s6, encode6, global, flags);
                error4[$l] = add::<M>(error4[$l], x, s4, encode4, global, flags);
            };
        }
        line!(0);
        if LINES > 1 {
            line!(LINES - 1);
        }
    }
    sum(error4) < sum(error6)
}
