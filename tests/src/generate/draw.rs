//! What every generated case has: a configuration, a shape, and the reference's answer.

use std::sync::Arc;

use fouroversix_core::config::{Config, InputType, Outputs, Rule, ScaleLayout, Scaling};
use fouroversix_reference::{Bf16, Fp16};

use crate::case::{Case, Input, SuppliedAmax};
use crate::oracle;

/// All element types.
pub const ELEMENTS: [InputType; 3] = [InputType::Bf16, InputType::F16, InputType::F32];
/// All scalings.
pub const SCALINGS: [Scaling; 3] = [Scaling::Tensor, Scaling::Row, Scaling::Tile];

/// The bits of `value` in an element type, rounded to nearest even. NaN stays NaN.
#[must_use]
pub fn narrow(value: f32, element: InputType) -> u32 {
    match element {
        InputType::Bf16 => Bf16::from_f32(value).to_bits().into(),
        InputType::F16 => Fp16::from_f32(value).to_bits().into(),
        InputType::F32 => value.to_bits(),
    }
}

/// What cases are drawn for. By their turn they share configurations and shapes out among them.
#[derive(Clone, Copy)]
pub(super) struct Draw {
    pub(super) seed: u64,
    pub(super) rule: Rule,
    pub(super) scaling: Scaling,
    pub(super) element: InputType,
    pub(super) turn: usize,
}

/// Every configuration of a rule and a scaling.
pub(super) fn configs(rule: Rule, scaling: Scaling) -> Vec<Config> {
    let outputs = [Outputs::Rowwise, Outputs::Columnwise, Outputs::Both].into_iter();
    let layouts = [ScaleLayout::Linear, ScaleLayout::Swizzled128x4];
    let all = outputs.flat_map(|outputs| layouts.map(|layout| (outputs, layout)));
    all.filter_map(|(outputs, layout)| Config::new(rule, scaling, outputs, layout).ok()).collect()
}

/// Shapes that a configuration is defined for, some of them empty.
pub(super) const fn shapes(config: Config) -> &'static [[usize; 2]] {
    if matches!(config.scaling(), Scaling::Tile) || config.outputs().columnwise() {
        &[[16, 16], [48, 80], [32, 48], [0, 32], [272, 16], [144, 32], [16, 528], [16, 0]]
    } else {
        &[[16, 16], [48, 80], [3, 64], [0, 32], [1, 16], [32, 1040], [7, 48], [16, 0], [144, 32]]
    }
}

/// An input with what the reference gives for it.
pub(super) fn case(
    name: &str,
    seed: u64,
    config: Config,
    input: Input,
    supplied: Option<SuppliedAmax>,
) -> Case {
    let expected = oracle::quantize(config, &input, supplied.as_ref());
    Case {
        name: format!("generated {name} seed {seed}"),
        config,
        input: Arc::new(input),
        supplied_amax: supplied.map(Arc::new),
        expected: expected.expect("built-in shapes are valid"),
    }
}
