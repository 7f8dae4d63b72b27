//! The CPU path as a backend of the conformance suite.

use fouroversix_core::{Amax, Element, InputType, Nvfp4Mut, Nvfp4View, QuantizedMut, Scaling};
use fouroversix_cpu::{Path, dequantize_into, quantize_into};
use half::{bf16, f16};

use crate::backend::{Backend, BackendError, SkipReason};
use crate::case::{Case, Outcome, Output, SuppliedAmax};
use crate::dequantize_case::DequantizeCase;

/// One instruction set of the CPU path put to the test.
#[derive(Clone, Copy, Debug)]
pub struct CpuBackend(pub Path);

impl Backend for CpuBackend {
    fn name(&self) -> String {
        format!("cpu:{}", self.0.name())
    }

    fn supports(&self, _case: &Case) -> Result<(), SkipReason> {
        Ok(())
    }

    fn quantize(&self, case: &Case) -> Result<Outcome, BackendError> {
        let bits = &case.input.bits;
        match case.input.element {
            InputType::Bf16 => self.quantize_as(case, &from_bits(bits, bf16_bits)),
            InputType::F16 => self.quantize_as(case, &from_bits(bits, f16_bits)),
            InputType::F32 => self.quantize_as(case, &from_bits(bits, f32::from_bits)),
        }
    }

    fn supports_dequantize(&self, _case: &DequantizeCase) -> Result<(), SkipReason> {
        Ok(())
    }

    fn dequantize(&self, case: &DequantizeCase) -> Result<Vec<u32>, BackendError> {
        match case.element {
            InputType::Bf16 => self.dequantize_as(case, |v: bf16| v.to_bits().into()),
            InputType::F16 => self.dequantize_as(case, |v: f16| v.to_bits().into()),
            InputType::F32 => self.dequantize_as(case, f32::to_bits),
        }
    }
}

// The upper half of a 16-bit element's bits is zero.
fn bf16_bits(bits: u32) -> bf16 {
    bf16::from_bits(bits as u16)
}

fn f16_bits(bits: u32) -> f16 {
    f16::from_bits(bits as u16)
}

fn from_bits<T>(bits: &[u32], element: impl Fn(u32) -> T) -> Vec<T> {
    bits.iter().map(|&bits| element(bits)).collect()
}

impl CpuBackend {
    fn quantize_as<T: Element>(&self, case: &Case, input: &[T]) -> Result<Outcome, BackendError> {
        let [rows, cols] = case.input.shape;
        let config = &case.config;
        // Filled with garbage, so that a byte that is not written shows.
        let output = |rows: usize, cols: usize| Output {
            codes: vec![0xA5; rows * cols / 2],
            scales: vec![0xA5; config.scale_layout().bytes(rows, cols)],
            global_amax: vec![f32::NAN; if config.scaling() == Scaling::Row { rows } else { 1 }],
        };
        let mut outcome = Outcome {
            rowwise: config.outputs().rowwise().then(|| output(rows, cols)),
            columnwise: config.outputs().columnwise().then(|| output(cols, rows)),
        };
        let out = QuantizedMut {
            rowwise: outcome.rowwise.as_mut().map(as_mut),
            columnwise: outcome.columnwise.as_mut().map(as_mut),
        };
        let amax = case.supplied_amax.as_deref().map(|amax| supplied(case, amax));
        quantize_into(self.0, input, [rows, cols], config, amax, out)?;
        Ok(outcome)
    }

    fn dequantize_as<T: Element>(
        &self,
        case: &DequantizeCase,
        bits: impl Fn(T) -> u32,
    ) -> Result<Vec<u32>, BackendError> {
        let view = Nvfp4View {
            codes: &case.tensor.codes,
            scales: &case.tensor.scales,
            global_amax: &case.tensor.global_amax,
            shape: case.shape,
            scale_layout: case.scale_layout,
            e4m3_max: case.e4m3_max,
        };
        let mut out = vec![T::from_f32(f32::NAN); case.shape[0] * case.shape[1]];
        dequantize_into(self.0, view, &mut out)?;
        Ok(out.into_iter().map(bits).collect())
    }
}

fn as_mut(output: &mut Output) -> Nvfp4Mut<'_> {
    Nvfp4Mut {
        codes: &mut output.codes,
        scales: &mut output.scales,
        global_amax: &mut output.global_amax,
    }
}

/// A case's supplied amax as callers give it.
pub(super) fn supplied<'a>(case: &Case, amax: &'a SuppliedAmax) -> Amax<'a> {
    match (case.config.scaling(), case.config.outputs().columnwise()) {
        (Scaling::Row, true) => {
            Amax::RowsAndColumns { rows: &amax.rowwise, columns: &amax.columnwise }
        }
        (Scaling::Row, false) => Amax::Rows(&amax.rowwise),
        // One amax for the tensor is that of its transpose, but for transforms.
        _ => match (amax.rowwise.first(), amax.columnwise.first()) {
            (Some(&rowwise), Some(&columnwise)) if rowwise.to_bits() != columnwise.to_bits() => {
                Amax::Outputs { rowwise, columnwise }
            }
            (rowwise, columnwise) => Amax::Tensor(*rowwise.or(columnwise).unwrap_or(&f32::NAN)),
        },
    }
}
