//! The executor's arithmetic against the host's IEEE operations, and its conversions against the
//! reference crate: three independent statements of the same functions.

use fouroversix_ptx_executor::narrow;
use fouroversix_ptx_executor::soft::{self, BF16, F16, F32, F64, Rounding};
use fouroversix_reference::{Bf16, E2m1, E4m3, Fp16};

/// A small generator with a fixed seed (xorshift64*).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// An `f32` of any kind: any bits, an edge, or an exponent near `around`'s.
    fn f32_bits(&mut self, around: u32) -> u32 {
        const EDGES: [u32; 12] = [
            0,
            1,
            0x7f_ffff,
            0x80_0000,
            0x3f7f_ffff,
            0x3f80_0000,
            0x3f80_0001,
            0x4b00_0000,
            0x7f7f_ffff,
            0x7f80_0000,
            0x7fc0_0000,
            0x3400_0000,
        ];
        let r = self.next();
        let sign = (r as u32 & 1) << 31;
        match r >> 1 & 3 {
            0 => (r >> 32) as u32,
            1 => EDGES[(r >> 8) as usize % EDGES.len()] | sign,
            _ => {
                let shift = ((r >> 8) % 60) as i32 - 30;
                let exponent = ((around >> 23 & 0xff) as i32 + shift).clamp(0, 254) as u32;
                (r >> 40) as u32 & 0x7f_ffff | exponent << 23 | sign
            }
        }
    }
}

fn same(soft: u64, host: f32) -> bool {
    soft as u32 == host.to_bits() || host.is_nan() && soft == F32.nan
}

#[test]
fn f32_operations_equal_the_hosts() {
    let mut random = Random(4);
    for _ in 0..2_000_000 {
        let a = random.f32_bits(0x3f80_0000);
        let b = random.f32_bits(a);
        let c = random.f32_bits((f32::from_bits(a) * f32::from_bits(b)).to_bits());
        let [x, y, z] = [a, b, c].map(|bits| F32.unpack(u64::from(bits)));
        let [p, q, r] = [a, b, c].map(f32::from_bits);
        let near = Rounding::Nearest;
        assert!(same(F32.round(soft::add(x, y, near), near), p + q), "{a:#x} + {b:#x}");
        assert!(same(F32.round(soft::mul(x, y), near), p * q), "{a:#x} * {b:#x}");
        assert!(same(F32.round(soft::div(x, y), near), p / q), "{a:#x} / {b:#x}");
        let fused = soft::add(soft::mul(x, y), z, near);
        assert!(same(F32.round(fused, near), p.mul_add(q, r)), "fma {a:#x} {b:#x} {c:#x}");
    }
}

#[test]
fn f64_to_f32_equals_the_hosts() {
    let mut random = Random(5);
    for _ in 0..2_000_000 {
        let bits = random.next();
        let narrow = (bits & !(0x7ff << 52)) | (bits >> 52 & 0xff | 0x380) << 52;
        for bits in [bits, narrow] {
            let host = f64::from_bits(bits) as f32;
            assert!(same(F32.round(F64.unpack(bits), Rounding::Nearest), host), "{bits:#x}");
        }
    }
}

/// The four directions agree with each other: down ≤ nearest ≤ up, neighbours at most one apart,
/// equal exactly when the result is exact, and zero is the one nearer to it.
#[test]
fn directed_roundings_enclose_the_exact_result() {
    let mut random = Random(6);
    let key = |bits: u64| {
        let magnitude = (bits & 0x7fff_ffff) as i64;
        if bits >> 31 == 1 { -magnitude } else { magnitude }
    };
    for _ in 0..1_000_000 {
        let a = random.f32_bits(0x3f80_0000);
        let b = random.f32_bits(a);
        let [x, y] = [a, b].map(|bits| F32.unpack(u64::from(bits)));
        let exact = soft::div(x, y);
        let [nearest, zero, down, up] =
            [Rounding::Nearest, Rounding::Zero, Rounding::Down, Rounding::Up]
                .map(|mode| F32.round(exact, mode));
        if f32::from_bits(nearest as u32).is_nan() {
            assert_eq!([nearest; 3], [zero, down, up]);
            continue;
        }
        assert!((0..=1).contains(&(key(up) - key(down))), "{a:#x} / {b:#x}");
        assert!(nearest == down || nearest == up, "{a:#x} / {b:#x}");
        let negative = (a ^ b) >> 31 == 1;
        assert_eq!(zero, if negative { up } else { down }, "{a:#x} / {b:#x}");
    }
}

