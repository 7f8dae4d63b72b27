//! Where tensors are quantized.

use fouroversix::{Amax, Config, Element, Error, Quantized, quantize, quantize_with_amax};

/// The CPU or a GPU: the bits are the same.
#[derive(Clone, Debug)]
pub enum Engine {
    /// [`fouroversix::quantize()`].
    Cpu,
    /// `fouroversix::cuda::Device::quantize`.
    #[cfg(feature = "cuda")]
    Cuda(fouroversix::cuda::Device),
}

impl Engine {
    /// Its name for a record.
    #[must_use]
    pub fn name(&self) -> String {
        match self {
            Self::Cpu => format!("CPU ({})", fouroversix::cpu::Path::detect().name()),
            #[cfg(feature = "cuda")]
            Self::Cuda(device) => device.info().name.clone(),
        }
    }

    /// [`fouroversix::quantize_with_amax`], or without an amax [`fouroversix::quantize()`].
    ///
    /// # Errors
    /// Theirs.
    pub fn quantize<T: Element>(
        &self,
        input: &[T],
        shape: [usize; 2],
        config: &Config,
        amax: Option<Amax<'_>>,
    ) -> Result<Quantized, Error> {
        match (self, amax) {
            (Self::Cpu, None) => quantize(input, shape, config),
            (Self::Cpu, Some(amax)) => quantize_with_amax(input, shape, config, amax),
            #[cfg(feature = "cuda")]
            (Self::Cuda(device), None) => device.quantize(input, shape, config),
            #[cfg(feature = "cuda")]
            (Self::Cuda(device), Some(amax)) => {
                device.quantize_with_amax(input, shape, config, amax)
            }
        }
    }
}
