//! A CUDA device as a [`QuantizePanels`] of checkpoints.

use fouroversix_checkpoint::{QuantizePanels, choices_from_codes};
use fouroversix_core::{
    Amax, Choices, Config, Element, Error, Nvfp4Mut, Nvfp4Tensor, Rule, Values,
};

use super::device::Device;

impl QuantizePanels for Device {
    fn name(&self) -> String {
        format!("cuda:{} ({})", self.info().ordinal, self.info().name)
    }

    fn panel_bytes(&self) -> usize {
        16 << 20
    }

    /// Choices are counted from the codes: see [`choices_from_codes`] for where that is inexact.
    fn quantize(
        &mut self,
        values: Values<'_>,
        shape: [usize; 2],
        config: &Config,
        amax: Amax<'_>,
        out: Nvfp4Mut<'_>,
    ) -> Result<Choices, Error> {
        let tensor = match values {
            Values::Bf16(input) => rowwise(self, input, shape, config, amax)?,
            Values::F16(input) => rowwise(self, input, shape, config, amax)?,
            Values::F32(input) => rowwise(self, input, shape, config, amax)?,
        };
        out.codes.copy_from_slice(tensor.codes());
        out.scales.copy_from_slice(tensor.scales());
        out.global_amax.copy_from_slice(tensor.global_amax());
        let mut choices = choices_from_codes(tensor.codes(), shape[1], config.scaling());
        if !matches!(config.rule(), Rule::FourOverSix { .. }) {
            choices.map4 = 0;
        }
        Ok(choices)
    }
}

fn rowwise<T: Element>(
    device: &Device,
    input: &[T],
    shape: [usize; 2],
    config: &Config,
    amax: Amax<'_>,
) -> Result<Nvfp4Tensor, Error> {
    let quantized = device.quantize_outputs(input, shape, config, Some(amax))?;
    Ok(quantized.rowwise.expect("panels are quantized rowwise"))
}
