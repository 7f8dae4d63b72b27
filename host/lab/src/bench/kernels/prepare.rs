//! Everything a row needs before its launches are timed: memory, launches, and the check.

use std::sync::Arc;

use cudarc::driver::{CudaSlice, CudaStream, sys};
use fouroversix::cuda::internals::{self as memory, CopyKernel, Elements};
use fouroversix::cuda::{
    AmaxSource, DequantizeAddresses, DequantizeConfig, Dequantizer, Device, DeviceQuantized,
    KernelInfo, QuantizeAddresses, Quantizer,
};
use fouroversix::{Element, Error, InputType, ScaleLayout};
use fouroversix_core::abi::{DequantizeParams, QuantizeParams};
use half::{bf16, f16};

use super::case::{Case, Data, Work};
use super::options::Options;
use crate::cross_check::{Distribution, fill};

/// The launches of a row on several slots of memory.
pub(super) struct Prepared {
    launches: Launches,
    /// Whether the output of the first slot was the CPU's.
    pub(super) correct: bool,
    pub(super) kernels: Vec<KernelInfo>,
    /// What the addresses in `launches` point to.
    _memory: Vec<CudaSlice<u8>>,
    _outputs: Vec<DeviceQuantized>,
}

enum Launches {
    Quantize {
        quantizer: Quantizer,
        copy: CopyKernel<QuantizeParams>,
        work: Work,
        slots: Vec<QuantizeAddresses>,
    },
    Dequantize {
        dequantizer: Dequantizer,
        copy: CopyKernel<DequantizeParams>,
        slots: Vec<DequantizeAddresses>,
    },
}

impl Prepared {
    /// Enqueues the kernel on a slot.
    pub(super) fn work(&self, slot: usize, stream: sys::CUstream) -> Result<(), Error> {
        match &self.launches {
            Launches::Quantize { quantizer, work, slots, .. } => {
                let at = &slots[slot % slots.len()];
                // SAFETY: the slots' memory has the lengths of the shape and lives in `self`; one
                // stream orders all work on it.
                unsafe {
                    match work {
                        Work::Amax => quantizer.launch_amax(at, stream),
                        Work::Quantize => quantizer.launch_quantize(at, stream),
                        _ => quantizer.launch(at, stream),
                    }
                }
            }
            Launches::Dequantize { dequantizer, slots, .. } => {
                // SAFETY: as above.
                unsafe { dequantizer.launch(&slots[slot % slots.len()], stream) }
            }
        }
    }

    /// Enqueues the copy kernel on a slot: the bytes of one quantization or dequantization.
    pub(super) fn copy(&self, slot: usize, stream: sys::CUstream) -> Result<(), Error> {
        match &self.launches {
            Launches::Quantize { quantizer, copy, slots, .. } => {
                // SAFETY: as above.
                unsafe { quantizer.launch_copy(copy, &slots[slot % slots.len()], stream) }
            }
            Launches::Dequantize { dequantizer, copy, slots } => {
                // SAFETY: as above.
                unsafe { dequantizer.launch_copy(copy, &slots[slot % slots.len()], stream) }
            }
        }
    }

    pub(super) fn slots(&self) -> usize {
        match &self.launches {
            Launches::Quantize { slots, .. } => slots.len(),
            Launches::Dequantize { slots, .. } => slots.len(),
        }
    }
}

/// Prepares a row and checks the output of one launch.
pub(super) fn prepare(
    device: &Device,
    stream: &Arc<CudaStream>,
    case: &Case,
    options: &Options,
) -> Result<Prepared, Error> {
    match case.element {
        InputType::Bf16 => prepare_for::<bf16>(device, stream, case, options),
        InputType::F16 => prepare_for::<f16>(device, stream, case, options),
        InputType::F32 => prepare_for::<f32>(device, stream, case, options),
    }
}

