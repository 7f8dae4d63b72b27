//! Exact binary floating point in integers: every finite value is `±mantissa · 2^exponent`, sums and
//! products are formed exactly (or with a sticky last bit far below any rounding point), and
//! [`Format::round`] rounds once.
//!
//! This is the executor's definition of arithmetic. Where a host operation is known to give the same
//! bits (IEEE binary32, nearest even) the executor uses that instead, and the tests compare the two.

/// A rounding direction of PTX.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Rounding {
    /// `.rn`: to nearest, ties to even.
    Nearest,
    /// `.rz`: toward zero.
    Zero,
    /// `.rm`: toward −∞.
    Down,
    /// `.rp`: toward +∞.
    Up,
}

/// An IEEE interchange format, or one shaped like it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Format {
    /// Bits of the exponent field.
    pub exponent_bits: u32,
    /// Bits of the fraction field.
    pub fraction_bits: u32,
    /// The NaN that arithmetic produces.
    pub nan: u64,
}

/// IEEE binary16. Arithmetic gives the NaN 0x7FFF (PTX ISA, "half precision").
pub const F16: Format = Format { exponent_bits: 5, fraction_bits: 10, nan: 0x7fff };
/// bfloat16.
pub const BF16: Format = Format { exponent_bits: 8, fraction_bits: 7, nan: 0x7fff };
/// IEEE binary32.
pub const F32: Format = Format { exponent_bits: 8, fraction_bits: 23, nan: 0x7fff_ffff };
/// IEEE binary64.
pub const F64: Format = Format { exponent_bits: 11, fraction_bits: 52, nan: 0x7fff_ffff_ffff_ffff };

/// `±mantissa · 2^exponent`; zero has mantissa 0 and keeps its sign.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exact {
    /// Sign.
    pub negative: bool,
    /// Magnitude's significand, not normalized.
    pub mantissa: u128,
    /// Weight of the significand's last bit.
    pub exponent: i32,
}

/// Any floating-point datum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value {
    /// Not a number; payloads are not kept.
    Nan,
    /// ±∞, true for −∞.
    Infinite(bool),
    /// A number.
    Finite(Exact),
}

impl Format {
    const fn bias(self) -> i32 {
        (1 << (self.exponent_bits - 1)) - 1
    }

    const fn sign_shift(self) -> u32 {
        self.exponent_bits + self.fraction_bits
    }

    const fn infinity(self) -> u64 {
        ((1 << self.exponent_bits) - 1) << self.fraction_bits
    }

    /// What the bits stand for.
    #[must_use]
    pub const fn unpack(self, bits: u64) -> Value {
        let negative = bits >> self.sign_shift() & 1 == 1;
        let fraction = bits & ((1 << self.fraction_bits) - 1);
        let field = (bits >> self.fraction_bits) & ((1 << self.exponent_bits) - 1);
        if field == (1 << self.exponent_bits) - 1 {
            return if fraction == 0 { Value::Infinite(negative) } else { Value::Nan };
        }
        let hidden = if field == 0 { 0 } else { 1 << self.fraction_bits };
        let power = if field == 0 { 1 } else { field as i32 };
        Value::Finite(Exact {
            negative,
            mantissa: (hidden | fraction) as u128,
            exponent: power - self.bias() - self.fraction_bits as i32,
        })
    }

    /// Rounds once. Overflow goes to ∞ or to the largest finite number as the direction says.
    #[must_use]
    pub fn round(self, value: Value, mode: Rounding) -> u64 {
        let exact = match value {
            Value::Nan => return self.nan,
            Value::Infinite(negative) => {
                return self.infinity() | u64::from(negative) << self.sign_shift();
            }
            Value::Finite(exact) => exact,
        };
        let sign = u64::from(exact.negative) << self.sign_shift();
        if exact.mantissa == 0 {
            return sign;
        }
        let top = exact.exponent + 127 - exact.mantissa.leading_zeros() as i32;
        let smallest = 1 - self.bias() - self.fraction_bits as i32;
        let last = (top - self.fraction_bits as i32).max(smallest);
        let kept = round_shift(exact, last, mode) as u64;
        let bits = (((last - smallest) as u64) << self.fraction_bits) + kept;
        if bits < self.infinity() {
            return sign | bits;
        }
        let away = match mode {
            Rounding::Nearest => true,
            Rounding::Zero => false,
            Rounding::Down => exact.negative,
            Rounding::Up => !exact.negative,
        };
        sign | if away { self.infinity() } else { self.infinity() - 1 }
    }
}

