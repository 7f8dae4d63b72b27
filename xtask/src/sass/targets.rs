//! What the kernels are assembled for.

use fouroversix_core::{InstructionSet, Kernel};

use super::kernel;

/// An assembled target: the PTX it comes from and the name `ptxas` knows it by.
pub(super) struct Target {
    pub(super) set: InstructionSet,
    pub(super) arch: &'static str,
    /// A GPU, where the target is in the tables that people read.
    pub(super) gpu: Option<&'static str>,
}

/// All of them.
pub(super) const TARGETS: [Target; 8] = {
    use InstructionSet::{Sm80, Sm89, Sm100f, Sm120f};
    [
        Target { set: Sm80, arch: "sm_80", gpu: Some("A100") },
        Target { set: Sm80, arch: "sm_86", gpu: None },
        Target { set: Sm89, arch: "sm_89", gpu: Some("RTX 4090") },
        Target { set: Sm89, arch: "sm_90", gpu: Some("H100") },
        Target { set: Sm100f, arch: "sm_100f", gpu: Some("B200") },
        Target { set: Sm100f, arch: "sm_103f", gpu: None },
        Target { set: Sm120f, arch: "sm_120f", gpu: Some("RTX 5090") },
        Target { set: Sm120f, arch: "sm_121f", gpu: None },
    ]
};

/// Whether `sass.md` has a kernel on a target.
pub(super) fn in_short(arch: &str, kernel: Kernel) -> bool {
    TARGETS.iter().any(|target| target.arch == arch && target.gpu.is_some())
        && kernel::in_short(kernel)
}
