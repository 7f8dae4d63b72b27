//! MXFP4 as NVFP4 without loss: the codes are the same, and the powers of two that scale 32 of them are
//! E4M3 numbers too, where they are near enough to each other.
//!
//! A code q of MXFP4 with exponent k stands for q · 2^k. With the global scale 2^(top − 8) and the block
//! scale 2^(k − top + 8) NVFP4 stands for the same: both are powers of two, so nothing rounds. E4M3
//! has the powers 2^-9 (a subnormal number) to 2^8, so exponents `top − 17` to `top` fit.

use fouroversix_core::Rule;
use fouroversix_cpu::formats::e4m3;

use super::encoding::power_of_two;

/// A rule with E4M3 bound 256, with which figures and the global scale are computed.
pub(crate) const RULE: Rule = Rule::MSE;

/// What the record says of a tensor that was written so.
pub(crate) const LOSSLESS: &str = "MXFP4, without loss";

/// The least and the largest exponent of a power of two that is an E4M3 number.
const POWERS: [i32; 2] = [-9, 8];

/// The least `top` for which 2^(top − 8) is a normal FP32 number; its inverse is one then too.
const LEAST_TOP: i32 = -118;

/// The largest exponent with which every code is finite in FP32: 6 · 2^125 is, 6 · 2^126 is not.
const LARGEST: i32 = 125;

/// The exponents of blocks with a code that is not zero.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Span {
    /// The least and the largest, if there are any.
    range: Option<[i32; 2]>,
    has_nan: bool,
}

impl Span {
    /// Adds blocks of 16 bytes of codes with a scale each.
    pub(crate) fn add(&mut self, codes: &[u8], scales: &[u8]) {
        for (block, &scale) in codes.chunks_exact(16).zip(scales) {
            self.has_nan |= scale == 255;
            if block.iter().any(|byte| byte & 0x77 != 0) {
                let exponent = i32::from(scale) - 127;
                let [low, high] = self.range.unwrap_or([exponent; 2]);
                self.range = Some([low.min(exponent), high.max(exponent)]);
            }
        }
    }

    /// The exponent that the largest E4M3 power of two goes with, or why there is none.
    pub(crate) fn top(&self) -> Result<i32, String> {
        if self.has_nan {
            return Err("a scale is NaN".to_owned());
        }
        let Some([low, high]) = self.range else { return Ok(0) };
        let top = high.max(LEAST_TOP);
        if high > LARGEST {
            return Err(format!("exponents up to {high} give infinities"));
        }
        if top - low > POWERS[1] - POWERS[0] {
            return Err(format!(
                "exponents from {low} to {high} are further apart than the {} of E4M3's powers of two",
                POWERS[1] - POWERS[0]
            ));
        }
        Ok(top)
    }
}

/// The amax that global scale 2^(top − 8) goes with under E4M3 bound 256: 6 · 2^top.
pub(crate) fn amax(top: i32) -> f32 {
    6.0 * power(top)
}

/// 2^exponent, of an FP32 number that is normal.
fn power(exponent: i32) -> f32 {
    power_of_two((exponent + 127) as u8)
}

/// The E4M3 scales of the two blocks of 16 that a block of 32 becomes, for each of `scales`.
///
/// Where all codes of a block are zero its exponent may be out of range: any scale gives the same
/// zeros, and the nearest is taken.
pub(crate) fn block_scales(scales: &[u8], top: i32, out: &mut [u8]) {
    for (pair, &scale) in out.chunks_exact_mut(2).zip(scales) {
        let exponent = i32::from(scale) - 127 - top + POWERS[1];
        pair.fill(e4m3(power(exponent.clamp(POWERS[0], POWERS[1]))));
    }
}

#[cfg(test)]
mod tests {
    use fouroversix_cpu::formats::E4M3;

    use super::*;

    fn span(blocks: &[(u8, u8)]) -> Span {
        let mut span = Span::default();
        for &(code, scale) in blocks {
            span.add(&[code; 16], &[scale]);
        }
        span
    }

    #[test]
    fn powers_of_two_are_e4m3s() {
        for exponent in POWERS[0]..=POWERS[1] {
            let value = E4M3[usize::from(e4m3(power(exponent)))];
            assert_eq!(value, 2.0_f32.powi(exponent), "{exponent}");
        }
    }

    #[test]
    fn seventeen_apart_fit_and_eighteen_do_not() {
        assert_eq!(span(&[(0x11, 127), (0x70, 110)]).top(), Ok(0));
        assert!(span(&[(0x11, 127), (0x70, 109)]).top().unwrap_err().contains("from -18 to 0"));
        // A block of zeros does not count, of negative ones neither.
        assert_eq!(span(&[(0x11, 127), (0x00, 1), (0x88, 254)]).top(), Ok(0));
        assert_eq!(span(&[(0x00, 30)]).top(), Ok(0));
        assert!(span(&[(0x00, 255)]).top().unwrap_err().contains("NaN"));
        // The global scale stays a normal number, which costs some of the room.
        assert_eq!(span(&[(0x11, 0), (0x11, 5)]).top(), Ok(-118));
        assert_eq!(span(&[(0x11, 252)]).top(), Ok(125));
        assert!(span(&[(0x11, 253)]).top().is_err());
    }

    /// Every pair of an exponent and the largest one that may be beside it, as loaders compute both.
    #[test]
    fn every_exponent_comes_back_bit_for_bit() {
        for high in 0..=252_u8 {
            let top = span(&[(0x77, high)]).top().unwrap();
            for low in high.saturating_sub(17)..=high {
                if span(&[(0x77, high), (0x77, low)]).top().is_err() {
                    continue;
                }
                let mut out = [0; 2];
                block_scales(&[low], top, &mut out);
                let scale = E4M3[usize::from(out[0])];
                let (divisor, multiplier) = (power(8 - top), power(top - 8));
                for q in [0.0_f32, -0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0, -6.0] {
                    let meant = (q * power_of_two(low)).to_bits();
                    assert_eq!((q * (scale / divisor)).to_bits(), meant, "{high} {low} {q}");
                    assert_eq!((q * (scale * multiplier)).to_bits(), meant, "{high} {low} {q}");
                }
            }
        }
    }

    #[test]
    fn the_amax_gives_the_global_scale() {
        use super::super::format::Format;
        use fouroversix_core::E4m3Max;
        for top in LEAST_TOP..=LARGEST {
            let amax = amax(top);
            let divisor = Format::CompressedTensors.global_scale(amax, E4m3Max::M256);
            let multiplier = Format::ModelOpt.global_scale(amax, E4m3Max::M256);
            assert_eq!((divisor, multiplier), (power(8 - top), power(top - 8)), "{top}");
        }
    }
}
