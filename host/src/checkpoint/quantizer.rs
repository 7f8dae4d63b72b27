//! Who quantizes: the CPU, or whatever else implements [`Quantizer`].

use crate::{Amax, Choices, Config, Error, Nvfp4Mut, QuantizedMut};

use super::format::Values;

/// Quantizes panels of rows.
pub trait Quantizer {
    /// What it runs on, for people.
    fn name(&self) -> String;

    /// Bytes of input it likes to get at a time.
    fn panel_bytes(&self) -> usize {
        8 << 20
    }

    /// Quantizes the rows `values` of `shape` with the amax of the whole tensor, rowwise and with
    /// linear scales, bit for bit as [`crate::quantize_into`] does.
    ///
    /// # Errors
    /// Those of [`crate::quantize_into`], and the device's own.
    fn quantize(
        &mut self,
        values: Values<'_>,
        shape: [usize; 2],
        config: &Config,
        amax: Amax<'_>,
        out: Nvfp4Mut<'_>,
    ) -> Result<Choices, Error>;
}

/// The CPU.
#[derive(Clone, Copy, Debug, Default)]
pub struct CpuQuantizer;

impl Quantizer for CpuQuantizer {
    fn name(&self) -> String {
        "cpu".to_owned()
    }

    fn quantize(
        &mut self,
        values: Values<'_>,
        shape: [usize; 2],
        config: &Config,
        amax: Amax<'_>,
        out: Nvfp4Mut<'_>,
    ) -> Result<Choices, Error> {
        let out = QuantizedMut { rowwise: Some(out), columnwise: None };
        match values {
            Values::Bf16(input) => crate::quantize_into(input, shape, config, Some(amax), out),
            Values::F16(input) => crate::quantize_into(input, shape, config, Some(amax), out),
            Values::F32(input) => crate::quantize_into(input, shape, config, Some(amax), out),
        }
    }
}
