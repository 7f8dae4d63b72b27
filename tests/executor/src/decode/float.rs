//! Floating-point arithmetic: binary32, half precision, bfloat16, their packed pairs, and mixed
//! precision.

use super::super::ast::Instruction;
use super::super::half::{self, f32_bits};
use super::super::lanes::{one, three, two};
use super::super::op::{Approximation, Compute, Op};
use super::super::soft::{self, BF16, F16, F32, Format, Rounding};
use super::decoder::{Decoded, Decoder};
use super::modifiers::Modifiers;

/// A float type of an instruction: a format, alone or packed in pairs.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Float {
    format: Format,
    bits: u32,
    pair: bool,
}

impl Float {
    fn from_name(name: &str) -> Option<Self> {
        let (format, bits, pair) = match name {
            "f32" => (F32, 32, false),
            "f32x2" => (F32, 32, true),
            "f16" => (F16, 16, false),
            "f16x2" => (F16, 16, true),
            "bf16" => (BF16, 16, false),
            "bf16x2" => (BF16, 16, true),
            _ => return None,
        };
        Some(Self { format, bits, pair })
    }

    fn width(self) -> u32 {
        if self.pair { 2 * self.bits } else { self.bits }
    }

    fn one(self, f: impl Fn(u64) -> u64 + Send + Sync + 'static) -> Compute {
        if !self.pair {
            return one(f);
        }
        match self.bits {
            16 => one(move |a| f(a & 0xffff) | f(a >> 16) << 16),
            _ => one(move |a| f(a & 0xffff_ffff) | f(a >> 32) << 32),
        }
    }

    fn two(self, f: impl Fn(u64, u64) -> u64 + Send + Sync + 'static) -> Compute {
        if !self.pair {
            return two(f);
        }
        match self.bits {
            16 => two(move |a, b| f(a & 0xffff, b & 0xffff) | f(a >> 16, b >> 16) << 16),
            _ => two(move |a, b| f(a & 0xffff_ffff, b & 0xffff_ffff) | f(a >> 32, b >> 32) << 32),
        }
    }

    fn three(self, f: impl Fn(u64, u64, u64) -> u64 + Send + Sync + 'static) -> Compute {
        if !self.pair {
            return three(f);
        }
        match self.bits {
            16 => three(move |a, b, c| {
                f(a & 0xffff, b & 0xffff, c & 0xffff) | f(a >> 16, b >> 16, c >> 16) << 16
            }),
            _ => three(move |a, b, c| {
                let low = f(a & 0xffff_ffff, b & 0xffff_ffff, c & 0xffff_ffff);
                low | f(a >> 32, b >> 32, c >> 32) << 32
            }),
        }
    }
}

pub(super) fn f32_of(bits: u64) -> f32 {
    f32::from_bits(bits as u32)
}

fn round_add(format: Format, mode: Rounding, a: u64, b: u64) -> u64 {
    format.round(soft::add(format.unpack(a), format.unpack(b), mode), mode)
}

fn round_mul(format: Format, mode: Rounding, a: u64, b: u64) -> u64 {
    format.round(soft::mul(format.unpack(a), format.unpack(b)), mode)
}

fn round_fma(format: Format, mode: Rounding, a: u64, b: u64, c: u64) -> u64 {
    let product = soft::mul(format.unpack(a), format.unpack(b));
    format.round(soft::add(product, format.unpack(c), mode), mode)
}

/// How `min` and `max` treat signs and NaN.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Extremum {
    max: bool,
    /// `.NaN`: NaN if either operand is; otherwise a NaN operand is ignored.
    propagate: bool,
    /// `.xorsign.abs`: of the magnitudes, with the exclusive or of the signs.
    xorsign: bool,
}

impl Extremum {
    #[inline(always)]
    fn apply(self, float: Float, a: u64, b: u64) -> u64 {
        let sign = 1 << (float.bits - 1);
        let infinity = ((1 << float.format.exponent_bits) - 1) << float.format.fraction_bits;
        let (magnitude_a, magnitude_b) = (a & !sign, b & !sign);
        let (nan_a, nan_b) = (magnitude_a > infinity, magnitude_b > infinity);
        let (x, y) = if self.xorsign { (magnitude_a, magnitude_b) } else { (a, b) };
        // Sign and magnitude in one order: −0 is below +0.
        let key = |x: u64| if x & sign == 0 { x as i64 } else { !((x & !sign) as i64) };
        let larger = if key(x) > key(y) { x } else { y };
        let smaller = if key(x) > key(y) { y } else { x };
        let ordered = if self.max { larger } else { smaller };
        let number = if nan_a { y } else { ordered };
        let number = if nan_b { x } else { number };
        let signed = if self.xorsign { number | (a ^ b) & sign } else { number };
        let nan = if self.propagate { nan_a | nan_b } else { nan_a & nan_b };
        if nan { float.format.nan } else { signed }
    }

