//! `cvt`, in the forms listed here and no other.

use super::super::ast::{Instruction, Kind, Type, width_mask};
use super::super::half::{self, f32_bits};
use super::super::lanes::{one, two};
use super::super::narrow;
use super::super::op::Compute;
use super::super::soft::{self, BF16, F16, F32, F64, Format, Rounding, Value};
use super::decoder::{Decoded, Decoder};
use super::integer::sign_extend;
use super::modifiers::Modifiers;

fn format(ty: Type) -> Format {
    match (ty.kind, ty.bits) {
        (Kind::Brain, _) => BF16,
        (_, 16) => F16,
        (_, 32) => F32,
        _ => F64,
    }
}

/// An `f32` to a narrower format: the value of the round trip through `soft`.
pub(super) fn narrow_f32(to: Format, mode: Rounding, x: u64) -> u64 {
    to.round(F32.unpack(x), mode)
}

/// The binary16 of a value that it holds exactly, or NaN.
fn f16_of(x: f32) -> u64 {
    F16.round(F32.unpack(u64::from(x.to_bits())), Rounding::Nearest)
}

/// A float rounded to an integer and clamped to `ty`'s range. NaN gives 0, or for 64-bit results
/// 2^63 (PTX ISA, `cvt`, "in float-to-integer conversions").
fn to_integer(from: Format, ty: Type, mode: Rounding, x: u64) -> u64 {
    let (negative, magnitude) = match from.unpack(x) {
        Value::Nan if ty.bits == 64 || from == F64 => return 1 << (ty.bits - 1),
        Value::Nan => return 0,
        Value::Infinite(negative) => (negative, u128::MAX),
        Value::Finite(v) if v.exponent > 64 && v.mantissa != 0 => (v.negative, u128::MAX),
        Value::Finite(v) => (v.negative, soft::round_shift(v, 0, mode)),
    };
    let top = u128::from(ty.mask() >> u32::from(ty.signed()));
    if !negative {
        return magnitude.min(top) as u64;
    }
    let lowest = if ty.signed() { top + 1 } else { 0 };
    (magnitude.min(lowest) as u64).wrapping_neg() & ty.mask()
}

/// An `f32` rounded to an integral `f32`; the sign of a zero result is the operand's.
fn integral(mode: Rounding, x: u64) -> u64 {
    match F32.unpack(x) {
        Value::Finite(v) if v.exponent < 0 => {
            let mantissa = soft::round_shift(v, 0, mode);
            F32.round(Value::Finite(soft::Exact { mantissa, exponent: 0, ..v }), mode)
        }
        value => F32.round(value, mode),
    }
}

