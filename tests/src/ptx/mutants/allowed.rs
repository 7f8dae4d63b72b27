//! The mutants that no case can notice, by what was changed: each with its proof.

/// A changed instruction, taken apart.
struct Change {
    /// Opcodes with modifiers.
    opcodes: [String; 2],
    operands: [Vec<String>; 2],
}

/// Why the kernel with `to` in place of `from` gives the same bits, where the two lines alone show it.
pub(super) fn reason(from: &str, to: &str) -> Option<&'static str> {
    let change = Change::of(from, to);
    if change.exchanges(&["mul.", "mad.", "fma."]) {
        return Some("multiplication commutes");
    }
    if change.exchanges(&["setp.eq.", "setp.ne.", "setp.equ.", "setp.neu."]) {
        return Some("equality commutes");
    }
    if change.exchanges(&["and.", "or.", "xor.", "add.", "max.", "min."]) {
        return Some("the operation commutes");
    }
    if change.makes_magnitudes_nan() {
        return Some("a magnitude becomes NaN, which sends every block to the exact path");
    }
    if change.moves_the_proven_range() {
        return Some(
            "the hot loop is used for an S_dec a little more or less, within those for which it is proven",
        );
    }
    if change.moves_the_e4m3_threshold() {
        return Some("at the smallest normal number both ways of encoding an E4M3 give its byte");
    }
    None
}

impl Change {
    fn of(from: &str, to: &str) -> Self {
        let parts = |code: &str| {
            let code = code.trim().trim_end_matches(';').replace('\t', " ");
            let (opcode, operands) = code.split_once(' ').unwrap_or((&code, ""));
            let operands = operands.split(',').map(|operand| operand.trim().to_owned()).collect();
            (opcode.to_owned(), operands)
        };
        let ((from, operands_from), (to, operands_to)) = (parts(from), parts(to));
        Self { opcodes: [from, to], operands: [operands_from, operands_to] }
    }

    /// Whether the opcode stayed one of these.
    fn stays(&self, opcodes: &[&str]) -> bool {
        let [from, to] = &self.opcodes;
        from == to && opcodes.iter().any(|opcode| from.starts_with(opcode))
    }

    /// Whether the first two sources of one of these opcodes changed places.
    fn exchanges(&self, opcodes: &[&str]) -> bool {
        let [mut from, to] = self.operands.clone();
        if from.len() < 3 {
            return false;
        }
        from.swap(1, 2);
        self.stays(opcodes) && from == to
    }

    /// The last operands, if they are numbers and nothing before them changed.
    fn constants(&self) -> Option<[i64; 2]> {
        let [(from, before), (to, after)] =
            [self.operands[0].split_last()?, self.operands[1].split_last()?];
        let number = |operand: &str| match operand.strip_prefix("0f") {
            Some(hex) => i64::from_str_radix(hex, 16).ok(),
            None => operand.parse().ok(),
        };
        (before == after).then_some([number(from)?, number(to)?])
    }

    /// Whether the mask of a magnitude takes the place of the number: all exponent bits are set. With
    /// `or` they are, too.
    fn makes_magnitudes_nan(&self) -> bool {
        let Some((mask, _)) = self.operands[0].split_last() else { return false };
        let of_magnitudes = ["2147483647", "2147450879", "2147418112"].contains(&mask.as_str());
        let sources = self.operands[1].get(1..).unwrap_or_default();
        let masked = self.opcodes[1] == "and.b32" && sources.iter().all(|source| source == mask);
        let or = self.opcodes[1] == "or.b32" && self.operands[0] == self.operands[1];
        of_magnitudes && self.opcodes[0] == "and.b32" && (masked || or)
    }

    /// Whether one end of the S_dec for which the hot loop is used moved, and not beyond 2⁻⁵⁴ and 2⁵²:
    /// as far as its sums stay in the normal range (`docs/certified-decision.md`).
    fn moves_the_proven_range(&self) -> bool {
        let two_to = |exponent: i32| i64::from(2f32.powi(exponent).to_bits());
        let infinity = i64::from(f32::INFINITY.to_bits());
        match self.constants() {
            Some([from, to]) if self.stays(&["setp.ltu.f32"]) => {
                from == two_to(-50) && (two_to(-54)..infinity).contains(&to)
            }
            Some([from, to]) if self.stays(&["setp.gtu.f32"]) => {
                from == two_to(50) && (0..=two_to(52)).contains(&to)
            }
            _ => false,
        }
    }

    /// Whether the comparison with 2⁻⁶, where E4M3 becomes subnormal, got the case of equality.
    fn moves_the_e4m3_threshold(&self) -> bool {
        let [from, to] = self.opcodes.each_ref().map(String::as_str);
        let threshold = self.operands[0].last().is_some_and(|last| last == "0f3C800000");
        threshold
            && self.operands[0] == self.operands[1]
            && [from, to] == ["setp.lt.f32", "setp.le.f32"]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_allowed_and_what_is_not() {
        let allowed = [
            ("fma.rn.f32 %r1, %r2, %r3, %r4;", "fma.rn.f32 %r1, %r3, %r2, %r4;"),
            ("setp.ne.b64 %p17, %rd87, 0;", "setp.ne.b64 %p17, 0, %rd87;"),
            ("and.b32 %r76, %r69, 2147450879;", "or.b32 %r76, %r69, 2147450879;"),
            ("and.b32 %r720, %r696, 2147483647;", "and.b32 %r720, 2147483647, 2147483647;"),
            ("setp.lt.f32 %p1, %r1, 0f3C800000;", "setp.le.f32 %p1, %r1, 0f3C800000;"),
            ("setp.ltu.f32 %p1, %r1, 0f26800000;", "setp.ltu.f32 %p1, %r1, 0f26800001;"),
        ];
        for (from, to) in allowed {
            assert!(reason(from, to).is_some(), "{from} {to}");
        }
        let not = [
            ("sub.rn.f32 %r1, %r2, %r3;", "sub.rn.f32 %r1, %r3, %r2;"),
            ("fma.rn.f32 %r1, %r2, %r3, %r4;", "fma.rn.f32 %r1, %r2, %r4, %r3;"),
            ("fma.rn.f32 %r1, %r2, %r3, %r4;", "fma.rz.f32 %r1, %r2, %r3, %r4;"),
            ("and.b32 %r1, %r2, 1;", "or.b32 %r1, %r2, 1;"),
            ("setp.ltu.f32 %p1, %r1, 0f26800000;", "setp.ltu.f32 %p1, %r1, 0f00000001;"),
        ];
        for (from, to) in not {
            assert_eq!(reason(from, to), None, "{from} {to}");
        }
    }
}
