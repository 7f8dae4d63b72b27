//! Where a study's tensors are quantized.

use fouroversix_kernels::config::Config;

use crate::element::Element;
use crate::error::Error;
use crate::quantize::{self, Amax};
use crate::tensor::Quantized;

/// The CPU or a GPU: the bits are the same.
#[derive(Clone, Debug)]
pub enum Engine {
    /// [`crate::quantize()`].
    Cpu,
    /// [`crate::cuda::Device::quantize`].
    #[cfg(feature = "cuda")]
    Cuda(crate::cuda::Device),
}

impl Engine {
    /// Its name for a record.
    #[must_use]
    pub fn name(&self) -> String {
        match self {
            Self::Cpu => format!("CPU ({})", crate::cpu::Path::detect().name()),
            #[cfg(feature = "cuda")]
            Self::Cuda(device) => device.info().name.clone(),
        }
    }

    /// [`crate::quantize_with_amax`], or without an amax [`crate::quantize()`].
    pub(super) fn quantize<T: Element>(
        &self,
        input: &[T],
        shape: [usize; 2],
        config: &Config,
        amax: Option<Amax<'_>>,
    ) -> Result<Quantized, Error> {
        match (self, amax) {
            (Self::Cpu, None) => quantize::quantize(input, shape, config),
            (Self::Cpu, Some(amax)) => quantize::quantize_with_amax(input, shape, config, amax),
            #[cfg(feature = "cuda")]
            (Self::Cuda(device), None) => device.quantize(input, shape, config),
            #[cfg(feature = "cuda")]
            (Self::Cuda(device), Some(amax)) => {
                device.quantize_with_amax(input, shape, config, amax)
            }
        }
    }
}
