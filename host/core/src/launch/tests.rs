//! Shapes at the limits of the launch contract.

use super::*;
use crate::config::{Outputs, RandomState, SignMask};

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

#[test]
fn a_search_rounds_to_nearest_without_a_transform() {
    let search = Config::builder().rule(Rule::SEARCH_MAE);
    assert_eq!(check_features(&search.build().unwrap()), Ok(()));
    let signs = Some(SignMask(1));
    let refused = [
        search.rounding(Rounding::Stochastic(RandomState { seed: 1, offset: 0 })),
        search.transforms(Transforms { rowwise: signs, columnwise: None }),
    ];
    for (config, what) in refused.into_iter().zip(["stochastic rounding", "a transform"]) {
        let said = check_features(&config.build().unwrap()).unwrap_err().to_string();
        assert!(said.starts_with(what) && said.contains("use the CPU path"), "{said}");
    }
    let [mae, mse] = [Rule::SEARCH_MAE, Rule::SEARCH_MSE].map(rule_flags);
    assert_eq!([mae, mse], [E4M3_MAX_256 | MAGNITUDES, E4M3_MAX_256]);
}