/// The magnitude of `exact` in units of 2^`last`, rounded to an integer.
#[must_use]
pub fn round_shift(exact: Exact, last: i32, mode: Rounding) -> u128 {
    let shift = last - exact.exponent;
    if shift <= 0 {
        return exact.mantissa << -shift;
    }
    let shift = shift as u32;
    let (kept, inexact, above_half, half) = if shift >= 128 {
        (0, exact.mantissa != 0, false, false)
    } else {
        let rest = exact.mantissa & ((1 << shift) - 1);
        let middle = 1 << (shift - 1);
        (exact.mantissa >> shift, rest != 0, rest > middle, rest == middle)
    };
    let up = match mode {
        Rounding::Nearest => above_half || half && kept & 1 == 1,
        Rounding::Zero => false,
        Rounding::Down => inexact && exact.negative,
        Rounding::Up => inexact && !exact.negative,
    };
    kept + u128::from(up)
}

/// The exact product.
#[must_use]
pub const fn mul(a: Value, b: Value) -> Value {
    match (a, b) {
        (Value::Nan, _) | (_, Value::Nan) => Value::Nan,
        (Value::Infinite(s), Value::Infinite(t)) => Value::Infinite(s != t),
        (Value::Infinite(s), Value::Finite(x)) | (Value::Finite(x), Value::Infinite(s)) => {
            if x.mantissa == 0 { Value::Nan } else { Value::Infinite(s != x.negative) }
        }
        (Value::Finite(x), Value::Finite(y)) => Value::Finite(Exact {
            negative: x.negative != y.negative,
            mantissa: x.mantissa * y.mantissa,
            exponent: x.exponent + y.exponent,
        }),
    }
}

/// The sum, exact but for a sticky last bit at least 2^-70 below the larger term. `mode` decides the
/// sign of an exact cancellation only.
#[must_use]
pub fn add(a: Value, b: Value, mode: Rounding) -> Value {
    let (x, y) = match (a, b) {
        (Value::Nan, _) | (_, Value::Nan) => return Value::Nan,
        (Value::Infinite(s), Value::Infinite(t)) => {
            return if s == t { a } else { Value::Nan };
        }
        (Value::Infinite(_), _) => return a,
        (_, Value::Infinite(_)) => return b,
        (Value::Finite(x), Value::Finite(y)) => (x, y),
    };
    if x.mantissa == 0 && y.mantissa == 0 {
        let negative = if x.negative == y.negative { x.negative } else { mode == Rounding::Down };
        return Value::Finite(Exact { negative, ..x });
    }
    if x.mantissa == 0 {
        return b;
    }
    if y.mantissa == 0 {
        return a;
    }
    let (hi, lo) = if x.exponent >= y.exponent { (x, y) } else { (y, x) };
    let lift = (hi.exponent - lo.exponent).min(70);
    let exponent = hi.exponent - lift;
    let high = hi.mantissa << lift;
    let low = shift_sticky(lo.mantissa, (exponent - lo.exponent) as u32);
    let (negative, mantissa) = if hi.negative == lo.negative {
        (hi.negative, high + low)
    } else if high == low {
        (mode == Rounding::Down, 0)
    } else if high > low {
        (hi.negative, high - low)
    } else {
        (lo.negative, low - high)
    };
    Value::Finite(Exact { negative, mantissa, exponent })
}

/// The quotient with a sticky last bit far below any rounding point.
#[must_use]
pub fn div(a: Value, b: Value) -> Value {
    match (a, b) {
        (Value::Nan, _) | (_, Value::Nan) | (Value::Infinite(_), Value::Infinite(_)) => Value::Nan,
        (Value::Infinite(s), Value::Finite(y)) => Value::Infinite(s != y.negative),
        (Value::Finite(x), Value::Infinite(t)) => {
            Value::Finite(Exact { negative: x.negative != t, mantissa: 0, exponent: 0 })
        }
        (Value::Finite(x), Value::Finite(y)) => {
            let negative = x.negative != y.negative;
            match (x.mantissa, y.mantissa) {
                (0, 0) => Value::Nan,
                (_, 0) => Value::Infinite(negative),
                (m, n) => {
                    let wide = m << 70;
                    let sticky = u128::from(wide % n != 0);
                    Value::Finite(Exact {
                        negative,
                        mantissa: (wide / n) << 1 | sticky,
                        exponent: x.exponent - y.exponent - 71,
                    })
                }
            }
        }
    }
}

/// The value with its sign flipped.
#[must_use]
pub const fn negate(a: Value) -> Value {
    match a {
        Value::Nan => Value::Nan,
        Value::Infinite(s) => Value::Infinite(!s),
        Value::Finite(x) => Value::Finite(Exact { negative: !x.negative, ..x }),
    }
}

/// An integer as a value.
#[must_use]
pub const fn integer(negative: bool, magnitude: u64) -> Value {
    Value::Finite(Exact { negative, mantissa: magnitude as u128, exponent: 0 })
}

/// `mantissa >> shift`, the lost bits ORed into the last one.
const fn shift_sticky(mantissa: u128, shift: u32) -> u128 {
    if shift == 0 {
        mantissa
    } else if shift >= 128 {
        (mantissa != 0) as u128
    } else {
        mantissa >> shift | (mantissa & ((1 << shift) - 1) != 0) as u128
    }
}
