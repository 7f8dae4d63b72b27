//! Comparisons and selections.

use super::super::ast::{Instruction, Kind, Operand, Type};
use super::super::lanes::{one, three, two};
use super::super::op::{Compute, Op, Slot};
use super::super::soft::{BF16, F16, F32, F64, Format};
use super::decoder::{Decoded, Decoder};
use super::float::f32_of;
use super::integer::sign_extend;
use super::modifiers::Modifiers;

/// A comparison: what it gives for each order, and for unordered operands.
#[derive(Clone, Copy)]
struct Comparison {
    less: bool,
    equal: bool,
    greater: bool,
    unordered: bool,
    /// May be applied to integers: signed or unsigned by type, unsigned always, or not.
    integer: Integer,
}

#[derive(Clone, Copy, PartialEq)]
enum Integer {
    ByType,
    Unsigned,
    No,
}

const fn comparison(orders: [bool; 4], integer: Integer) -> Comparison {
    let [less, equal, greater, unordered] = orders;
    Comparison { less, equal, greater, unordered, integer }
}

const T: bool = true;
const F: bool = false;

const COMPARISONS: [(&str, Comparison); 18] = [
    ("eq", comparison([F, T, F, F], Integer::ByType)),
    ("ne", comparison([T, F, T, F], Integer::ByType)),
    ("lt", comparison([T, F, F, F], Integer::ByType)),
    ("le", comparison([T, T, F, F], Integer::ByType)),
    ("gt", comparison([F, F, T, F], Integer::ByType)),
    ("ge", comparison([F, T, T, F], Integer::ByType)),
    ("lo", comparison([T, F, F, F], Integer::Unsigned)),
    ("ls", comparison([T, T, F, F], Integer::Unsigned)),
    ("hi", comparison([F, F, T, F], Integer::Unsigned)),
    ("hs", comparison([F, T, T, F], Integer::Unsigned)),
    ("equ", comparison([F, T, F, T], Integer::No)),
    ("neu", comparison([T, F, T, T], Integer::No)),
    ("ltu", comparison([T, F, F, T], Integer::No)),
    ("leu", comparison([T, T, F, T], Integer::No)),
    ("gtu", comparison([F, F, T, T], Integer::No)),
    ("geu", comparison([F, T, T, T], Integer::No)),
    ("num", comparison([T, T, T, F], Integer::No)),
    ("nan", comparison([F, F, F, T], Integer::No)),
];

/// A float's place in the order of its format; the zeros are one place.
#[inline(always)]
fn place(format: Format, x: u64) -> i64 {
    let sign = 1 << (format.exponent_bits + format.fraction_bits);
    let magnitude = (x & !sign) as i64;
    if x & sign == 0 { magnitude } else { -magnitude }
}

#[inline(always)]
fn is_nan(format: Format, x: u64) -> bool {
    let sign = 1 << (format.exponent_bits + format.fraction_bits);
    let infinity = ((1 << format.exponent_bits) - 1) << format.fraction_bits;
    x & !sign > infinity
}

impl Comparison {
    #[inline(always)]
    fn of<T: PartialOrd>(self, a: T, b: T, nan: bool) -> u64 {
        let ordered = self.less & (a < b) | self.equal & (a == b) | self.greater & (a > b);
        u64::from(ordered & !nan | self.unordered & nan)
    }

    fn on_floats(self, format: Format) -> Compute {
        if format == F32 {
            return two(move |a, b| {
                let [a, b] = [a, b].map(f32_of);
                self.of(a, b, a.is_nan() | b.is_nan())
            });
        }
        two(move |a, b| {
            let nan = is_nan(format, a) | is_nan(format, b);
            self.of(place(format, a), place(format, b), nan)
        })
    }

    fn on(self, ty: Type) -> Option<Compute> {
        let bits = ty.bits;
        if ty.float() {
            return Some(self.on_floats(match (ty.kind, bits) {
                (Kind::Brain, _) => BF16,
                (_, 16) => F16,
                (_, 32) => F32,
                _ => F64,
            }));
        }
        match self.integer {
            Integer::No => None,
            Integer::ByType if ty.signed() => {
                Some(two(move |a, b| self.of(sign_extend(a, bits), sign_extend(b, bits), false)))
            }
            _ => Some(two(move |a, b| self.of(a, b, false))),
        }
    }
}

