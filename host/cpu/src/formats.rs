//! E2M1 and E4M3, one value at a time: what codes stand for, and which code a number rounds to.
//!
//! The CPU path in whole vectors has its own forms (`lane_scale.rs`, `simd`), which are tested against these.

/// Values of the sixteen E2M1 codes: sign in bit 3, index into {0, 0.5, 1, 1.5, 2, 3, 4, 6} below it.
pub const E2M1_SIGNED: [f32; 16] =
    [0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0, -0.0, -0.5, -1.0, -1.5, -2.0, -3.0, -4.0, -6.0];

/// Values of all 256 E4M3 codes: bias 7, no infinities, NaN at 0x7F and 0xFF.
pub static E4M3: [f32; 256] = e4m3_table();

const fn e4m3_table() -> [f32; 256] {
    let mut table = [0.0; 256];
    let mut code = 0;
    while code < 256 {
        table[code] = e4m3_value(code as u8);
        code += 1;
    }
    table
}

const fn e4m3_value(code: u8) -> f32 {
    let sign = (code as u32 >> 7) << 31;
    let magnitude = code as u32 & 0x7F;
    let bits = if magnitude == 0x7F {
        0x7FC0_0000
    } else if magnitude < 8 {
        // Subnormal: an integer times 2^-9, exact in FP32.
        (magnitude as f32 * (1.0 / 512.0)).to_bits()
    } else {
        // Rebias the exponent from 7 to 127.
        (magnitude << 20) + (120 << 23)
    };
    f32::from_bits(sign | bits)
}

/// Rounds `value` in `[0, 448]` to E4M3, to nearest, ties to even; subnormals have step 2^-9.
///
/// Beyond that range the result means nothing: clamp what may lie there.
#[inline]
#[must_use]
pub fn e4m3(value: f32) -> u8 {
    // A sum with 2^14 has steps of 2^-9.
    const SHIFT: f32 = 16384.0;
    debug_assert!((0.0..=448.0).contains(&value), "{value} is outside the clamped range");
    let code = if value < 1.0 / 64.0 {
        // 8 is both "eight steps" and the code of 2^-6, so a carry is right.
        (value + SHIFT).to_bits() - SHIFT.to_bits()
    } else {
        let bits = value.to_bits();
        // Half a step less one, and one more where the kept part is odd.
        ((bits + 0x7_FFFF + (bits >> 20 & 1)) >> 20) - (120 << 3)
    };
    code as u8
}

/// Rounds `value` to E2M1, to nearest, ties to even, saturating; the sign is kept for zeros and
/// NaN gives 7, as `cvt.rn.satfinite.e2m1x2.f32` does.
#[inline]
#[must_use]
pub fn e2m1(value: f32) -> u8 {
    if value.is_nan() {
        return 7;
    }
    let y = value.abs();
    // The midpoints; a tie goes to the neighbour whose code is even.
    let index = u8::from(y > 0.25)
        + u8::from(y >= 0.75)
        + u8::from(y > 1.25)
        + u8::from(y >= 1.75)
        + u8::from(y > 2.5)
        + u8::from(y >= 3.5)
        + u8::from(y > 5.0);
    index | u8::from(value.is_sign_negative()) << 3
}

/// Rounds `value` to E2M1 by a random byte, up or down in magnitude, saturating (step T4): `k/256` of
/// the bytes take the next value where it is `k` 256ths of the way there, rounded down. The sign is
/// kept for zeros and NaN gives 7.
pub(crate) fn stochastic_e2m1(value: f32, byte: u8) -> u8 {
    let y = value.abs();
    if value.is_nan() || y >= 6.0 {
        return e2m1(value);
    }
    let below = (1..7).filter(|code| E2M1_SIGNED[*code] <= y).count();
    let [low, next] = [E2M1_SIGNED[below], E2M1_SIGNED[below + 1]];
    // Exact: `low` is 0 or at least half of `y`, and the step is a power of two.
    let share = (256.0 * ((y - low) / (next - low))) as u32;
    let index = below as u8 + u8::from(share + u32::from(byte) >= 256);
    index | u8::from(value.is_sign_negative()) << 3
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn e4m3_values_are_the_formats() {
        assert_eq!(E4M3[0x01], 2.0_f32.powi(-9));
        assert_eq!(E4M3[0x08], 2.0_f32.powi(-6));
        assert_eq!(E4M3[0x38], 1.0);
        assert_eq!(E4M3[0x7E], 448.0);
        assert_eq!(E4M3[0xC0], -2.0);
        assert!(E4M3[0x7F].is_nan() && E4M3[0xFF].is_nan());
    }

    #[test]
    fn e4m3_codes_survive_a_round_trip_and_ties_go_to_even() {
        for code in 0..0x7F_u8 {
            let value = E4M3[usize::from(code)];
            assert_eq!(e4m3(value), code, "{value}");
            if code < 0x7E {
                let next = E4M3[usize::from(code) + 1];
                let middle = value.midpoint(next);
                assert_eq!(e4m3(middle), code + (code & 1), "tie between {value} and {next}");
                assert_eq!(e4m3(middle.next_down()), code);
                assert_eq!(e4m3(middle.next_up()), code + 1);
            }
        }
    }

    #[test]
    fn e2m1_codes_survive_a_round_trip_and_ties_go_to_even() {
        for code in 0..16_u8 {
            assert_eq!(e2m1(E2M1_SIGNED[usize::from(code)]), code);
        }
        for code in 0..7_u8 {
            let value = |code: u8| E2M1_SIGNED[usize::from(code)];
            let middle = value(code).midpoint(value(code + 1));
            assert_eq!(e2m1(middle), code + (code & 1), "{middle}");
            assert_eq!(e2m1(-middle.next_down()), code | 8);
            assert_eq!(e2m1(middle.next_up()), code + 1);
        }
        assert_eq!(e2m1(f32::INFINITY), 7);
        assert_eq!(e2m1(f32::NEG_INFINITY), 15);
        assert_eq!(e2m1(-f32::NAN), 7);
    }
}
