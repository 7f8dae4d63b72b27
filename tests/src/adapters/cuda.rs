//! The device as a backend of the conformance suite.

use fouroversix_core::{Element, Error, InputType, Nvfp4Tensor, Quantized, launch};
use fouroversix_cuda::Device;
use half::{bf16, f16};

use super::cpu::supplied;
use crate::backend::{Backend, BackendError, SkipReason};
use crate::case::{Case, Outcome, Output};
use crate::dequantize_case::DequantizeCase;

/// A CUDA device put to the test: inputs go to it, launches run on it, results come back.
#[derive(Debug)]
pub struct CudaBackend {
    device: Device,
}

impl CudaBackend {
    /// Tests `device`.
    #[must_use]
    pub fn new(device: Device) -> Self {
        Self { device }
    }

    fn run<T: Element>(&self, case: &Case) -> Result<Outcome, Error> {
        // The type holds the values exactly; of a NaN only that it is one matters.
        let input: Vec<T> = case.input.values().into_iter().map(T::from_f32).collect();
        let (shape, config) = (case.input.shape, &case.config);
        let amax = case.supplied_amax.as_ref().map(|amax| supplied(case, amax));
        let quantized = self.device.quantize_outputs(&input, shape, config, amax)?;
        Ok(outcome(quantized))
    }

    fn run_dequantize<T: Element>(
        &self,
        case: &DequantizeCase,
        bits: fn(T) -> u32,
    ) -> Result<Vec<u32>, Error> {
        let Output { codes, scales, global_amax } = case.tensor.clone();
        let (layout, bound) = (case.scale_layout, case.e4m3_max);
        let tensor =
            Nvfp4Tensor::from_parts(codes, scales, global_amax, case.shape, layout, bound)?;
        let elements: Vec<T> = self.device.dequantize(&tensor)?;
        Ok(elements.into_iter().map(bits).collect())
    }
}

impl Backend for CudaBackend {
    fn name(&self) -> String {
        format!("cuda:{}", self.device.info().ordinal)
    }

    fn supports(&self, case: &Case) -> Result<(), SkipReason> {
        launch::check_features(&case.config).map_err(|error| SkipReason::new(error.to_string()))
    }

    fn quantize(&self, case: &Case) -> Result<Outcome, BackendError> {
        let outcome = match case.input.element {
            InputType::Bf16 => self.run::<bf16>(case),
            InputType::F16 => self.run::<f16>(case),
            InputType::F32 => self.run::<f32>(case),
        };
        Ok(outcome?)
    }

    fn supports_dequantize(&self, _case: &DequantizeCase) -> Result<(), SkipReason> {
        Ok(())
    }

    fn dequantize(&self, case: &DequantizeCase) -> Result<Vec<u32>, BackendError> {
        let bits = match case.element {
            InputType::Bf16 => self.run_dequantize::<bf16>(case, |x| x.to_bits().into()),
            InputType::F16 => self.run_dequantize::<f16>(case, |x| x.to_bits().into()),
            InputType::F32 => self.run_dequantize::<f32>(case, f32::to_bits),
        };
        Ok(bits?)
    }
}

fn outcome(quantized: Quantized) -> Outcome {
    let output = |tensor: Nvfp4Tensor| {
        let (codes, scales, global_amax) = tensor.into_parts();
        Output { codes, scales, global_amax }
    };
    Outcome { rowwise: quantized.rowwise.map(output), columnwise: quantized.columnwise.map(output) }
}
