//! The division by six of the kernels' hot loop (`kernels-gpu/src/device/block.rs`, note 3).

/// A product with RN(1/6) plus one with what that lacks, rounded once, is the quotient: for every
/// significand, at both ends of the exponents that the hot loop meets and in the middle.
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
