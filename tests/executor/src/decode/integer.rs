//! Integer arithmetic.

use super::super::ast::{Instruction, Type};
use super::super::lanes::{one, two};
use super::super::op::{Compute, Op};
use super::decoder::{Decoded, Decoder};
use super::modifiers::Modifiers;

/// The value of the low `bits` bits as a signed number.
pub(super) const fn sign_extend(x: u64, bits: u32) -> i64 {
    let shift = 64 - bits;
    ((x << shift) as i64) >> shift
}

/// Which part of a product is kept.
#[derive(Clone, Copy)]
enum Part {
    Low,
    High,
    Wide,
}

const PARTS: [(&str, Part); 3] = [("lo", Part::Low), ("hi", Part::High), ("wide", Part::Wide)];

/// The part of `a·b`, before it is cut to the result's width.
fn product(ty: Type, part: Part) -> Compute {
    let bits = ty.bits;
    let shift = if matches!(part, Part::High) { bits } else { 0 };
    let mask = if matches!(part, Part::Wide) { Type { bits: 2 * bits, ..ty } } else { ty }.mask();
    match (ty.signed(), bits) {
        (_, 16 | 32) if shift == 0 && !ty.signed() => two(move |a, b| a.wrapping_mul(b) & mask),
        (true, 16 | 32) => two(move |a, b| {
            let p = sign_extend(a, bits).wrapping_mul(sign_extend(b, bits));
            (p >> shift) as u64 & mask
        }),
        (false, 16 | 32) => two(move |a, b| a.wrapping_mul(b) >> shift & mask),
        (true, _) => two(move |a, b| {
            let p = i128::from(a as i64) * i128::from(b as i64);
            (p >> shift) as u64
        }),
        (false, _) => two(move |a, b| ((u128::from(a) * u128::from(b)) >> shift) as u64),
    }
}

impl Decoder<'_> {
    pub(super) fn integer(&mut self, ins: &Instruction, m: &mut Modifiers<'_>) -> Decoded<()> {
        let ty = m.ty()?;
        if ty.float() || !matches!(ty.bits, 16 | 32 | 64) {
            return m.error(format!("{} does not take this type", ins.opcode));
        }
        let (bits, mask) = (ty.bits, ty.mask());
        let f = match (ins.opcode.as_str(), ty.signed()) {
            ("add", _) if m.flag("sat") => return m.error("add.sat is not supported"),
            ("add", _) => two(move |a, b| a.wrapping_add(b) & mask),
            ("sub", _) => two(move |a, b| a.wrapping_sub(b) & mask),
            ("min", false) => two(|a, b| a.min(b)),
            ("max", false) => two(|a, b| a.max(b)),
            ("min", true) => {
                two(move |a, b| if sign_extend(a, bits) < sign_extend(b, bits) { a } else { b })
            }
            ("max", true) => {
                two(move |a, b| if sign_extend(a, bits) > sign_extend(b, bits) { a } else { b })
            }
            ("abs", true) => one(move |a| sign_extend(a, bits).wrapping_abs() as u64 & mask),
            ("neg", true) => one(move |a| a.wrapping_neg() & mask),
            ("mul", _) => return self.product(ins, m, ty),
            ("mad", _) => return self.multiply_add(ins, m, ty),
            ("div" | "rem", _) => return self.divide(ins, ty),
            (other, _) => return m.error(format!("{other} does not take this type")),
        };
        self.uniform(ins, bits, f)
    }

    fn product(&mut self, ins: &Instruction, m: &mut Modifiers<'_>, ty: Type) -> Decoded<()> {
        let part = m.require(&PARTS)?;
        let wide = matches!(part, Part::Wide);
        if wide && ty.bits == 64 {
            return m.error("mul.wide needs 16 or 32 bits");
        }
        self.operand_count(ins, 3)?;
        let a = self.read(ins, 1, ty.bits)?;
        let b = self.read(ins, 2, ty.bits)?;
        let d = self.write(ins, 0, if wide { 2 * ty.bits } else { ty.bits })?;
        self.emit_compute(d, &[a, b], product(ty, part));
        Ok(())
    }

    fn multiply_add(&mut self, ins: &Instruction, m: &mut Modifiers<'_>, ty: Type) -> Decoded<()> {
        let part = m.require(&PARTS)?;
        let wide = matches!(part, Part::Wide);
        if wide && ty.bits == 64 {
            return m.error("mad.wide needs 16 or 32 bits");
        }
        let bits = if wide { 2 * ty.bits } else { ty.bits };
        let mask = Type { bits, ..ty }.mask();
        self.operand_count(ins, 4)?;
        let a = self.read(ins, 1, ty.bits)?;
        let b = self.read(ins, 2, ty.bits)?;
        let c = self.read(ins, 3, bits)?;
        let d = self.write(ins, 0, bits)?;
        let Compute::Two(times) = product(ty, part) else {
            unreachable!("a product has two operands")
        };
        let f = Compute::Three(Box::new(move |out, a, b, c| {
            times(out, a, b);
            for (x, c) in out.iter_mut().zip(c) {
                *x = x.wrapping_add(*c) & mask;
            }
        }));
        self.emit_compute(d, &[a, b, c], f);
        Ok(())
    }

    fn divide(&mut self, ins: &Instruction, ty: Type) -> Decoded<()> {
        self.operand_count(ins, 3)?;
        let (bits, mask) = (ty.bits, ty.mask());
        let a = self.read(ins, 1, bits)?;
        let b = self.read(ins, 2, bits)?;
        let d = self.write(ins, 0, bits)?;
        // Lanes that do not take part may hold a zero divisor: they get one.
        let f = match (ins.opcode == "div", ty.signed()) {
            (true, false) => two(|a, b| a / b.max(1)),
            (false, false) => two(|a, b| a % b.max(1)),
            (true, true) => two(move |a, b| {
                let b = if b == 0 { 1 } else { sign_extend(b, bits) };
                sign_extend(a, bits).wrapping_div(b) as u64 & mask
            }),
            (false, true) => two(move |a, b| {
                let b = if b == 0 { 1 } else { sign_extend(b, bits) };
                sign_extend(a, bits).wrapping_rem(b) as u64 & mask
            }),
        };
        self.emit(Op::Divide { d, a, b, f });
        Ok(())
    }
}