    /// The function over lanes. The most used forms get loops of their own.
    fn compute(self, float: Float) -> Compute {
        const SCALAR: Float = Float { format: F32, bits: 32, pair: false };
        const HALF: Float = Float { format: F16, bits: 16, pair: true };
        const BRAIN: Float = Float { format: BF16, bits: 16, pair: true };
        const MAX: Extremum = Extremum { max: true, propagate: false, xorsign: false };
        const MIN: Extremum = Extremum { max: false, ..MAX };
        const SWEEP: Extremum = Extremum { xorsign: true, ..MAX };
        match (float, self) {
            (SCALAR, MAX) => float.two(|a, b| MAX.apply(SCALAR, a, b)),
            (SCALAR, MIN) => float.two(|a, b| MIN.apply(SCALAR, a, b)),
            (HALF, SWEEP) => float.two(|a, b| sweep(F16, a, b)),
            (BRAIN, SWEEP) => float.two(|a, b| sweep(BF16, a, b)),
            _ => float.two(move |a, b| self.apply(float, a, b)),
        }
    }
}

/// `max.xorsign.abs` of a half format, in few operations.
#[inline(always)]
fn sweep(format: Format, a: u64, b: u64) -> u64 {
    let infinity = ((1 << format.exponent_bits) - 1) << format.fraction_bits;
    let [x, y] = [a & 0x7fff, b & 0x7fff];
    let number = |magnitude| if magnitude > infinity { 0 } else { magnitude };
    let largest = number(x).max(number(y)) | (a ^ b) & 0x8000;
    if x > infinity && y > infinity { format.nan } else { largest }
}

