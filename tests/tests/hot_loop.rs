//! Arithmetic of the kernels' hot loop (`kernels-gpu/src/decide`), on a CPU.

use fouroversix_conformance::extent::is_extensive;
use fouroversix_reference::E2m1;
use half::f16;

/// `decide/block.rs`, note 3: a product with RN(1/6) plus one with the rest, rounded once, is the
/// quotient: for every significand, at both ends of the exponents that the hot loop meets and in the middle.
#[test]
fn two_products_divide_by_six() {
    const SIXTH: f32 = 1.0 / 6.0;
    const REST: f32 = (1.0 / 6.0 - SIXTH as f64) as f32;
    for exponent in [27, 127, 254] {
        for significand in 0..1 << 23 {
            let x = f32::from_bits(exponent << 23 | significand);
            assert_eq!(x.mul_add(SIXTH, x * REST).to_bits(), (x / 6.0).to_bits(), "{x:e}");
        }
    }
}

/// `decide/isa/grid.rs`: two FMAs round `0 ≤ y < 7` to E2M1. Every y from 1/8 on; below, where the first
/// FMA rounds y to a multiple of 1/2 whatever it is, one in 4096 (all of them with `EXTENSIVE=1`).
#[test]
fn two_fmas_round_to_e2m1() {
    const SHIFT: f32 = 4_194_304.0;
    let eighth = 0.125_f32.to_bits();
    let step = if is_extensive() { 1 } else { 4096 };
    for bits in (0..eighth).step_by(step).chain(eighth..7.0_f32.to_bits()) {
        let y = f32::from_bits(bits);
        let m = y.max(1.0 + 1.0 / 2_097_152.0);
        let q = m.mul_add(SHIFT, m.mul_add(-SHIFT, y));
        assert_eq!(q, E2m1::from_f32(y).to_f32(), "{y:e}");
    }
}

/// `decide/block.rs`, note 4: a Newton step makes the correctly rounded reciprocal of an approximation
/// that is at most one unit in the last place off, as `rcp.approx.ftz.f32` is by its documentation. Every
/// significand, and every such approximation; but for one pair: with 0.5 for the number below 2 the step
/// stays where it is. `rcp.rn.f32`, which is correctly rounded, is the same two instructions
/// (`cargo xtask sass` looks), so hardware doesn't approximate that number so.
#[test]
fn a_newton_step_rounds_reciprocals() {
    let mut exceptions = Vec::new();
    for significand in 0..1_u32 << 23 {
        let t = f32::from_bits(127 << 23 | significand);
        let exact = 1.0 / f64::from(t);
        let rounded = 1.0 / t;
        for r in [rounded.next_down(), rounded, rounded.next_up()] {
            let unit = f64::from(r.next_up()) - f64::from(r);
            if (f64::from(r) - exact).abs() <= unit {
                let step = r.mul_add((-t).mul_add(r, 1.0), r);
                if step.to_bits() != rounded.to_bits() {
                    exceptions.push((t, r));
                }
            }
        }
    }
    assert_eq!(exceptions, [(2.0_f32.next_down(), 0.5)]);
}

/// `decide/search/filter.rs`: two FMAs in FP16 round to E2M1 as those in FP32 do, and to the grid of twice the
/// scale with twice the floor. Every FP16 number below 7, and below 16 for the other; 6 or more, where clipping
/// makes it 6, from 7 to 16.
#[test]
fn two_fmas_in_half_precision_round_to_e2m1() {
    let fma = |a: f16, b: f16, c: f16| f16::from_f64(a.to_f64() * b.to_f64() + c.to_f64());
    let round = |y: f16, floor: u16| {
        let m = y.max(f16::from_bits(floor));
        let shift = f16::from_f32(512.0);
        fma(m, shift, fma(m, -shift, y)).to_f64()
    };
    let nearest = |y: f64, values: &[f64]| {
        values.iter().map(|value| (value - y).abs()).fold(f64::INFINITY, f64::min)
    };
    for bits in 0..f16::from_f32(16.0).to_bits() {
        let y = f16::from_bits(bits);
        let q = round(y, 0x3C03);
        if y < f16::from_f32(7.0) {
            let values = [0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0];
            assert!(values.contains(&q), "{y} becomes {q}");
            assert_eq!((q - y.to_f64()).abs(), nearest(y.to_f64(), &values), "{y}");
        } else {
            assert!(q >= 6.0, "{y} becomes {q}");
        }
        let q = round(y, 0x4003);
        let values = [0.0, 1.0, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0];
        if y < f16::from_f32(14.0) {
            assert!(values.contains(&q), "{y} becomes {q}");
            assert_eq!((q - y.to_f64()).abs(), nearest(y.to_f64(), &values), "{y}");
        }
    }
}
