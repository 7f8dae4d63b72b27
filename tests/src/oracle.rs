//! The reference as a backend, and as the source of expectations.

use fouroversix_core::config::{
    Config, E4m3Max, ErrorPath, InputType, Metric, Rounding, Rule, ScaleLayout, Scaling,
};
use fouroversix_reference as reference;
use reference::layout::{swizzle, unswizzle};

use crate::backend::{Backend, BackendError, SkipReason};
use crate::case::{Case, Input, Outcome, Output, SuppliedAmax};
use crate::dequantize_case::DequantizeCase;

/// The reference crate.
#[derive(Clone, Copy, Debug, Default)]
pub struct Reference;

impl Backend for Reference {
    fn name(&self) -> String {
        "reference".to_owned()
    }

    fn supports(&self, _case: &Case) -> Result<(), SkipReason> {
        Ok(())
    }

    fn quantize(&self, case: &Case) -> Result<Outcome, BackendError> {
        Ok(quantize(case.config, &case.input, case.supplied_amax.as_deref())?)
    }

    fn supports_dequantize(&self, _case: &DequantizeCase) -> Result<(), SkipReason> {
        Ok(())
    }

    fn dequantize(&self, case: &DequantizeCase) -> Result<Vec<u32>, BackendError> {
        Ok(dequantize(case))
    }
}

/// What the contract gives for a configuration and an input.
///
/// # Errors
/// As [`reference::quantize`].
pub fn quantize(
    config: Config,
    input: &Input,
    supplied: Option<&SuppliedAmax>,
) -> Result<Outcome, reference::Error> {
    let x = input.values();
    let [rows, cols] = input.shape;
    let wanted = self::config(config, input.element);
    let mut outcome = Outcome::default();
    if config.outputs().rowwise() {
        let amax = supplied.map(|supplied| supplied.rowwise.as_slice());
        let quantized = reference::quantize_with(&x, rows, cols, &wanted, amax)?;
        outcome.rowwise = Some(output(quantized, config.scale_layout()));
    }
    if config.outputs().columnwise() {
        let amax = supplied.map(|supplied| supplied.columnwise.as_slice());
        let quantized = reference::quantize_columnwise_with(&x, rows, cols, &wanted, amax)?;
        outcome.columnwise = Some(output(quantized, config.scale_layout()));
    }
    Ok(outcome)
}

fn output(quantized: reference::Quantized, layout: ScaleLayout) -> Output {
    let (rows, blocks) = (quantized.rows, quantized.cols / 16);
    Output {
        codes: quantized.codes,
        scales: lay_out(quantized.scales, rows, blocks, layout),
        global_amax: quantized.global_amax,
    }
}

/// Linear scales in another layout.
#[must_use]
pub fn lay_out(scales: Vec<u8>, rows: usize, blocks: usize, layout: ScaleLayout) -> Vec<u8> {
    match layout {
        ScaleLayout::Linear => scales,
        ScaleLayout::Swizzled128x4 => swizzle(&scales, rows, blocks),
    }
}

/// How the contract decides a block of a case: `row` and `block` count in the output named by
/// `columnwise`, the input's transpose if true.
#[must_use]
pub fn explain(case: &Case, columnwise: bool, row: usize, block: usize) -> reference::Decision {
    let [rows, cols] = case.input.shape;
    let x = case.input.values();
    let supplied = case.supplied_amax.as_deref();
    let (x, rows, cols, amax) = if columnwise {
        let amax = supplied.map(|supplied| supplied.columnwise.as_slice());
        (reference::transpose(&x, rows, cols), cols, rows, amax)
    } else {
        (x, rows, cols, supplied.map(|supplied| supplied.rowwise.as_slice()))
    };
    let config = config(case.config, case.input.element);
    let direction =
        if columnwise { reference::Direction::Columnwise } else { reference::Direction::Rowwise };
    let signs = config.transforms.of(direction);
    let x =
        signs.map_or_else(|| x.clone(), |s| reference::transform::transform(&x, s, config.element));
    let (rule, scaling) = (config.rule, config.scaling);
    reference::explain(&x, rows, cols, rule, scaling, amax, row, block)
        .expect("a case that was built has a valid shape")
}