impl Decoder<'_> {
    pub(super) fn compare(&mut self, ins: &Instruction, m: &mut Modifiers<'_>) -> Decoded<()> {
        match ins.opcode.as_str() {
            "setp" => self.set_predicate(ins, m),
            "set" => self.set(ins, m),
            "selp" => {
                let ty = m.ty()?;
                self.operand_count(ins, 4)?;
                let a = self.read(ins, 1, ty.bits)?;
                let b = self.read(ins, 2, ty.bits)?;
                let p = self.read(ins, 3, 1)?;
                let d = self.write(ins, 0, ty.bits)?;
                self.emit(Op::Select { d, a, b, p });
                Ok(())
            }
            _ => {
                let condition = m.require(&[("s32", false), ("f32", true)])?;
                let ty = m.ty()?;
                self.operand_count(ins, 4)?;
                let a = self.read(ins, 1, ty.bits)?;
                let b = self.read(ins, 2, ty.bits)?;
                let c = self.read(ins, 3, 32)?;
                let d = self.write(ins, 0, ty.bits)?;
                let f = if condition {
                    three(|a, b, c| if f32::from_bits(c as u32) >= 0.0 { a } else { b })
                } else {
                    three(|a, b, c| if sign_extend(c, 32) >= 0 { a } else { b })
                };
                self.emit_compute(d, &[a, b, c], f);
                Ok(())
            }
        }
    }

    /// The comparison, whose result goes to the predicate `result`.
    fn compared(
        &mut self,
        ins: &Instruction,
        m: &mut Modifiers<'_>,
        ty: Type,
        result: Slot,
    ) -> Decoded<()> {
        let how = m.require(&COMPARISONS)?;
        let Some(f) = how.on(ty) else {
            return m.error(format!("{:?} compares integers as floats", ins.text));
        };
        let a = self.read(ins, 1, ty.bits)?;
        let b = self.read(ins, 2, ty.bits)?;
        self.emit_compute(result, &[a, b], f);
        Ok(())
    }

    fn set_predicate(&mut self, ins: &Instruction, m: &mut Modifiers<'_>) -> Decoded<()> {
        let ty = m.ty()?;
        let combine = m.choice(&[("and", 0), ("or", 1), ("xor", 2)]);
        self.operand_count(ins, if combine.is_some() { 4 } else { 3 })?;
        let (p, q) = match self.at(ins, 0)?.clone() {
            Operand::Pair(p, q) => (*p, Some(*q)),
            p => (p, None),
        };
        let p = self.target(ins, &p, 1, false)?;
        let q = match q {
            Some(q) => Some(self.target(ins, &q, 1, false)?),
            None => None,
        };
        if combine.is_none() && q.is_none() {
            return self.compared(ins, m, ty, p);
        }
        let result = self.new_slot();
        self.compared(ins, m, ty, result)?;
        let with = match combine {
            Some(_) => Some(self.predicate(ins, 3)?),
            None => None,
        };
        // `q` is written first, from the opposite comparison: `p` may be the operand combined with.
        if let Some(q) = q {
            let scratch = self.new_slot();
            self.combined(scratch, result, true, combine, with);
            self.combined(p, result, false, combine, with);
            self.emit_compute(q, &[scratch], one(|a| a));
        } else {
            self.combined(p, result, false, combine, with);
        }
        Ok(())
    }

    fn combined(
        &mut self,
        d: Slot,
        result: Slot,
        opposite: bool,
        combine: Option<u8>,
        with: Option<(Slot, bool)>,
    ) {
        let flip = u64::from(opposite);
        let (Some(op), Some((with, negated))) = (combine, with) else {
            return self.emit_compute(d, &[result], one(move |a| a ^ flip));
        };
        let not = u64::from(negated);
        let f = match op {
            0 => two(move |a, c| (a ^ flip) & (c ^ not)),
            1 => two(move |a, c| (a ^ flip) | (c ^ not)),
            _ => two(move |a, c| (a ^ flip) ^ (c ^ not)),
        };
        self.emit_compute(d, &[result, with], f);
    }

    /// `set.cmp.dtype.stype`: all ones (or 1.0) for true.
    fn set(&mut self, ins: &Instruction, m: &mut Modifiers<'_>) -> Decoded<()> {
        let source = m.ty()?;
        let dest = m.ty()?;
        self.operand_count(ins, 3)?;
        if dest.bits != 32 {
            return m.error("set gives 32 bits");
        }
        let yes = if dest.float() { 0x3f80_0000 } else { 0xffff_ffff };
        let result = self.new_slot();
        self.compared(ins, m, source, result)?;
        let d = self.write(ins, 0, 32)?;
        self.emit_compute(d, &[result], one(move |a| if a != 0 { yes } else { 0 }));
        Ok(())
    }
}
