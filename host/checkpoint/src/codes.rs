//! The numbers that stored codes and scale bytes stand for.

/// E2M1 by code: sign in bit 3, index into {0, 0.5, 1, 1.5, 2, 3, 4, 6} below it.
pub(crate) const E2M1_VALUES: [f32; 16] =
    [0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0, -0.0, -0.5, -1.0, -1.5, -2.0, -3.0, -4.0, -6.0];

/// E4M3 by byte: bias 7, no infinity, NaN at 0x7F and 0xFF.
pub(crate) const E4M3_VALUES: [f32; 256] = e4m3_values();

const fn e4m3_values() -> [f32; 256] {
    let mut values = [0.0; 256];
    let mut byte = 0;
    while byte < 256 {
        let exponent = (byte >> 3) & 15;
        let fraction = (byte & 7) as f32;
        let magnitude = if byte & 0x7F == 0x7F {
            f32::NAN
        } else if exponent == 0 {
            fraction / 512.0
        } else {
            // (8 + fraction) · 2^(exponent − 10), both factors exact.
            (8.0 + fraction) * f32::from_bits((exponent as u32 + 117) << 23)
        };
        values[byte] = if byte & 0x80 == 0 { magnitude } else { -magnitude };
        byte += 1;
    }
    values
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn e4m3_values_are_the_formats() {
        assert_eq!(E4M3_VALUES[0x01], 2.0_f32.powi(-9));
        assert_eq!(E4M3_VALUES[0x08], 2.0_f32.powi(-6));
        assert_eq!(E4M3_VALUES[0x38], 1.0);
        assert_eq!(E4M3_VALUES[0x7E], 448.0);
        assert_eq!(E4M3_VALUES[0xC0], -2.0);
        assert!(E4M3_VALUES[0x7F].is_nan() && E4M3_VALUES[0xFF].is_nan());
    }
}
