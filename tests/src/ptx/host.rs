//! What a host does around a launch: parameter bytes, output buffers, and reading them back.

use std::mem::size_of;

use fouroversix_core::abi::{
    AmaxParams, DequantizeParams, GlobalScale, QuantizeParams, QuantizeTensor, TrainingParams,
    TransformAmaxParams,
};
use fouroversix_core::config::Config;

use crate::backend::BackendError;
use crate::case::Output;
use fouroversix_ptx_executor::Machine;

/// A parameter struct of [`fouroversix_core::abi`]: plain `repr(C)` data without padding.
pub(super) trait Plain: Copy {}
impl Plain for AmaxParams {}
impl Plain for QuantizeParams {}
impl Plain for TrainingParams {}
impl Plain for TransformAmaxParams {}
impl Plain for QuantizeTensor {}
impl Plain for DequantizeParams {}

pub(super) fn bytes_of<T: Plain>(value: &T) -> &[u8] {
    // SAFETY: `Plain` types are `repr(C)` without padding (their reserved fields are explicit), so
    // that all of their bytes are initialized; the slice lives as long as the value.
    unsafe { std::slice::from_raw_parts(std::ptr::from_ref(value).cast(), size_of::<T>()) }
}

/// One side of a quantization: what its output is called in the kernel's parameters.
pub(super) struct Side {
    pub(super) shape: [usize; 2],
    pub(super) codes: u64,
    pub(super) scales: u64,
    /// [`GlobalScale`]s.
    pub(super) global: u64,
    pub(super) globals: usize,
}

pub(super) fn float_bytes(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|x| x.to_le_bytes()).collect()
}

pub(super) fn floats(bytes: &[u8]) -> Vec<f32> {
    bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect()
}

/// Allocates the outputs of one side, codes and scales so many bytes past an aligned address. Nothing is
/// written to them: the zeros that pad swizzled scales are the kernel's to write, and reading the outputs
/// back fails where it did not.
pub(super) fn outputs(
    machine: &mut Machine,
    config: &Config,
    shape: [usize; 2],
    global: u64,
    globals: usize,
    shifts: [u64; 2],
) -> Result<Side, BackendError> {
    let [rows, cols] = shape;
    let bytes = [rows * cols / 2, config.scale_layout().bytes(rows, cols)];
    let mut alloc = |i: usize| machine.memory.alloc_unaligned(bytes[i], shifts[i]);
    let (codes, scales) = (alloc(0), alloc(1));
    Ok(Side { shape, codes, scales, global, globals })
}

pub(super) fn read_output(
    machine: &mut Machine,
    config: &Config,
    side: &Side,
) -> Result<Output, BackendError> {
    let [rows, cols] = side.shape;
    let globals = machine.memory.read(side.global, side.globals * size_of::<GlobalScale>())?;
    Ok(Output {
        codes: machine.memory.read(side.codes, rows * cols / 2)?,
        scales: machine.memory.read(side.scales, config.scale_layout().bytes(rows, cols))?,
        global_amax: floats(&globals).into_iter().step_by(4).collect(),
    })
}

/// The elements of a device buffer as raw bits.
pub(super) fn elements(bytes: &[u8], width: usize) -> Vec<u32> {
    bytes
        .chunks_exact(width)
        .map(|b| b.iter().rev().fold(0, |bits, &byte| bits << 8 | u32::from(byte)))
        .collect()
}

impl Side {
    /// Whether a kernel wrote anything to these outputs.
    pub(super) fn touched(&self, machine: &mut Machine) -> Result<bool, BackendError> {
        let [rows, cols] = self.shape;
        Ok(machine.memory.written(self.codes, rows * cols / 2)?.contains(&true))
    }
}
