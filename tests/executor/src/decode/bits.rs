//! Logic, shifts and bit fields.

use super::super::ast::{Instruction, Kind, Operand, Type, width_mask};
use super::super::lanes::{one, three, two};
use super::super::op::Compute;
use super::decoder::{Decoded, Decoder};
use super::integer::sign_extend;
use super::modifiers::Modifiers;

/// `prmt.b32` in its default mode: four bytes picked out of `b:a`, or their signs spread.
fn permute(a: u64, b: u64, selector: u64) -> u64 {
    let bytes = b << 32 | a;
    let mut out = 0;
    for i in 0..4 {
        let pick = selector >> (4 * i);
        let byte = bytes >> (8 * (pick & 7)) & 0xff;
        let signs = (byte >> 7) * 0xff;
        out |= if pick & 8 == 0 { byte } else { signs } << (8 * i);
    }
    out
}

/// `lop3.b32`: bit `4a+2b+c` of the table, for every bit. `rows` are the table's bits, each as a word of it.
fn lop3(rows: [u64; 8], a: u64, b: u64, c: u64) -> u64 {
    let pick = |bit: u64, [no, yes]: [u64; 2]| no ^ bit & (no ^ yes);
    let by_c = |row: usize| pick(c, [rows[row], rows[row + 1]]);
    pick(a, [pick(b, [by_c(0), by_c(2)]), pick(b, [by_c(4), by_c(6)])])
}

/// `bfe`: the field of `len` bits at `pos`, extended with its sign where the type is signed. Above the
/// operand's own bits lie zeros or copies of its sign.
fn extract(ty: Type, a: u64, pos: u64, len: u64) -> u64 {
    let (pos, len) = ((pos & 0xff) as u32, (len & 0xff) as u32);
    let shifted = if ty.signed() {
        (sign_extend(a, ty.bits) >> pos.min(63)) as u64
    } else {
        a.checked_shr(pos).unwrap_or(0)
    };
    let field = match len {
        0 => 0,
        64.. => shifted,
        _ if ty.signed() => sign_extend(shifted, len) as u64,
        _ => shifted & width_mask(len),
    };
    field & ty.mask()
}

/// `bfi`: `b` with the low `len` bits of `a` at `pos`; `field` is `pos | len << 8`.
fn insert(bits: u32, a: u64, b: u64, field: u64) -> u64 {
    let (pos, len, msb) = (field & 0xff, field >> 8, u64::from(bits) - 1);
    let mut out = b;
    for i in 0..len.min(msb + 1) {
        if pos + i <= msb {
            out = out & !(1 << (pos + i)) | (a >> i & 1) << (pos + i);
        }
    }
    out
}

