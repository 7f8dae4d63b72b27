//! The contract's own sequence, element by element from memory: for blocks with NaN or ∞, for tensors of
//! extreme magnitude, and for tiles whose best candidates are too close.

use super::super::exact::Encoder;
use super::sweep;
use super::weigh::Sums;
use crate::formats::e4m3;
use crate::load::block::Block;
use crate::load::input::Input;
use crate::ptx;
use crate::ptx::rolled::{sixteen, thirteen};
use fouroversix_core::abi::GlobalScale;

/// Candidate `i` of 13: its distance from map6's byte.
#[inline(always)]
fn step(i: i32) -> i32 {
    let near = if i % 2 == 1 { (i + 1) / 2 } else { -i / 2 };
    if i <= 8 { near } else { i - 4 }
}

/// The first candidate with the lowest error. A rolled loop: one copy of code that is rarely executed.
#[inline(always)]
pub(super) fn best(
    bmax: f32,
    global: &GlobalScale,
    flags: u32,
    mut error_of: impl FnMut(Encoder) -> f32,
) -> Encoder {
    let map6 = i32::from(e4m3::byte(ptx::div_rn(bmax, 6.0) * global.s_enc));
    let of_byte = |byte: i32| Encoder::new(sweep::value((byte as u32) << 20), global.s_dec);
    let mut best = of_byte(map6);
    let mut least = 0.0;
    for i in 0..thirteen(flags) as i32 {
        let byte = map6 + step(i);
        // Any byte has an error, but only that of a scale counts.
        let is_scale = (1..=126).contains(&byte);
        let encoder = of_byte(if is_scale { byte } else { map6 });
        let error = error_of(encoder);
        if i == 0 || is_scale && error < least {
            (best, least) = (encoder, error);
        }
    }
    best
}

/// The contract's error of a line, in element order (step 7).
#[inline(always)]
pub(super) fn error<T: Input>(
    encoder: Encoder,
    line: impl Block,
    global: &GlobalScale,
    flags: u32,
) -> f32 {
    let sums = Sums::new(flags);
    let mut error = 0.0;
    for i in 0..sixteen(flags) {
        error += sums.term(encoder.fast(line.element::<T>(i), global));
    }
    error
}
