//! The one error type.

use std::fmt;

use crate::config::{ConfigError, Outputs};

/// What can go wrong. `Display` is a sentence that names the offending value and the remedy.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// The options do not go together.
    Config(ConfigError),
    /// A dimension is not a multiple of what the block shape needs.
    Dimension {
        /// `"rows"` or `"columns"`.
        dimension: &'static str,
        /// Its length.
        length: usize,
        /// What it must be a multiple of.
        multiple: usize,
    },
    /// A buffer's length does not match its shape.
    Length {
        /// Which buffer.
        buffer: &'static str,
        /// Its length in elements.
        actual: usize,
        /// The length the shape asks for.
        expected: usize,
    },
    /// A supplied amax is NaN or negative: no tensor has such a largest magnitude.
    Amax {
        /// Its place in the list.
        index: usize,
        /// Its value.
        value: f32,
    },
    /// A supplied amax is of another kind than the scaling needs.
    AmaxKind {
        /// What the scaling needs.
        expected: &'static str,
    },
    /// A CPU path was asked for that this machine lacks the instructions of.
    CpuPath {
        /// Its name.
        path: &'static str,
    },
    /// The buffers passed are not those of the configured outputs.
    Outputs {
        /// What was configured.
        configured: Outputs,
    },
    /// A device failed; the source is its own error, for CUDA a `DeviceError`.
    Device(Box<dyn std::error::Error + Send + Sync>),
}

impl Error {
    /// Whether a device is at fault, and another might do what was asked.
    #[must_use]
    pub const fn is_of_device(&self) -> bool {
        matches!(self, Self::Device(_))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Config(error) => error.fmt(f),
            Self::Dimension { dimension, length, multiple } => write!(
                f,
                "the tensor has {length} {dimension}, which is not a multiple of {multiple}: pad it \
                 or leave it unquantized"
            ),
            Self::Length { buffer, actual, expected } => write!(
                f,
                "{buffer} holds {actual} elements but its shape asks for {expected}: pass a buffer \
                 of exactly that length"
            ),
            Self::Amax { index, value } => write!(
                f,
                "the supplied amax number {index} is {value}: pass the largest magnitude of the \
                 tensor or row, zero or more"
            ),
            Self::AmaxKind { expected } => write!(
                f,
                "the supplied amax is not of the kind that the scaling needs: pass {expected}"
            ),
            Self::CpuPath { path } => write!(
                f,
                "this machine cannot run the CPU path {path}: use one of `cpu::Path::available`"
            ),
            Self::Outputs { configured } => write!(
                f,
                "the configuration asks for output {configured:?}, but other buffers were passed: \
                 pass a buffer for each configured output and no other"
            ),
            Self::Device(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Config(error) => Some(error),
            Self::Device(error) => Some(error.as_ref()),
            _ => None,
        }
    }
}

impl From<ConfigError> for Error {
    fn from(error: ConfigError) -> Self {
        Self::Config(error)
    }
}