impl Decoder<'_> {
    pub(super) fn float(&mut self, ins: &Instruction, m: &mut Modifiers<'_>) -> Decoded<()> {
        let name = m.last()?;
        if matches!(ins.opcode.as_str(), "add" | "sub" | "fma")
            && ins.modifiers.len() >= 2
            && ins.modifiers[ins.modifiers.len() - 2] == "f32"
        {
            return self.mixed(ins, m, name);
        }
        let Some(float) = Float::from_name(name) else {
            return m.error(format!("{} with .{name} is not supported", ins.opcode));
        };
        match ins.opcode.as_str() {
            "add" | "sub" | "mul" => self.arithmetic(ins, m, float),
            "fma" => self.fused(ins, m, float),
            "div" | "rcp" => self.quotient(ins, m, float),
            "min" | "max" => self.extremum(ins, m, float),
            "abs" => {
                let mask = !(1 << (float.bits - 1));
                let f = if name == "f32" {
                    one(|a| quiet(a & 0x7fff_ffff))
                } else {
                    float.one(move |a| a & mask)
                };
                self.uniform(ins, float.width(), f)
            }
            "neg" => {
                let sign = 1 << (float.bits - 1);
                let f = if name == "f32" {
                    one(|a| quiet(a ^ 0x8000_0000))
                } else {
                    float.one(move |a| a ^ sign)
                };
                self.uniform(ins, float.width(), f)
            }
            "copysign" if name == "f32" => {
                let f = two(|a, b| b & 0x7fff_ffff | a & 0x8000_0000);
                self.uniform(ins, 32, f)
            }
            "testp" if name == "f32" => self.classify(ins, m),
            other => m.error(format!("{other}.{name} is not supported")),
        }
    }

    /// The rounding of an instruction that may be contracted when it states none.
    fn stated_rounding(
        &self,
        ins: &Instruction,
        m: &mut Modifiers<'_>,
        float: Float,
    ) -> Decoded<Rounding> {
        match m.rounding() {
            Some(mode) if mode == Rounding::Nearest || float.format == F32 => Ok(mode),
            Some(_) => m.error("half precision rounds to nearest only"),
            None => m.error(format!(
                "{:?} states no rounding, so ptxas may fuse it with another: its result is undefined",
                ins.text
            )),
        }
    }

    fn arithmetic(
        &mut self,
        ins: &Instruction,
        m: &mut Modifiers<'_>,
        float: Float,
    ) -> Decoded<()> {
        let mode = self.stated_rounding(ins, m, float)?;
        let format = float.format;
        let sign = 1 << (float.bits - 1);
        let nearest = mode == Rounding::Nearest;
        let f = match (ins.opcode.as_str(), nearest, format) {
            ("add", true, F32) => float.two(|a, b| f32_bits(f32_of(a) + f32_of(b))),
            ("sub", true, F32) => float.two(|a, b| f32_bits(f32_of(a) - f32_of(b))),
            (_, true, F32) => float.two(|a, b| f32_bits(f32_of(a) * f32_of(b))),
            ("add", true, F16) => float.two(|a, b| half::add(F16, a, b)),
            ("sub", true, F16) => float.two(|a, b| half::add(F16, a, b ^ 0x8000)),
            (_, true, F16) => float.two(|a, b| half::mul(F16, a, b)),
            ("add", true, _) => float.two(|a, b| half::add(BF16, a, b)),
            ("sub", true, _) => float.two(|a, b| half::add(BF16, a, b ^ 0x8000)),
            (_, true, _) => float.two(|a, b| half::mul(BF16, a, b)),
            ("add", false, _) => float.two(move |a, b| round_add(format, mode, a, b)),
            ("sub", false, _) => float.two(move |a, b| round_add(format, mode, a, b ^ sign)),
            (_, false, _) => float.two(move |a, b| round_mul(format, mode, a, b)),
        };
        self.uniform(ins, float.width(), f)
    }

    fn fused(&mut self, ins: &Instruction, m: &mut Modifiers<'_>, float: Float) -> Decoded<()> {
        let mode = self.stated_rounding(ins, m, float)?;
        let format = float.format;
        let f = match (mode, format) {
            (Rounding::Nearest, F32) => {
                float.three(|a, b, c| f32_bits(half::fma_f32(f32_of(a), f32_of(b), f32_of(c))))
            }
            (Rounding::Nearest, F16) => float.three(|a, b, c| half::fma(F16, a, b, c)),
            (Rounding::Nearest, _) => float.three(|a, b, c| half::fma(BF16, a, b, c)),
            _ => float.three(move |a, b, c| round_fma(format, mode, a, b, c)),
        };
        self.uniform(ins, float.width(), f)
    }

    /// `add.rn.f32.f16 d, a, c` and friends: the half operand is widened exactly.
    fn mixed(&mut self, ins: &Instruction, m: &mut Modifiers<'_>, name: &str) -> Decoded<()> {
        let format = match name {
            "f16" => F16,
            "bf16" => BF16,
            _ => return m.error(format!("mixed precision with .{name} is not supported")),
        };
        m.last()?;
        let Some(mode) = m.rounding() else { return m.error("mixed precision without a rounding") };
        let fused = ins.opcode == "fma";
        self.operand_count(ins, if fused { 4 } else { 3 })?;
        let a = self.read(ins, 1, 16)?;
        let b = self.read(ins, 2, if fused { 16 } else { 32 })?;
        let d = self.write(ins, 0, 32)?;
        let sign = if ins.opcode == "sub" { 0x8000_0000 } else { 0 };
        if fused {
            let c = self.read(ins, 3, 32)?;
            let f = match (mode, format) {
                (Rounding::Nearest, F16) => three(|a, b, c| half::fma_mixed(F16, a, b, c)),
                (Rounding::Nearest, _) => three(|a, b, c| half::fma_mixed(BF16, a, b, c)),
                _ => three(move |a, b, c| {
                    let product = soft::mul(format.unpack(a), format.unpack(b));
                    F32.round(soft::add(product, F32.unpack(c), mode), mode)
                }),
            };
            self.emit_compute(d, &[a, b, c], f);
        } else {
            let f = match (mode, format) {
                (Rounding::Nearest, F16) => two(move |a, b| half::add_mixed(F16, a, b ^ sign)),
                (Rounding::Nearest, _) => two(move |a, b| half::add_mixed(BF16, a, b ^ sign)),
                _ => two(move |a, b| {
                    F32.round(soft::add(format.unpack(a), F32.unpack(b ^ sign), mode), mode)
                }),
            };
            self.emit_compute(d, &[a, b], f);
        }
        Ok(())
    }

    fn quotient(&mut self, ins: &Instruction, m: &mut Modifiers<'_>, float: Float) -> Decoded<()> {
        if float.format != F32 || float.pair {
            return m.error(format!("{} needs .f32", ins.opcode));
        }
        let reciprocal = ins.opcode == "rcp";
        self.operand_count(ins, if reciprocal { 2 } else { 3 })?;
        let a = if reciprocal { self.constant(0x3f80_0000) } else { self.read(ins, 1, 32)? };
        let b = self.read(ins, if reciprocal { 1 } else { 2 }, 32)?;
        let d = self.write(ins, 0, 32)?;
        if reciprocal && m.flag("approx") || !reciprocal && m.flag("full") {
            let flush = m.flag("ftz");
            let how = Approximation { ulps: if reciprocal { 1 } else { 2 }, flush };
            let f = two(move |a, b| {
                let keep = |x: f32| {
                    if flush && x.is_subnormal() { 0f32.copysign(x) } else { x }
                };
                f32_bits(keep(f32_of(a)) / keep(f32_of(b)))
            });
            self.emit(Op::Approximate { d, a, b, f, how });
            return Ok(());
        }
        let f = match m.rounding() {
            Some(Rounding::Nearest) => two(|a, b| f32_bits(f32_of(a) / f32_of(b))),
            Some(mode) => two(move |a, b| F32.round(soft::div(F32.unpack(a), F32.unpack(b)), mode)),
            None => return m.error(format!("{:?} states no rounding", ins.text)),
        };
        self.emit_compute(d, &[a, b], f);
        Ok(())
    }

    fn extremum(&mut self, ins: &Instruction, m: &mut Modifiers<'_>, float: Float) -> Decoded<()> {
        let how = Extremum {
            max: ins.opcode == "max",
            propagate: m.flag("NaN"),
            xorsign: m.flag("xorsign") && m.flag("abs"),
        };
        if float.format == F32 && float.pair {
            return m.error("min and max have no .f32x2 form");
        }
        if ins.operands.len() == 4 && float.format == F32 && !how.xorsign {
            let f = three(move |a, b, c| how.apply(float, how.apply(float, a, b), c));
            return self.uniform(ins, 32, f);
        }
        self.uniform(ins, float.width(), how.compute(float))
    }

    fn classify(&mut self, ins: &Instruction, m: &mut Modifiers<'_>) -> Decoded<()> {
        type Test = fn(f32) -> bool;
        let tests: [(&str, Test); 6] = [
            ("finite", |x| x.is_finite()),
            ("infinite", |x| x.is_infinite()),
            ("number", |x| !x.is_nan()),
            ("notanumber", |x| x.is_nan()),
            ("normal", |x| x.is_normal()),
            ("subnormal", |x| x.is_subnormal()),
        ];
        let test = m.require(&tests)?;
        self.operand_count(ins, 2)?;
        let a = self.read(ins, 1, 32)?;
        let d = self.write(ins, 0, 1)?;
        self.emit_compute(d, &[a], one(move |a| u64::from(test(f32_of(a)))));
        Ok(())
    }
}

/// What `abs.f32` and `neg.f32` make of a NaN on compute capability 9.0: the same one always. They are
/// additions to the machine.
fn quiet(bits: u64) -> u64 {
    if bits & 0x7fff_ffff > 0x7f80_0000 { F32.nan } else { bits }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sweeps_are_extrema() {
        let how = Extremum { max: true, propagate: false, xorsign: true };
        for (format, name) in [(F16, "f16"), (BF16, "bf16")] {
            let float = Float::from_name(name).unwrap();
            let infinity = ((1 << format.exponent_bits) - 1) << format.fraction_bits;
            let ends = [0, 1, infinity - 1, infinity, infinity + 1, 0x7fff];
            for a in 0..=0xffff {
                for magnitude in ends.into_iter().chain([a & 0x7fff, (a + 1) & 0x7fff]) {
                    for b in [magnitude, magnitude | 0x8000] {
                        assert_eq!(sweep(format, a, b), how.apply(float, a, b), "{a:#x} {b:#x}");
                        assert_eq!(sweep(format, b, a), how.apply(float, b, a), "{b:#x} {a:#x}");
                    }
                }
            }
        }
    }
}
