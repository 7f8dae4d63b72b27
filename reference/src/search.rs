//! The third rule: the best of 13 neighbouring scale bytes (steps S1 to S4).

use crate::candidate::Candidate;
use crate::e4m3::E4m3;
use crate::scale::{GlobalScale, ScalePair};

/// Step S2: how far from the byte of map6 the candidates are, in the order in which they are tried.
///
/// From about two thirds of that scale to twice it, nearest first, so that a tie stays near map6.
pub const STEPS: [i16; 13] = [0, 1, -1, 2, -2, 3, -3, 4, -4, 5, 6, 7, 8];

/// The bytes that a block may take besides map6's own: positive and finite.
const BYTES: std::ops::RangeInclusive<i16> = 1..=126;

/// Steps S1 and S2: the scales that are tried for a block, map6's first.
///
/// Bytes that are no positive finite scale are left out, not clamped; map6's is tried even if 0.
#[must_use]
pub fn scales(block_amax: f32, global: &GlobalScale) -> Vec<E4m3> {
    let map6 = i16::from(ScalePair::new(block_amax, global).map6.to_bits());
    let tried = STEPS.map(|step| map6 + step).into_iter();
    let tried = tried.filter(|&byte| byte == map6 || BYTES.contains(&byte));
    tried.map(|byte| E4m3::from_bits(byte as u8)).collect()
}

/// Steps S3 and S4: every candidate with its error, in the order of [`scales`], and the best one.
///
/// The first is the best until another's error is strictly lower: it stays where all errors are ∞ or
/// NaN.
#[must_use]
pub fn search(
    block_amax: f32,
    global: &GlobalScale,
    error: impl Fn(E4m3) -> f32,
) -> (Vec<Candidate>, E4m3) {
    let scales = scales(block_amax, global);
    let tried: Vec<Candidate> =
        scales.into_iter().map(|scale| Candidate { scale, error: error(scale) }).collect();
    let mut best = tried[0];
    for &candidate in &tried[1..] {
        if candidate.error < best.error {
            best = candidate;
        }
    }
    (tried, best.scale)
}
