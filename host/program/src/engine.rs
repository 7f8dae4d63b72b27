//! Where tensors are quantized.

use fouroversix::{Amax, Config, Element, Error, Quantized, quantize_outputs};

/// The CPU or a GPU: the bits are the same.
#[derive(Clone, Debug)]
pub enum Engine {
    /// [`fouroversix::quantize_outputs`].
    Cpu,
    /// `fouroversix::cuda::Device::quantize_outputs`.
    #[cfg(feature = "cuda")]
    Cuda(fouroversix::cuda::Device),
}

impl Engine {
    /// Its name for a record.
    #[must_use]
    pub fn name(&self) -> String {
        match self {
            Self::Cpu => match fouroversix::cpu::Path::detect() {
                Ok(path) => format!("CPU ({path})"),
                Err(error) => format!("CPU ({error})"),
            },
            #[cfg(feature = "cuda")]
            Self::Cuda(device) => device.info().name.clone(),
        }
    }

    /// [`fouroversix::quantize_outputs`].
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
        match self {
            Self::Cpu => quantize_outputs(input, shape, config, amax),
            #[cfg(feature = "cuda")]
            Self::Cuda(device) => device.quantize_outputs(input, shape, config, amax),
        }
    }
}
