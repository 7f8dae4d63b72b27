//! The one error type.

use std::fmt;

use crate::config::{ConfigError, Feature, Outputs};
use crate::shape::ShapeError;

/// What can go wrong. `Display` is a sentence that names the offending value and the remedy.
///
/// Variants that hold another error are transparent: their sentence is its, and `source` goes on
/// with its source, so that a chain says nothing twice.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// The options do not go together.
    Config(ConfigError),
    /// The shape is not one of NVFP4, or a buffer does not suit it.
    Shape(ShapeError),
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
    /// A CPU path was asked for, by a call or by the environment variable `FOUROVERSIX_CPU`, that is
    /// none or that this machine lacks the instructions of.
    CpuPath {
        /// What was asked for.
        path: String,
        /// The names of those that run here, best first.
        available: Vec<&'static str>,
    },
    /// The call, or the buffers passed, are not for the configured outputs.
    Outputs {
        /// What was configured.
        configured: Outputs,
        /// What the call is for, as in `"one output"`.
        passed: &'static str,
    },
    /// A backend lacks what was asked for.
    Unsupported {
        /// What it lacks.
        feature: Feature,
        /// Which backend, in the plural.
        backend: &'static str,
    },
    /// A device failed; for CUDA a `DeviceError`.
    Device(Box<dyn std::error::Error + Send + Sync>),
}

impl Error {
    /// Whether a device is at fault, and another might do what was asked.
    #[must_use]
    pub const fn is_of_device(&self) -> bool {
        matches!(self, Self::Device(_))
    }
}

impl Outputs {
    /// Refuses two outputs where a call gives one.
    ///
    /// # Errors
    /// [`Error::Outputs`] for [`Outputs::Both`].
    pub const fn expect_one(self) -> Result<(), Error> {
        match self {
            Self::Rowwise | Self::Columnwise => Ok(()),
            Self::Both => Err(Error::Outputs { configured: self, passed: "one output" }),
        }
    }

    /// Refuses one output where a call gives two.
    ///
    /// # Errors
    /// [`Error::Outputs`] unless these are [`Outputs::Both`].
    pub const fn expect_both(self) -> Result<(), Error> {
        match self {
            Self::Both => Ok(()),
            Self::Rowwise | Self::Columnwise => {
                Err(Error::Outputs { configured: self, passed: "both outputs" })
            }
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Config(error) => error.fmt(f),
            Self::Shape(error) => error.fmt(f),
            Self::Amax { index, value } => write!(
                f,
                "the supplied amax number {index} is {value}: pass the largest magnitude of the \
                 tensor or row, zero or more"
            ),
            Self::AmaxKind { expected } => write!(
                f,
                "the supplied amax is not of the kind that the scaling needs: pass {expected}"
            ),
            Self::CpuPath { path, available } => {
                write!(f, "this machine has no CPU path {path:?}: use {}", available.join(", "))
            }
            Self::Unsupported { feature, backend } => {
                write!(f, "the {backend} don't do {feature} yet: use a configuration without it")
            }
            Self::Outputs { configured, passed } => {
                let configured = match configured {
                    Outputs::Both => "both outputs",
                    one => one.name(),
                };
                write!(
                    f,
                    "the configuration asks for {configured}, but the call is for {passed}: let both \
                     say the same"
                )
            }
            Self::Device(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Config(error) => error.source(),
            Self::Shape(error) => error.source(),
            Self::Device(error) => error.source(),
            _ => None,
        }
    }
}

impl From<ConfigError> for Error {
    fn from(error: ConfigError) -> Self {
        Self::Config(error)
    }
}

impl From<ShapeError> for Error {
    fn from(error: ShapeError) -> Self {
        Self::Shape(error)
    }
}
