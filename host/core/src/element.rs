//! Element types, and slices of them.

use std::fmt;

use half::{bf16, f16};

use crate::config::InputType;
use crate::debug::Few;

mod sealed {
    pub trait Sealed {}
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

    /// The slice with its type known at run time.
    fn values(slice: &[Self]) -> Values<'_>;

    /// As [`Element::values`], to write to.
    fn values_mut(slice: &mut [Self]) -> ValuesMut<'_>;
}

impl Element for bf16 {
    const TYPE: InputType = InputType::Bf16;

    fn to_f32(self) -> f32 {
        Self::to_f32(self)
    }

    fn from_f32(value: f32) -> Self {
        Self::from_f32(value)
    }

    fn values(slice: &[Self]) -> Values<'_> {
        Values::Bf16(slice)
    }

    fn values_mut(slice: &mut [Self]) -> ValuesMut<'_> {
        ValuesMut::Bf16(slice)
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

    fn values(slice: &[Self]) -> Values<'_> {
        Values::F16(slice)
    }

    fn values_mut(slice: &mut [Self]) -> ValuesMut<'_> {
        ValuesMut::F16(slice)
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

    fn values(slice: &[Self]) -> Values<'_> {
        Values::F32(slice)
    }

    fn values_mut(slice: &mut [Self]) -> ValuesMut<'_> {
        ValuesMut::F32(slice)
    }
}

/// Elements of a tensor as the quantizer takes them.
#[derive(Clone, Copy)]
pub enum Values<'a> {
    /// bfloat16.
    Bf16(&'a [bf16]),
    /// IEEE binary16.
    F16(&'a [f16]),
    /// IEEE binary32.
    F32(&'a [f32]),
}

impl Values<'_> {
    /// How many.
    #[must_use]
    pub const fn len(&self) -> usize {
        match self {
            Self::Bf16(values) => values.len(),
            Self::F16(values) => values.len(),
            Self::F32(values) => values.len(),
        }
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Their type.
    #[must_use]
    pub const fn input_type(&self) -> InputType {
        match self {
            Self::Bf16(_) => InputType::Bf16,
            Self::F16(_) => InputType::F16,
            Self::F32(_) => InputType::F32,
        }
    }
}

impl fmt::Debug for Values<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bf16(values) => f.debug_tuple("Bf16").field(&Few(values)).finish(),
            Self::F16(values) => f.debug_tuple("F16").field(&Few(values)).finish(),
            Self::F32(values) => f.debug_tuple("F32").field(&Few(values)).finish(),
        }
    }
}

/// As [`Values`], to write to.
pub enum ValuesMut<'a> {
    /// bfloat16.
    Bf16(&'a mut [bf16]),
    /// IEEE binary16.
    F16(&'a mut [f16]),
    /// IEEE binary32.
    F32(&'a mut [f32]),
}

impl fmt::Debug for ValuesMut<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bf16(values) => Values::Bf16(values).fmt(f),
            Self::F16(values) => Values::F16(values).fmt(f),
            Self::F32(values) => Values::F32(values).fmt(f),
        }
    }
}
