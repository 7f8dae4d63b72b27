//! What an element type needs to be quantized here.

use fouroversix_core::Element;
use half::{bf16, f16};

use super::dispatch::Kernels;
use super::group::Load;

/// An element type that the kernels are compiled for: every [`Element`].
pub(crate) trait CpuElement: Element + Load + Kernels {}

impl CpuElement for bf16 {}
impl CpuElement for f16 {}
impl CpuElement for f32 {}

/// `$function(…, slice, …)` for the type that the elements of `$slice` have.
macro_rules! with_values {
    ($slice:expr, |$values:ident| $body:expr) => {
        match Element::values($slice) {
            fouroversix_core::Values::Bf16($values) => $body,
            fouroversix_core::Values::F16($values) => $body,
            fouroversix_core::Values::F32($values) => $body,
        }
    };
}
pub(crate) use with_values;
