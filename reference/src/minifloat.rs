//! Rounding to a narrow binary floating-point grid, stated once for every format used here.

/// 2^`exponent`, exact, for exponents from −149 to 127.
fn power_of_two(exponent: i32) -> f32 {
    if exponent >= -126 {
        f32::from_bits(((exponent + 127) as u32) << 23)
    } else {
        f32::from_bits(1 << (exponent + 149))
    }
}

/// The exponent of `magnitude`'s leading bit, or a number below every format's smallest exponent
/// when `magnitude` is zero or an FP32 subnormal.
fn exponent(magnitude: f32) -> i32 {
    (magnitude.to_bits() >> 23) as i32 - 127
}

/// Rounds a finite `magnitude` ≥ 0 to the nearest value of a format, ties to the even code, and
/// returns the value's code (exponent field above fraction field, no sign).
///
/// `smallest_exponent` is that of the format's normal numbers. Values between two powers of two are
/// `quantum` apart; below the smallest normal number the spacing stays what it was, which is what
/// subnormals are. Codes grow with values, so a rounding that carries into the next power of two
/// lands on the right code by itself. Codes past the format's largest are the caller's to clamp.
pub(crate) fn nearest_code(magnitude: f32, smallest_exponent: i32, fraction_bits: u32) -> u32 {
    let exponent = exponent(magnitude).max(smallest_exponent);
    let quantum = power_of_two(exponent - fraction_bits as i32);
    // Exact: a division by a power of two whose result has no more bits than `magnitude` and is
    // no larger than 2^(fraction_bits + 1).
    let steps = magnitude / quantum;
    let binades = (exponent - smallest_exponent) as u32;
    (binades << fraction_bits) + nearest_integer(steps)
}

/// Rounds a small number ≥ 0 to the nearest integer, ties to even.
fn nearest_integer(number: f32) -> u32 {
    let below = number as u32;
    let rest = number - below as f32;
    if rest > 0.5 || (rest == 0.5 && below % 2 == 1) { below + 1 } else { below }
}

/// The value of a finite code of a format: the inverse of [`nearest_code`].
pub(crate) fn value(code: u32, smallest_exponent: i32, fraction_bits: u32) -> f32 {
    let fraction = code & ((1 << fraction_bits) - 1);
    let field = code >> fraction_bits;
    let (significand, exponent) = if field == 0 {
        (fraction, smallest_exponent)
    } else {
        (fraction + (1 << fraction_bits), smallest_exponent + field as i32 - 1)
    };
    significand as f32 * power_of_two(exponent - fraction_bits as i32)
}
