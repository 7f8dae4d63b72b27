//! Arithmetic of the kernels' hot loop (`kernels-gpu/src/decide`), on a CPU.

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
/// FMA rounds y to a multiple of 1/2 whatever it is, one in 4096.
#[test]
fn two_fmas_round_to_e2m1() {
    const SHIFT: f32 = 4_194_304.0;
    let eighth = 0.125_f32.to_bits();
    for bits in (0..eighth).step_by(4096).chain(eighth..7.0_f32.to_bits()) {
        let y = f32::from_bits(bits);
        let m = y.max(1.0 + 1.0 / 2_097_152.0);
        let q = m.mul_add(SHIFT, m.mul_add(-SHIFT, y));
        assert_eq!(q, E2m1::from_f32(y).to_f32(), "{y:e}");
    }
}
