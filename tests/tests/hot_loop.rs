//! Arithmetic of the kernels' hot loop (`kernels-gpu/src/decide`), on a CPU.

use fouroversix_conformance::extent::is_extensive;
use fouroversix_reference::E2m1;

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