impl Decoder<'_> {
    pub(super) fn bits(&mut self, ins: &Instruction, m: &mut Modifiers<'_>) -> Decoded<()> {
        let ty = m.ty()?;
        let (bits, mask) = (ty.bits, ty.mask());
        let untyped = matches!(ty.kind, Kind::Bits | Kind::Pred);
        let only32 = ty.kind == Kind::Bits && bits == 32;
        let f = match ins.opcode.as_str() {
            "and" if untyped => two(|a, b| a & b),
            "or" if untyped => two(|a, b| a | b),
            "xor" if untyped => two(|a, b| a ^ b),
            "not" if untyped => one(move |a| !a & mask),
            "cnot" if ty.kind == Kind::Bits => one(|a| u64::from(a == 0)),
            "shl" | "shr" if !ty.float() && bits >= 16 => return self.shift(ins, ty),
            "shf" if only32 => return self.funnel(ins, m),
            "lop3" if only32 => return self.lop3(ins),
            "prmt" if only32 => three(permute),
            "bfe" if matches!(ty.kind, Kind::Unsigned | Kind::Signed) => {
                return self.extract(ins, ty);
            }
            "bfi" if ty.kind == Kind::Bits => return self.insert(ins, bits),
            "brev" if ty.kind == Kind::Bits => one(move |a| a.reverse_bits() >> (64 - bits)),
            "popc" if ty.kind == Kind::Bits => {
                return self.count(ins, bits, one(|a| u64::from(a.count_ones())));
            }
            "clz" if ty.kind == Kind::Bits => {
                let f = one(move |a| u64::from(a.leading_zeros() - (64 - bits)));
                return self.count(ins, bits, f);
            }
            "bfind" if !ty.float() => return self.find(ins, m, ty),
            other => return m.error(format!("{other} does not take this type")),
        };
        self.uniform(ins, bits, f)
    }

    /// Shift counts are 32 bits wide and saturate at the width.
    fn shift(&mut self, ins: &Instruction, ty: Type) -> Decoded<()> {
        self.operand_count(ins, 3)?;
        let (bits, mask) = (ty.bits, ty.mask());
        let a = self.read(ins, 1, bits)?;
        let b = self.read(ins, 2, 32)?;
        let d = self.write(ins, 0, bits)?;
        let f = match (ins.opcode == "shl", ty.signed()) {
            (true, _) => two(move |a, b| if b < u64::from(bits) { a << b & mask } else { 0 }),
            (false, false) => two(move |a, b| if b < u64::from(bits) { a >> b } else { 0 }),
            (false, true) => two(move |a, b| (sign_extend(a, bits) >> b.min(63)) as u64 & mask),
        };
        self.emit_compute(d, &[a, b], f);
        Ok(())
    }

    fn funnel(&mut self, ins: &Instruction, m: &mut Modifiers<'_>) -> Decoded<()> {
        let left = m.require(&[("l", true), ("r", false)])?;
        let clamp = m.require(&[("clamp", true), ("wrap", false)])?;
        let f = three(move |a, b, c| {
            let count = if clamp { c.min(32) } else { c & 31 };
            let both = b << 32 | a;
            let shifted = if left { both << count >> 32 } else { both >> count };
            shifted & 0xffff_ffff
        });
        self.uniform(ins, 32, f)
    }

    fn lop3(&mut self, ins: &Instruction) -> Decoded<()> {
        self.operand_count(ins, 5)?;
        let Operand::Integer(table) = *self.at(ins, 4)? else {
            return self.fail(ins, "the table of lop3 is not a constant");
        };
        let a = self.read(ins, 1, 32)?;
        let b = self.read(ins, 2, 32)?;
        let c = self.read(ins, 3, 32)?;
        let d = self.write(ins, 0, 32)?;
        let rows = std::array::from_fn(|row| if table >> row & 1 == 1 { 0xffff_ffff } else { 0 });
        self.emit_compute(d, &[a, b, c], three(move |a, b, c| lop3(rows, a, b, c)));
        Ok(())
    }

    fn extract(&mut self, ins: &Instruction, ty: Type) -> Decoded<()> {
        self.operand_count(ins, 4)?;
        let a = self.read(ins, 1, ty.bits)?;
        let pos = self.read(ins, 2, 32)?;
        let len = self.read(ins, 3, 32)?;
        let d = self.write(ins, 0, ty.bits)?;
        self.emit_compute(d, &[a, pos, len], three(move |a, p, l| extract(ty, a, p, l)));
        Ok(())
    }

    fn insert(&mut self, ins: &Instruction, bits: u32) -> Decoded<()> {
        self.operand_count(ins, 5)?;
        let a = self.read(ins, 1, bits)?;
        let b = self.read(ins, 2, bits)?;
        let pos = self.read(ins, 3, 32)?;
        let len = self.read(ins, 4, 32)?;
        let d = self.write(ins, 0, bits)?;
        let field = self.new_slot();
        let join = two(|pos, len| pos & 0xff | (len & 0xff) << 8);
        self.emit_compute(field, &[pos, len], join);
        self.emit_compute(d, &[a, b, field], three(move |a, b, f| insert(bits, a, b, f)));
        Ok(())
    }

    /// `d` is 32 bits wide whatever the operand's width.
    fn count(&mut self, ins: &Instruction, bits: u32, f: Compute) -> Decoded<()> {
        self.operand_count(ins, 2)?;
        let a = self.read(ins, 1, bits)?;
        let d = self.write(ins, 0, 32)?;
        self.emit_compute(d, &[a], f);
        Ok(())
    }

    fn find(&mut self, ins: &Instruction, m: &mut Modifiers<'_>, ty: Type) -> Decoded<()> {
        let shift_amount = m.flag("shiftamt");
        let (bits, mask, signed) = (ty.bits, ty.mask(), ty.signed());
        let f = one(move |a| {
            let a = if signed && sign_extend(a, bits) < 0 { !a & mask } else { a };
            match a.checked_ilog2() {
                None => 0xffff_ffff,
                Some(top) if shift_amount => u64::from(bits - 1 - top),
                Some(top) => u64::from(top),
            }
        });
        self.count(ins, bits, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `bfe` as the manual's pseudocode has it, bit by bit.
    fn manual(ty: Type, a: u64, pos: u64, len: u64) -> u64 {
        let msb = u64::from(ty.bits) - 1;
        let sign = ty.signed() && len != 0 && a >> (pos + len - 1).min(msb) & 1 == 1;
        (0..=msb).fold(0, |out, i| {
            let inside = i < len && pos + i <= msb;
            let bit = if inside { a >> (pos + i) & 1 == 1 } else { sign };
            out | u64::from(bit) << i
        })
    }

    #[test]
    fn bit_fields_follow_the_manual() {
        for ty in ["u32", "s32", "u64", "s64"].map(|name| Type::from_name(name).unwrap()) {
            for a in [0, 1, 0x8000_0000, 0x1234_5678_9abc_def0, u64::MAX, 0x8765_4321, 1 << 63] {
                for (pos, len) in (0..=255).flat_map(|pos| (0..=255).map(move |len| (pos, len))) {
                    let a = a & ty.mask();
                    let (ours, theirs) = (extract(ty, a, pos, len), manual(ty, a, pos, len));
                    assert_eq!(ours, theirs, "bfe {a:#x} {pos} {len} {ty:?}");
                }
            }
        }
    }

    #[test]
    fn logic_follows_its_table() {
        let words = [0, 0xffff_ffff, 0x1234_5678, 0x9abc_def0, 0x0f0f_3355];
        for table in 0..256u64 {
            let rows =
                std::array::from_fn(|row| if table >> row & 1 == 1 { 0xffff_ffff } else { 0 });
            for [a, b, c] in words.into_iter().flat_map(|a| {
                words.into_iter().flat_map(move |b| words.into_iter().map(move |c| [a, b, c]))
            }) {
                let bit = |i: u32| {
                    let [a, b, c] = [a, b, c].map(|x: u64| x >> i & 1);
                    (table >> (4 * a + 2 * b + c) & 1) << i
                };
                assert_eq!(lop3(rows, a, b, c), (0..32).map(bit).sum(), "{table:#x}");
            }
        }
    }

    #[test]
    fn permutations_pick_bytes() {
        let (a, b) = (0x83_02_81_00, 0x07_86_05_84);
        let bytes = [0x00, 0x81, 0x02, 0x83, 0x84, 0x05, 0x86, 0x07u64];
        for selector in 0..=0xffff {
            let byte = |i: u32| {
                let pick = selector >> (4 * i) & 15;
                let byte = bytes[pick as usize & 7];
                (if pick < 8 { byte } else { byte / 0x80 * 0xff }) << (8 * i)
            };
            assert_eq!(permute(a, b, selector), (0..4).map(byte).sum(), "{selector:#x}");
        }
    }
}
