//! Launches with raw addresses, of one tensor or a group, as plain launches and as graphs.

use std::sync::Arc;

use cudarc::driver::{CudaGraph, CudaSlice, CudaStream};
use fouroversix::cuda::internals::{self as memory, check};
use fouroversix::cuda::{AmaxSource, Device, DeviceQuantized, QuantizeAddresses, Quantizer};
use fouroversix::{Config, Element, Error, Quantized, Rounding, quantize_outputs};

use super::mode::Difference;
use crate::captured::captured;

/// A prepared quantizer, an input, its outputs and their addresses on one stream.
pub(super) struct Launched<T> {
    pub(super) quantizer: Quantizer,
    pub(super) stream: Arc<CudaStream>,
    pub(super) shape: [usize; 2],
    pub(super) input: Vec<T>,
    memory: CudaSlice<u8>,
    out: DeviceQuantized,
    pub(super) at: QuantizeAddresses,
}

impl<T: Element> Launched<T> {
    /// Memory for what `quantizer` was prepared for, with an input of that shape in it.
    pub(super) fn new(
        stream: &Arc<CudaStream>,
        quantizer: Quantizer,
        shape: [usize; 2],
        input: Vec<T>,
    ) -> Result<Self, Error> {
        let stream = stream.clone();
        let mut memory = memory::allocate(&stream, size_of_val(input.as_slice()))?;
        memory::upload(&stream, memory::Elements::of(&input), &mut memory)?;
        let out = quantizer.allocate(&stream)?;
        let mut at = out.addresses(&stream);
        at.input = memory::address(&memory, &stream);
        Ok(Self { quantizer, stream, shape, input, memory, out, at })
    }

    /// Other elements in the same place.
    pub(super) fn replace(&mut self, input: Vec<T>) -> Result<(), Error> {
        self.input = input;
        Ok(memory::upload(&self.stream, memory::Elements::of(&self.input), &mut self.memory)?)
    }

    pub(super) fn launch(&self) -> Result<(), Error> {
        // SAFETY: the memory has the shape that was prepared.
        unsafe { self.quantizer.launch(&self.at, self.stream.cu_stream()) }
    }

    /// The launch as a graph, which must not outlive the memory.
    pub(super) fn capture(&self) -> Result<CudaGraph, Error> {
        check("wait for the device", self.stream.synchronize())?;
        captured(&self.stream, || self.launch())
    }

    /// Where the outputs differ from `expected`.
    pub(super) fn difference(&self, expected: &Quantized) -> Result<Difference, Error> {
        Ok(Difference::between(expected, &self.out.to_host(&self.stream)?))
    }

    /// Where the outputs differ from those that the CPU makes of the input.
    pub(super) fn difference_from_cpu(&self, config: &Config) -> Result<Difference, Error> {
        self.difference(&quantize_outputs(&self.input, self.shape, config, None)?)
    }
}

/// Quantizes tensors of one width in one launch, and gives each and where it differs from what the CPU makes
/// of it alone.
pub(super) fn launch_group<T: Element>(
    device: &Device,
    stream: &Arc<CudaStream>,
    config: &Config,
    tensors: Vec<([usize; 2], Vec<T>)>,
) -> Result<Vec<(Launched<T>, Difference)>, Error> {
    let shapes: Vec<[usize; 2]> = tensors.iter().map(|(shape, _)| *shape).collect();
    let group = device.group_quantizer(config, T::TYPE, &shapes, AmaxSource::Input)?;
    let parts = tensors.into_iter().map(|(shape, input)| {
        let one = device.quantizer(config, T::TYPE, shape, AmaxSource::Input)?;
        Launched::new(stream, one, shape, input)
    });
    let parts = parts.collect::<Result<Vec<_>, Error>>()?;
    let addresses: Vec<_> = parts.iter().map(|part| part.at).collect();
    let table = group.table(stream, &addresses)?;
    // SAFETY: every part's memory was allocated for its shape, on this stream.
    unsafe { group.launch(&table, 0, stream.cu_stream())? };
    let compared = parts.into_iter().enumerate().map(|(index, part)| {
        // As alone, with the random state that the contract gives it (step T3).
        let rounding = match config.rounding() {
            Rounding::Nearest => Rounding::Nearest,
            Rounding::Stochastic(state) => Rounding::Stochastic(state.of_tensor(index as u64)),
        };
        let alone = config.to_builder().rounding(rounding).build()?;
        let difference = part.difference_from_cpu(&alone)?;
        Ok((part, difference))
    });
    compared.collect()
}
