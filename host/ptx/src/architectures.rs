//! What is carried as machine code: for which devices, of which kernels.

use fouroversix_core::kernel::Operation;
use fouroversix_core::{InstructionSet, Kernel, Outputs};

/// An architecture that machine code is carried for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Architecture {
    /// The assembler's name for it.
    pub(crate) name: &'static str,
    /// Whose PTX is assembled.
    pub(crate) set: InstructionSet,
    /// The compute capabilities, major and minor, of devices that run its code.
    pub(crate) devices: &'static [(u32, u32)],
}

/// All of them. Devices are named one by one: NVIDIA promises that a later minor version runs an earlier
/// one's code, but not on an integrated GPU (8.7), nor on one that we do not know.
pub(crate) const ARCHITECTURES: [Architecture; 6] = {
    use InstructionSet::{Sm80, Sm89, Sm100f, Sm120f};
    [
        Architecture { name: "sm_80", set: Sm80, devices: &[(8, 0)] },
        Architecture { name: "sm_86", set: Sm80, devices: &[(8, 6)] },
        Architecture { name: "sm_89", set: Sm89, devices: &[(8, 9)] },
        Architecture { name: "sm_90", set: Sm89, devices: &[(9, 0)] },
        Architecture { name: "sm_100f", set: Sm100f, devices: &[(10, 0), (10, 3)] },
        Architecture { name: "sm_120f", set: Sm120f, devices: &[(12, 0), (12, 1)] },
    ]
};

/// Whether a kernel is carried as machine code: what a first quantization launches, rowwise and rounded to
/// nearest, and the way back. The driver compiles the others, of which there are many.
#[allow(dead_code, reason = "whoever loads asks the archive")]
pub(crate) fn carries(kernel: Kernel) -> bool {
    let first = match kernel.operation() {
        Operation::Quantize => kernel.outputs() == Some(Outputs::Rowwise),
        Operation::Amax | Operation::GlobalScales | Operation::Dequantize => true,
        _ => false,
    };
    first && !kernel.grouped() && !kernel.is_stochastic() && !kernel.transforms()
}
