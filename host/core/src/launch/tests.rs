//! Shapes at the limits of the launch contract.

use super::*;
use crate::config::Outputs;

/// The scales of the tallest tile, 16 rows padded to 128, are the last that 32 bits can count.
#[test]
fn padded_scales_that_32_bits_cannot_count_are_refused() {
    let config = |outputs| {
        Config::new(Rule::Plain, Scaling::Tensor, outputs, ScaleLayout::Swizzled128x4).unwrap()
    };
    let shape = [16, 1 << 29];
    for outputs in [Outputs::Columnwise, Outputs::Both] {
        let refused = ShapeError::TooLarge { rows: 16, cols: 1 << 29 };
        assert_eq!(check_shape(&config(outputs), shape), Err(refused));
        assert_eq!(check_shape(&config(outputs), [16, shape[1] - 64]), Ok(()));
    }
    assert_eq!(check_shape(&config(Outputs::Rowwise), shape), Ok(()));
}