/// What the contract gives for a dequantization.
#[must_use]
pub fn dequantize(case: &DequantizeCase) -> Vec<u32> {
    let [rows, cols] = case.shape;
    let scales = match case.scale_layout {
        ScaleLayout::Linear => case.tensor.scales.clone(),
        ScaleLayout::Swizzled128x4 => unswizzle(&case.tensor.scales, rows, cols / 16),
    };
    let quantized = reference::Quantized {
        codes: case.tensor.codes.clone(),
        scales,
        global_amax: case.tensor.global_amax.clone(),
        rows,
        cols,
        scaling: scaling(case.scaling),
        e4m3_max: e4m3_max(case.e4m3_max),
    };
    match case.element {
        InputType::F32 => quantized.dequantize().into_iter().map(f32::to_bits).collect(),
        InputType::Bf16 => {
            quantized.dequantize_bf16().into_iter().map(|x| x.to_bits().into()).collect()
        }
        InputType::F16 => {
            quantized.dequantize_fp16().into_iter().map(|x| x.to_bits().into()).collect()
        }
    }
}

/// The reference's words for a configuration of an input with elements of a type.
#[must_use]
pub fn config(config: Config, element: InputType) -> reference::Config {
    let transforms = config.transforms();
    let mask = |mask: fouroversix_core::SignMask| reference::SignMask(mask.0);
    reference::Config {
        rule: rule(config.rule()),
        scaling: scaling(config.scaling()),
        rounding: match config.rounding() {
            Rounding::Nearest => reference::Rounding::Nearest,
            Rounding::Stochastic(state) => {
                let fouroversix_core::RandomState { seed, offset } = state;
                reference::Rounding::Stochastic(reference::RandomState { seed, offset })
            }
        },
        transforms: reference::Transforms {
            rowwise: transforms.rowwise.map(mask),
            columnwise: transforms.columnwise.map(mask),
        },
        element: match element {
            InputType::Bf16 => reference::Element::Bf16,
            InputType::F16 => reference::Element::Fp16,
            InputType::F32 => reference::Element::Fp32,
        },
    }
}

/// The reference's word for a rule.
#[must_use]
pub const fn rule(rule: Rule) -> reference::Rule {
    match rule {
        Rule::Plain => reference::Rule::Plain,
        Rule::FourOverSix { metric: by, error_path, e4m3_max: bound } => {
            reference::Rule::FourOverSix {
                metric: metric(by),
                error_path: match error_path {
                    ErrorPath::Strict => reference::ErrorPath::Strict,
                    ErrorPath::Fast => reference::ErrorPath::Fast,
                },
                e4m3_max: e4m3_max(bound),
            }
        }
        Rule::Search { metric: by, e4m3_max: bound } => {
            reference::Rule::Search { metric: metric(by), e4m3_max: e4m3_max(bound) }
        }
        _ => panic!("a rule that the reference is not told of"),
    }
}

const fn metric(metric: Metric) -> reference::Metric {
    match metric {
        Metric::Mae => reference::Metric::Mae,
        Metric::Mse => reference::Metric::Mse,
    }
}

const fn e4m3_max(bound: E4m3Max) -> reference::E4m3Max {
    match bound {
        E4m3Max::M448 => reference::E4m3Max::M448,
        E4m3Max::M256 => reference::E4m3Max::M256,
    }
}

const fn scaling(scaling: Scaling) -> reference::Scaling {
    match scaling {
        Scaling::Tensor => reference::Scaling::Tensor,
        Scaling::Row => reference::Scaling::Row,
        Scaling::Tile => reference::Scaling::Tile,
    }
}
