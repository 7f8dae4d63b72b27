//! Kernel names and grids.
//!
//! The kernels are not part of the build yet: every launch is an error that says so.
use super::error::DeviceError;
use fouroversix_kernels::abi::*;
use fouroversix_kernels::config::*;
#[derive(Clone, Debug)]
pub(crate) struct Geometry {
    pub(crate) kernel: String,
    pub(crate) grid: [u32; 3],
    pub(crate) threads: u32,
}
type R<T> = Result<T, DeviceError>;
pub(crate) const SKIPPABLE: u32 = 16;
fn none<T>() -> R<T> {
    Err(DeviceError::MissingKernel {
        kernel: "of any kind".to_owned(),
        instruction_set: "any device",
    })
}
pub(crate) fn quantize_flags(_: &Config) -> u32 {
    0
}
pub(crate) fn tensor(_: [usize; 2]) -> R<QuantizeTensor> {
    none()
}
pub(crate) fn quantize(_: &Config, _: InputType, _: [usize; 2]) -> R<Geometry> {
    none()
}
pub(crate) fn quantize_rows(_: &Config, _: InputType, _: [usize; 2]) -> R<Geometry> {
    none()
}
#[cfg(feature = "cli")]
pub(crate) fn copy_quantize(_: InputType, _: [usize; 2]) -> R<Geometry> {
    none()
}
pub(crate) fn amax(_: InputType, _: [usize; 2]) -> R<Geometry> {
    none()
}
pub(crate) fn amax_rows(_: InputType, _: [usize; 2]) -> R<Geometry> {
    none()
}
pub(crate) fn amax_columns(_: InputType, _: [usize; 2]) -> R<Geometry> {
    none()
}
pub(crate) fn global_scales(_: usize) -> R<Geometry> {
    none()
}
pub(crate) fn dequantize(_: InputType, _: [usize; 2]) -> R<Geometry> {
    none()
}
#[cfg(feature = "cli")]
pub(crate) fn copy_dequantize(_: InputType, _: [usize; 2]) -> R<Geometry> {
    none()
}
pub(crate) fn dequantize_flags(_: ScaleLayout, _: E4m3Max, _: bool, _: u32) -> u32 {
    0
}
pub(crate) fn dequantize_params(_: [usize; 2]) -> R<DequantizeParams> {
    none()
}