impl Decoder<'_> {
    pub(super) fn convert(&mut self, ins: &Instruction, m: &mut Modifiers<'_>) -> Decoded<()> {
        let source = m.last()?;
        let dest = m.last()?;
        match (dest, source) {
            ("e4m3x2" | "e5m2x2" | "e2m1x2", "f32") => self.narrow(ins, m, dest),
            ("f16x2", "e4m3x2" | "e2m1x2") => self.widen(ins, m, source == "e4m3x2"),
            ("f16x2" | "bf16x2", "f32") => {
                let to = if dest == "f16x2" { F16 } else { BF16 };
                let mode = self.stated(ins, m)?;
                let f = match (mode, to) {
                    (Rounding::Nearest, F16) => {
                        two(|a, b| half::f16_from_f32(a) << 16 | half::f16_from_f32(b))
                    }
                    (Rounding::Nearest, _) => {
                        two(|a, b| half::bf16_from_f32(a) << 16 | half::bf16_from_f32(b))
                    }
                    _ => two(move |a, b| narrow_f32(to, mode, a) << 16 | narrow_f32(to, mode, b)),
                };
                self.operand_count(ins, 3)?;
                let a = self.read(ins, 1, 32)?;
                let b = self.read(ins, 2, 32)?;
                let d = self.write(ins, 0, 32)?;
                self.emit_compute(d, &[a, b], f);
                Ok(())
            }
            _ => match (Type::from_name(dest), Type::from_name(source)) {
                (Some(dest), Some(source)) => self.scalar(ins, m, dest, source),
                _ => m.error(format!("cvt from .{source} to .{dest} is not supported")),
            },
        }
    }

    fn stated(&self, ins: &Instruction, m: &mut Modifiers<'_>) -> Decoded<Rounding> {
        match m.rounding() {
            Some(mode) => Ok(mode),
            None => m.error(format!("{:?} needs a rounding", ins.text)),
        }
    }

    /// Two `f32` to two bytes of E4M3 or E5M2 or two E2M1 nibbles, the first operand in the upper half.
    fn narrow(&mut self, ins: &Instruction, m: &mut Modifiers<'_>, dest: &str) -> Decoded<()> {
        if !(m.flag("rn") && m.flag("satfinite")) {
            return m.error("this conversion needs .rn.satfinite");
        }
        self.operand_count(ins, 3)?;
        let a = self.read(ins, 1, 32)?;
        let b = self.read(ins, 2, 32)?;
        let (bits, table) = match dest {
            "e4m3x2" => (8, narrow::Table::e4m3()),
            "e5m2x2" => (8, narrow::Table::e5m2()),
            _ => (4, narrow::Table::e2m1()),
        };
        let d = self.write(ins, 0, 2 * bits)?;
        let f = two(move |a, b| table.code(a) << bits | table.code(b));
        self.emit_compute(d, &[a, b], f);
        Ok(())
    }

    /// Two E4M3 bytes or two E2M1 nibbles to two binary16, which hold them exactly.
    fn widen(&mut self, ins: &Instruction, m: &mut Modifiers<'_>, e4m3: bool) -> Decoded<()> {
        if !m.flag("rn") {
            return m.error("this conversion needs .rn");
        }
        self.operand_count(ins, 2)?;
        let a = self.read(ins, 1, if e4m3 { 16 } else { 8 })?;
        let d = self.write(ins, 0, 32)?;
        let f = if e4m3 {
            let halves: Vec<u64> = (0..=255).map(|x| f16_of(narrow::e4m3_to_f32(x))).collect();
            one(move |a| halves[(a >> 8) as usize & 255] << 16 | halves[a as usize & 255])
        } else {
            let halves: Vec<u64> = (0..16).map(|x| f16_of(narrow::e2m1_to_f32(x))).collect();
            one(move |a| halves[(a >> 4) as usize & 15] << 16 | halves[a as usize & 15])
        };
        self.emit_compute(d, &[a], f);
        Ok(())
    }

    fn scalar(
        &mut self,
        ins: &Instruction,
        m: &mut Modifiers<'_>,
        dest: Type,
        source: Type,
    ) -> Decoded<()> {
        if dest.kind == Kind::Pred || source.kind == Kind::Pred {
            return m.error("cvt does not take predicates");
        }
        self.operand_count(ins, 2)?;
        let a = self.read_wide(ins, 1, source.bits)?;
        let width = self.register_bits(ins, 0).unwrap_or(dest.bits);
        let d = self.write_wide(ins, 0, dest.bits)?;
        let f = match (dest.float(), source.float()) {
            (true, true) => self.float_to_float(ins, m, dest, source)?,
            (true, false) => {
                let mode = self.stated(ins, m)?;
                let to = format(dest);
                let host = to == F32 && mode == Rounding::Nearest;
                if host && source.signed() {
                    one(move |a| f32_bits(sign_extend(a & source.mask(), source.bits) as f32))
                } else if host {
                    one(move |a| f32_bits((a & source.mask()) as f32))
                } else {
                    one(move |a| {
                        let a = a & source.mask();
                        let negative = source.signed() && sign_extend(a, source.bits) < 0;
                        let magnitude =
                            if negative { sign_extend(a, source.bits).unsigned_abs() } else { a };
                        to.round(soft::integer(negative, magnitude), mode)
                    })
                }
            }
            (false, true) => {
                let mode = self.integer_rounding(m)?;
                let Some(mode) = mode else {
                    return m.error("a float to integer conversion needs .rni, .rzi, .rmi or .rpi");
                };
                let from = format(source);
                one(move |a| extend(dest, width, to_integer(from, dest, mode, a & source.mask())))
            }
            (false, false) => integer_to_integer(dest, source, width, m.flag("sat")),
        };
        self.emit_compute(d, &[a], f);
        Ok(())
    }

    fn integer_rounding(&self, m: &mut Modifiers<'_>) -> Decoded<Option<Rounding>> {
        Ok(m.choice(&[
            ("rni", Rounding::Nearest),
            ("rzi", Rounding::Zero),
            ("rmi", Rounding::Down),
            ("rpi", Rounding::Up),
        ]))
    }

    fn float_to_float(
        &mut self,
        ins: &Instruction,
        m: &mut Modifiers<'_>,
        dest: Type,
        source: Type,
    ) -> Decoded<Compute> {
        let (to, from) = (format(dest), format(source));
        if to == from {
            return match (self.integer_rounding(m)?, to == F32) {
                (Some(mode), true) => Ok(one(move |a| integral(mode, a))),
                _ => m.error(format!("{:?} is not supported", ins.text)),
            };
        }
        if to.exponent_bits >= from.exponent_bits && to.fraction_bits >= from.fraction_bits {
            return Ok(match (to, from) {
                (F32, F16) => one(|a| f32_bits(half::f16_to_f32(a))),
                (F32, BF16) => one(|a| f32_bits(half::bf16_to_f32(a))),
                _ => one(move |a| to.round(from.unpack(a), Rounding::Nearest)),
            });
        }
        let mode = self.stated(ins, m)?;
        Ok(match (to, from, mode) {
            (F16, F32, Rounding::Nearest) => one(half::f16_from_f32),
            (BF16, F32, Rounding::Nearest) => one(half::bf16_from_f32),
            _ => one(move |a| to.round(from.unpack(a), mode)),
        })
    }
}

/// Extends a result of type `ty` to a register of `width` bits.
fn extend(ty: Type, width: u32, x: u64) -> u64 {
    if ty.signed() { sign_extend(x, ty.bits) as u64 & width_mask(width) } else { x }
}

fn integer_to_integer(dest: Type, source: Type, width: u32, saturate: bool) -> Compute {
    if !saturate {
        return one(move |a| {
            let a = a & source.mask();
            let wide = if source.signed() { sign_extend(a, source.bits) as u64 } else { a };
            extend(dest, width, wide & dest.mask())
        });
    }
    one(move |a| {
        let a = a & source.mask();
        let wide =
            if source.signed() { i128::from(sign_extend(a, source.bits)) } else { i128::from(a) };
        let top = i128::from(dest.mask() >> u32::from(dest.signed()));
        let clamped = wide.clamp(if dest.signed() { -top - 1 } else { 0 }, top);
        extend(dest, width, clamped as u64 & dest.mask())
    })
}
