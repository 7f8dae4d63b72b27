//! The contract's own sequence, element by element from memory: for blocks with NaN or ∞, for tensors of
//! extreme magnitude, and for tiles whose best candidates are too close.

use super::super::exact::Encoder;
use super::candidates;
use crate::formats::e4m3;
use crate::load::block::Block;
use crate::load::input::Input;
use crate::ptx;
use crate::ptx::rolled::{sixteen, thirteen};
use fouroversix_core::abi::{GlobalScale, MAGNITUDES};

/// Candidate `i` of 13: its distance from map6's byte.
#[inline(always)]
fn step(i: i32) -> i32 {
    let near = if i % 2 == 1 { (i + 1) / 2 } else { -i / 2 };
    if i <= 8 { near } else { i - 4 }
}

/// The first candidate of those in `open` with the lowest error. `skips` says, of whether one is there, whether
/// nobody asks for its error. A rolled loop: one copy of code that is rarely executed.
#[inline(always)]
pub(super) fn best(
    bmax: f32,
    global: &GlobalScale,
    open: u32,
    flags: u32,
    skips: impl Fn(bool) -> bool,
    mut error_of: impl FnMut(Encoder) -> f32,
) -> Encoder {
    let map6 = i32::from(e4m3::byte(ptx::div_rn(bmax, 6.0) * global.s_enc));
    let of_byte = |byte: i32| Encoder::new(candidates::value((byte as u32) << 20), global.s_dec);
    let mut best = of_byte(map6);
    let mut least = f32::INFINITY;
    for i in 0..thirteen(flags) as i32 {
        let byte = map6 + step(i);
        let is_scale = i == 0 || (1..=126).contains(&byte);
        let asked = if is_scale { open & candidates::bit(step(i)) } else { 0 };
        // `opaque` each time, for the reason in `decide/tile.rs`.
        let is_open = || ptx::opaque(asked) != 0;
        if skips(is_open()) {
            continue;
        }
        // Any byte has an error, but only that of a candidate counts.
        let encoder = of_byte(if is_open() { byte } else { map6 });
        let error = error_of(encoder);
        // map6 comes first, whatever its error.
        if is_open() && (i == 0 || error < least) {
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
    let mut error = 0.0;
    for i in 0..sixteen(flags) {
        let d = encoder.fast(line.element::<T>(i), global);
        error += if flags & MAGNITUDES != 0 { d.abs() } else { d * d };
    }
    error
}