#[test]
fn halves_equal_the_references_for_every_input() {
    for bits in 0..=u16::MAX {
        let wide = |format: soft::Format| {
            let value = format.unpack(u64::from(bits));
            f32::from_bits(F32.round(value, Rounding::Nearest) as u32)
        };
        let (half, brain) = (Fp16::from_bits(bits).to_f32(), Bf16::from_bits(bits).to_f32());
        assert!(wide(F16) == half || half.is_nan() && wide(F16).is_nan(), "{bits:#x}");
        assert!(wide(BF16) == brain || brain.is_nan() && wide(BF16).is_nan(), "{bits:#x}");
    }
}

/// All binary16 values, all midpoints between neighbours of the narrow format with their
/// neighbouring `f32`, and the specials.
fn inputs_of_narrow_formats() -> Vec<u32> {
    let mut inputs: Vec<u32> =
        (0..=u16::MAX).map(|bits| Fp16::from_bits(bits).to_f32().to_bits()).collect();
    let mut values: Vec<f32> = (0..0x7f).map(narrow::e4m3_to_f32).collect();
    values.extend((0..8).map(narrow::e2m1_to_f32));
    values.extend([480.0, 464.0, 512.0, 8.0, 7.0, 5.0]);
    let mut edges: Vec<f32> = values.clone();
    for &a in &values {
        edges.extend(values.iter().map(|b| (a + b) / 2.0));
    }
    for edge in edges {
        for magnitude in [edge.next_down(), edge, edge.next_up()] {
            inputs.extend([magnitude.to_bits(), (-magnitude).to_bits()]);
        }
    }
    inputs.extend([0x7f80_0000, 0xff80_0000, 0x7fc0_0000, 0xffc0_0000, 0x7f80_0001, 0x7fff_ffff]);
    inputs.extend([1, 0x8000_0001, 0x7f7f_ffff, 0xff7f_ffff]);
    inputs
}

#[test]
fn narrow_conversions_equal_the_references() {
    for bits in inputs_of_narrow_formats() {
        let x = f32::from_bits(bits);
        let (e4m3, e2m1) = (E4m3::from_f32(x).to_bits(), E2m1::from_f32(x).to_bits());
        assert_eq!(narrow::e2m1_from_f32(x), e2m1, "E2M1 of {x:e} ({bits:#x})");
        if !x.is_nan() {
            assert_eq!(narrow::e4m3_from_f32(x), e4m3, "E4M3 of {x:e} ({bits:#x})");
        }
    }
    assert_eq!(narrow::e4m3_from_f32(f32::NAN), 0x7f);
}

/// Rounding restated without any search: no other value of the format is nearer, and of two equally
/// near ones the even code is taken.
#[test]
fn narrow_conversions_are_nearest_even() {
    let check = |bits: u32, codes: u8, to: fn(u8) -> f32, from: fn(f32) -> u8, sign: u8| {
        let x = f64::from(f32::from_bits(bits)).abs();
        let code = from(f32::from_bits(bits)) & !sign;
        let distance = |code: u8| (f64::from(to(code)) - x).abs();
        if x.is_nan() {
            return;
        }
        if x.is_infinite() || x > f64::from(to(codes - 1)) {
            assert_eq!(code, codes - 1, "{bits:#x} saturates");
            return;
        }
        for other in 0..codes {
            let (d, e) = (distance(code), distance(other));
            assert!(d < e || d == e && (other == code || code.is_multiple_of(2)), "{bits:#x}");
        }
        assert_eq!(from(f32::from_bits(bits)) & sign != 0, bits >> 31 == 1, "sign of {bits:#x}");
    };
    for bits in inputs_of_narrow_formats() {
        check(bits, 0x7f, narrow::e4m3_to_f32, narrow::e4m3_from_f32, 0x80);
        check(bits, 8, narrow::e2m1_to_f32, narrow::e2m1_from_f32, 8);
    }
}

#[test]
fn narrow_values_equal_the_references() {
    for byte in 0..=u8::MAX {
        let (ours, theirs) = (narrow::e4m3_to_f32(byte), E4m3::from_bits(byte).to_f32());
        assert!(ours.to_bits() == theirs.to_bits() || ours.is_nan() && theirs.is_nan());
    }
    for nibble in 0..16 {
        let theirs = E2m1::from_bits(nibble).to_f32();
        assert_eq!(narrow::e2m1_to_f32(nibble).to_bits(), theirs.to_bits());
    }
}
