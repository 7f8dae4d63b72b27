//! The library's CPU paths as backends.

use fouroversix::cpu::{self, Path};
use fouroversix::{Amax, Element, Nvfp4Mut, Nvfp4View, QuantizedMut};
use fouroversix_conformance::backend::{Backend, BackendError, SkipReason};
use fouroversix_conformance::case::{Case, Outcome, Output};
use fouroversix_conformance::dequantize_case::DequantizeCase;
use fouroversix_kernels::config::{InputType, Scaling};
use half::{bf16, f16};

/// One of the CPU paths.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cpu(pub(crate) Path);

impl Backend for Cpu {
    fn name(&self) -> String {
        format!("cpu:{}", self.0.name())
    }

    fn supports(&self, _case: &Case) -> Result<(), SkipReason> {
        Ok(())
    }

    fn quantize(&self, case: &Case) -> Result<Outcome, BackendError> {
        match case.input.element {
            InputType::Bf16 => self.quantize_elements(case, &halves(case, bf16::from_bits)),
            InputType::F16 => self.quantize_elements(case, &halves(case, f16::from_bits)),
            InputType::F32 => self.quantize_elements(case, &case.input.values()),
        }
    }

    fn supports_dequantize(&self, _case: &DequantizeCase) -> Result<(), SkipReason> {
        Ok(())
    }

    fn dequantize(&self, case: &DequantizeCase) -> Result<Vec<u32>, BackendError> {
        match case.element {
            InputType::Bf16 => self.dequantize_to(case, |x: bf16| x.to_bits().into()),
            InputType::F16 => self.dequantize_to(case, |x: f16| x.to_bits().into()),
            InputType::F32 => self.dequantize_to(case, f32::to_bits),
        }
    }
}

fn halves<T>(case: &Case, from_bits: fn(u16) -> T) -> Vec<T> {
    case.input.half_words().into_iter().map(from_bits).collect()
}

impl Cpu {
    fn quantize_elements<T: Element>(
        self,
        case: &Case,
        input: &[T],
    ) -> Result<Outcome, BackendError> {
        let [rows, cols] = case.input.shape;
        let outputs = case.config.outputs();
        // Filled with garbage, so that a byte that is not written shows.
        let mut rowwise = outputs.rowwise().then(|| garbage(case, rows, cols));
        let mut columnwise = outputs.columnwise().then(|| garbage(case, cols, rows));
        let out = QuantizedMut {
            rowwise: rowwise.as_mut().map(borrow),
            columnwise: columnwise.as_mut().map(borrow),
        };
        let amax = case.supplied_amax.as_deref().map(|supplied| match case.config.scaling() {
            Scaling::Tensor | Scaling::Tile => Amax::Tensor(supplied.rowwise[0]),
            Scaling::Row if outputs.columnwise() => {
                Amax::RowsAndColumns { rows: &supplied.rowwise, columns: &supplied.columnwise }
            }
            Scaling::Row => Amax::Rows(&supplied.rowwise),
        });
        cpu::quantize_into(self.0, input, [rows, cols], &case.config, amax, out)?;
        Ok(Outcome { rowwise, columnwise })
    }

    fn dequantize_to<T: Element>(
        self,
        case: &DequantizeCase,
        bits: fn(T) -> u32,
    ) -> Result<Vec<u32>, BackendError> {
        let view = Nvfp4View {
            codes: &case.tensor.codes,
            scales: &case.tensor.scales,
            global_amax: &case.tensor.global_amax,
            shape: case.shape,
            scale_layout: case.scale_layout,
            e4m3_max: case.e4m3_max,
        };
        let mut out = vec![T::from_f32(-7.5); case.expected.len()];
        cpu::dequantize_into(self.0, view, &mut out)?;
        Ok(out.into_iter().map(bits).collect())
    }
}

fn garbage(case: &Case, rows: usize, cols: usize) -> Output {
    let amaxes = if case.config.scaling() == Scaling::Row { rows } else { 1 };
    Output {
        codes: vec![0xA5; rows * cols / 2],
        scales: vec![0xA5; case.config.scale_layout().bytes(rows, cols)],
        global_amax: vec![-1.0; amaxes],
    }
}

fn borrow(output: &mut Output) -> Nvfp4Mut<'_> {
    Nvfp4Mut {
        codes: &mut output.codes,
        scales: &mut output.scales,
        global_amax: &mut output.global_amax,
    }
}
