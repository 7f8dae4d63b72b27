//! What a quantized tensor becomes.

use fouroversix_core::{named, serde_by_name};

/// What a quantized tensor becomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default, PartialOrd, Ord)]
pub enum Kind {
    /// E2M1 codes, a block scale for 16 of them and a global scale.
    #[default]
    Nvfp4,
    /// E4M3 codes and an F32 scale for each row (output channel).
    Fp8,
}

named!(Kind, "kind of quantized tensor", [Nvfp4, Fp8]);
serde_by_name!(Kind);

impl Kind {
    /// `nvfp4` or `fp8`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Nvfp4 => "nvfp4",
            Self::Fp8 => "fp8",
        }
    }

    /// Whether it is what is written unless something else is asked for.
    #[allow(clippy::trivially_copy_pass_by_ref)] // serde's signature
    pub(crate) fn is_usual(&self) -> bool {
        *self == Self::default()
    }
}
