//! What happens to a tensor, and why.

use std::borrow::Cow;

use super::glob::Glob;
use super::kind::Kind;

/// What happens to a tensor, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// Whether it is quantized.
    pub quantize: bool,
    /// Why, in a few words.
    pub reason: Cow<'static, str>,
    /// What it becomes, where it is quantized.
    pub kind: Kind,
    /// The parts that share its global scale: the name of their group.
    pub group: Option<String>,
}

impl Decision {
    pub(crate) fn keep(reason: impl Into<Cow<'static, str>>) -> Self {
        Self { quantize: false, reason: reason.into(), kind: Kind::default(), group: None }
    }

    pub(crate) fn quantize(reason: impl Into<Cow<'static, str>>) -> Self {
        Self { quantize: true, ..Self::keep(reason) }
    }

    pub(crate) fn fp8(glob: &Glob) -> Self {
        Self { kind: Kind::Fp8, ..Self::quantize(format!("FP8 by {}", glob.as_str())) }
    }

    /// Whether it is quantized to `kind`.
    pub(crate) fn becomes(&self, kind: Kind) -> bool {
        self.quantize && self.kind == kind
    }
}
