//! The conformance suite's generators, stacked into tensors large enough to be worth a launch.

use fouroversix::cuda::Device;
use fouroversix::{
    Element, Error, InputType, Outputs, Rule, ScaleLayout, Scaling, quantize_outputs,
};
use fouroversix_conformance::case::Input;
use fouroversix_conformance::generate::{PATTERNS, midpoint, near_tie};
use half::{bf16, f16};
use rayon::prelude::*;

use super::mode::{Difference, Mode};
use super::report::Report;

/// Tensors of this shape are stacked by rows.
const PART: [usize; 2] = [32, 96];

/// Compares inputs at the edges of every decision: near ties of the choice between map4 and map6,
/// midpoints of both roundings and their neighbours, and every pattern of the conformance suite
/// (zeros of both signs, constants, subnormal scales, tiny and huge amaxes, infinities, NaN).
///
/// `parts` tensors of 32x96 are drawn for each mode and kind of input. Reports are by mode.
///
/// # Errors
/// [`Error::Device`] when the driver fails.
pub fn adversarial(
    device: &Device,
    parts: usize,
    filter: &str,
    progress: &mut dyn FnMut(&str),
) -> Result<Vec<Report>, Error> {
    let mut reports = Vec::new();
    for mode in Mode::all().into_iter().filter(|mode| mode.has(filter)) {
        let mut report = Report::new(mode.name());
        let mut compare = |source: &str, input: Vec<Input>| match mode.element {
            InputType::Bf16 => run::<bf16>(device, mode, source, &input, &mut report),
            InputType::F16 => run::<f16>(device, mode, source, &input, &mut report),
            InputType::F32 => run::<f32>(device, mode, source, &input, &mut report),
        };
        for pattern in PATTERNS {
            // Alone: what is special about a pattern is often its amax.
            let input = pattern.input(mode.element, PART, 1);
            compare(pattern.name, vec![input])?;
        }
        compare("midpoint", midpoints(mode, parts))?;
        let two_candidates = matches!(mode.rule, Rule::FourOverSix { .. });
        if two_candidates && mode.outputs != Outputs::Columnwise {
            compare("near-tie", near_ties(mode, parts))?;
        }
        progress(&report.to_string());
        reports.push(report);
    }
    Ok(reports)
}

/// Midpoint tensors. Their amaxes differ, so each is compared on its own unless row-scaled.
fn midpoints(mode: Mode, parts: usize) -> Vec<Input> {
    let one = |seed| midpoint::input(mode.element, PART, mode.rule, seed as u64);
    let all: Vec<Input> = (0..parts).into_par_iter().map(one).collect();
    let amax = |input: &Input| input.value(0).abs().to_bits();
    let first = all.first().map_or(0, amax);
    all.into_iter().filter(|input| amax(input) == first).collect()
}

/// Near-tie tensors. All have the same amax.
fn near_ties(mode: Mode, parts: usize) -> Vec<Input> {
    let scaling = if mode.scaling == Scaling::Tile { Scaling::Tile } else { Scaling::Tensor };
    let one = |seed| near_tie::input(mode.element, PART, mode.rule, scaling, seed as u64);
    (0..parts).into_par_iter().map(one).collect()
}

/// Compares the stack of `inputs` under one mode, in both layouts.
fn run<T: Element>(
    device: &Device,
    mode: Mode,
    source: &str,
    inputs: &[Input],
    report: &mut Report,
) -> Result<(), Error> {
    let shape = [PART[0] * inputs.len(), PART[1]];
    // The type holds the values exactly; of a NaN only that it is one matters.
    let elements: Vec<T> = inputs.iter().flat_map(Input::values).map(T::from_f32).collect();
    for layout in [ScaleLayout::Linear, ScaleLayout::Swizzled128x4] {
        let config = mode.config(layout).expect("modes are valid");
        let expected = quantize_outputs(&elements, shape, &config, None)?;
        let actual = device.quantize_outputs(&elements, shape, &config, None)?;
        let difference = Difference::between(&expected, &actual);
        report
            .add(elements.len(), difference, |_| format!("{source}, shape {shape:?}, {layout:?}"));
    }
    Ok(())
}