fn prepare_for<T: Element>(
    device: &Device,
    stream: &Arc<CudaStream>,
    case: &Case,
    options: &Options,
) -> Result<Prepared, Error> {
    let input = input::<T>(case, options);
    if case.work == Work::Dequantize {
        return prepare_dequantize(device, stream, case, &input);
    }
    let quantizer = device.quantizer(&case.config, T::TYPE, case.shape, AmaxSource::Input)?;
    let (mut memory, mut outputs, mut slots) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..slot_count(device, case) {
        let mut copy = memory::allocate(stream, size_of_val(input.as_slice()))?;
        memory::upload(stream, Elements::of(&input), &mut copy)?;
        let out = quantizer.allocate(stream)?;
        let mut at = out.addresses(stream);
        at.input = memory::address(&copy, stream);
        // Leaves global scales for the launches that do not compute them.
        // SAFETY: memory of this shape, allocated on this stream.
        unsafe { quantizer.launch(&at, stream.cu_stream())? };
        memory.push(copy);
        outputs.push(out);
        slots.push(at);
    }
    let actual = outputs[0].to_host(stream)?;
    let correct = fouroversix::quantize_outputs(&input, case.shape, &case.config, None)? == actual;
    let kernels = quantizer.kernels();
    let launches =
        Launches::Quantize { copy: quantizer.copy_kernel()?, quantizer, work: case.work, slots };
    Ok(Prepared { launches, correct, kernels, _memory: memory, _outputs: outputs })
}

fn prepare_dequantize<T: Element>(
    device: &Device,
    stream: &Arc<CudaStream>,
    case: &Case,
    input: &[T],
) -> Result<Prepared, Error> {
    let tensor = fouroversix::quantize(input, case.shape, &case.config)?;
    let (layout, bound): (ScaleLayout, _) = (tensor.scale_layout(), tensor.e4m3_max());
    let config = DequantizeConfig::new(T::TYPE, bound).with_scale_layout(layout);
    let dequantizer = device.dequantizer(&config, case.shape)?;
    let (mut memory, mut slots) = (Vec::new(), Vec::new());
    for _ in 0..slot_count(device, case) {
        let output = memory::allocate(stream, size_of_val(input))?;
        let mut parts = Vec::new();
        for bytes in [tensor.codes(), tensor.scales(), &tensor.global_amax()[0].to_le_bytes()] {
            let mut part = memory::allocate(stream, bytes.len())?;
            memory::upload(stream, bytes, &mut part)?;
            parts.push(part);
        }
        let at = |memory| memory::address(memory, stream);
        slots.push(DequantizeAddresses {
            codes: at(&parts[0]),
            scales: at(&parts[1]),
            amax: at(&parts[2]),
            output: at(&output),
            skip: 0,
        });
        memory.push(output);
        memory.append(&mut parts);
    }
    // SAFETY: memory of this shape, allocated on this stream.
    unsafe { dequantizer.launch(&slots[0], stream.cu_stream())? };
    let mut actual = vec![T::from_f32(0.0); input.len()];
    memory::download(stream, &memory[0], Elements::of_mut(&mut actual))?;
    let expected: Vec<T> = fouroversix::dequantize(&tensor)?;
    let bits = |value: &T| value.to_f32().to_bits();
    let correct = expected.iter().map(bits).eq(actual.iter().map(bits));
    let kernels = dequantizer.kernels();
    let copy = dequantizer.copy_kernel(device)?;
    let launches = Launches::Dequantize { dequantizer, copy, slots };
    Ok(Prepared { launches, correct, kernels, _memory: memory, _outputs: Vec::new() })
}

fn input<T: Element>(case: &Case, options: &Options) -> Vec<T> {
    let mut input = vec![T::from_f32(0.0); case.shape[0] * case.shape[1]];
    match case.data {
        Data::Zeros => {}
        Data::Constant => input.fill(T::from_f32(0.7)),
        Data::Normal => fill(Distribution::Normal, 46, &mut input),
        Data::Weights => {
            let weights = options.weights.iter().cycle();
            input.iter_mut().zip(weights).for_each(|(x, weight)| *x = T::from_f32(*weight));
        }
    }
    input
}

/// Tensors to take turns on: enough that the L2 cache has lost one when its turn comes again; for
/// graphs as many as launches, within a gigabyte.
fn slot_count(device: &Device, case: &Case) -> usize {
    let bytes = case.bytes();
    let count = if case.graph {
        ((1 << 30) / bytes).clamp(10, 100)
    } else {
        (4 * device.info().l2_cache / bytes + 1).clamp(3, 64)
    };
    count as usize
}
