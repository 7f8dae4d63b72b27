//! What is put to the test.

use std::fmt;

use crate::case::{Case, Outcome};
use crate::dequantize_case::DequantizeCase;

/// Why a backend does not take a case: a sentence without a full stop.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SkipReason(String);

impl SkipReason {
    /// A reason, such as "has no columnwise kernels".
    pub fn new(reason: impl Into<String>) -> Self {
        Self(reason.into())
    }
}

impl fmt::Display for SkipReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a backend answers when it fails at a case that it said it supports.
pub type BackendError = Box<dyn std::error::Error>;

/// An implementation of the contract: the reference, the CPU path, a GPU, an executor of PTX.
///
/// A case that [`supports`](Self::supports) refuses counts as skipped, never as passed; an error
/// from [`quantize`](Self::quantize) counts as failed.
pub trait Backend {
    /// A short name, such as `cpu` or `ptx:sm_89`.
    fn name(&self) -> String;

    /// Whether [`quantize`](Self::quantize) takes this case.
    ///
    /// # Errors
    /// The reason why not.
    fn supports(&self, case: &Case) -> Result<(), SkipReason>;

    /// Quantizes `case.input` as `case.config` says, with `case.supplied_amax` if there is one.
    ///
    /// The answer holds exactly the outputs that the configuration asks for. It must not be made
    /// from `case.expected`.
    ///
    /// # Errors
    /// Whatever went wrong.
    fn quantize(&self, case: &Case) -> Result<Outcome, BackendError>;

    /// Whether [`dequantize`](Self::dequantize) takes this case. Unless overridden: no.
    ///
    /// # Errors
    /// The reason why not.
    fn supports_dequantize(&self, _case: &DequantizeCase) -> Result<(), SkipReason> {
        Err(SkipReason::new("does not dequantize"))
    }

    /// Dequantizes `case.tensor` to `case.element`: raw bits, row-major.
    ///
    /// # Errors
    /// Whatever went wrong; unless overridden, that there is no dequantization.
    fn dequantize(&self, _case: &DequantizeCase) -> Result<Vec<u32>, BackendError> {
        Err("does not dequantize".into())
    }
}
