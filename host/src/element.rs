//! Input element types.

use fouroversix_kernels::config::InputType;
use half::{bf16, f16};

mod sealed {
    pub trait Sealed: crate::cpu::group::Load + crate::cpu::dispatch::Kernels {}
    impl Sealed for half::bf16 {}
    impl Sealed for half::f16 {}
    impl Sealed for f32 {}
}

/// A type that can be quantized and dequantized to: [`bf16`], [`f16`](struct@f16) or [`f32`].
pub trait Element: sealed::Sealed + Copy + Send + Sync + 'static {
    /// The type's tag.
    const TYPE: InputType;

    /// The exact value in FP32 (every bf16 and f16 has one; NaN stays NaN).
    fn to_f32(self) -> f32;

    /// Rounds to nearest, ties to even.
    fn from_f32(value: f32) -> Self;
}

impl Element for bf16 {
    const TYPE: InputType = InputType::Bf16;

    fn to_f32(self) -> f32 {
        Self::to_f32(self)
    }

    fn from_f32(value: f32) -> Self {
        Self::from_f32(value)
    }
}

impl Element for f16 {
    const TYPE: InputType = InputType::F16;

    fn to_f32(self) -> f32 {
        Self::to_f32(self)
    }

    fn from_f32(value: f32) -> Self {
        Self::from_f32(value)
    }
}

impl Element for f32 {
    const TYPE: InputType = InputType::F32;

    fn to_f32(self) -> f32 {
        self
    }

    fn from_f32(value: f32) -> Self {
        value
    }
}
