//! Small tensors through every configuration, on the portable path against the scalar one: few enough
//! elements for Miri, which looks at every access (`.ci/miri`).

use fouroversix_core::{
    Config, Nvfp4Tensor, Outputs, RandomState, Rounding, Rule, ScaleLayout, Scaling, SignMask,
    Transforms,
};
use fouroversix_cpu::{Path, dequantize_into, deviation, quantize_outputs};
use half::bf16;

fn values(count: usize) -> Vec<bf16> {
    let value = |i: usize| match i % 31 {
        7 => 0.0,
        11 => -0.0,
        i => ((i * 37 + 11) % 101) as f32 * 0.03 - 1.4,
    };
    (0..count).map(|i| bf16::from_f32(value(i))).collect()
}

fn check(config: &Config, shape: [usize; 2]) {
    let input = values(shape[0] * shape[1]);
    let [portable, scalar] = [Path::Portable, Path::Scalar]
        .map(|path| quantize_outputs(path, &input, shape, config, None).unwrap());
    let outputs = [(portable.rowwise, scalar.rowwise), (portable.columnwise, scalar.columnwise)];
    for (got, expected) in outputs {
        let (Some(got), Some(expected)) = (got, expected) else { continue };
        assert!(got == expected, "{config:?}");
        dequantize(&got, &expected);
    }
}

fn dequantize(tensor: &Nvfp4Tensor, same: &Nvfp4Tensor) {
    let [rows, cols] = tensor.shape();
    let [mut portable, mut scalar] = [(); 2].map(|()| vec![0.0_f32; rows * cols]);
    dequantize_into(Path::Portable, tensor.view(), &mut portable).unwrap();
    dequantize_into(Path::Scalar, same.view(), &mut scalar).unwrap();
    assert_eq!(portable, scalar);
    assert_eq!(deviation(tensor.view(), &portable).unwrap().squared_error, 0.0);
}

#[test]
fn the_portable_path_gives_the_scalar_bits() {
    if !Path::available().contains(&Path::Portable) {
        return;
    }
    // Under Miri some: it takes a minute for one of the others.
    let rules = if cfg!(miri) { vec![Rule::Plain, Rule::MSE] } else { Rule::ALL.to_vec() };
    let state = RandomState { seed: 5, offset: 9 };
    for rule in rules {
        for scaling in [Scaling::Tensor, Scaling::Row, Scaling::Tile] {
            for (outputs, layout) in [
                (Outputs::Rowwise, ScaleLayout::Linear),
                (Outputs::Both, ScaleLayout::Swizzled128x4),
            ] {
                let Ok(config) = Config::new(rule, scaling, outputs, layout) else { continue };
                check(&config, [16, 48]);
                let rounding = Rounding::Stochastic(state);
                check(&config.to_builder().rounding(rounding).build().unwrap(), [16, 32]);
            }
        }
        let transforms = Transforms { rowwise: Some(SignMask(0x1234)), columnwise: None };
        let config = Config::builder().rule(rule).transforms(transforms).build().unwrap();
        check(&config, [3, 80]);
    }
}
