//! The GPU kernels of fouroversix as PTX: one module for each kernel and instruction set, so that
//! loading a kernel compiles that kernel and nothing else.
//!
//! The features name instruction sets; a program carries those that it asks for, compressed. All are
//! on by default. The feature `machine-code` adds the machine code of the kernels that programs begin
//! with, made from the same PTX, which a driver has nothing to compile of.

#[cfg(feature = "machine-code")]
mod architectures;
mod archive;
#[cfg(feature = "machine-code")]
mod code;
mod numbers;

use archive::Archive;

pub use fouroversix_core::{InstructionSet, Kernel};

#[cfg(feature = "sm_80")]
static SM_80: Archive = Archive::new(&archive::SM_80);
#[cfg(feature = "sm_89")]
static SM_89: Archive = Archive::new(&archive::SM_89);
#[cfg(feature = "sm_100f")]
static SM_100F: Archive = Archive::new(&archive::SM_100F);
/// The kernels of both families differ in their target's name alone: `cargo xtask ptx` sees to it.
#[cfg(feature = "sm_100f")]
static SM_120F: Archive = Archive::retargeted(
    &archive::SM_100F,
    InstructionSet::Sm100f.name(),
    InstructionSet::Sm120f.name(),
);

/// The kernels of an instruction set, if this build carries them.
fn of(set: InstructionSet) -> Option<&'static Archive> {
    match set {
        #[cfg(feature = "sm_80")]
        InstructionSet::Sm80 => Some(&SM_80),
        #[cfg(feature = "sm_89")]
        InstructionSet::Sm89 => Some(&SM_89),
        #[cfg(feature = "sm_100f")]
        InstructionSet::Sm100f => Some(&SM_100F),
        #[cfg(feature = "sm_100f")]
        InstructionSet::Sm120f => Some(&SM_120F),
        _ => None,
    }
}

/// The PTX module that holds one kernel; `None` where the build lacks the feature of the instruction
/// set.
#[must_use]
pub fn source(set: InstructionSet, kernel: Kernel) -> Option<&'static str> {
    of(set)?.kernel(&kernel.name())
}

/// The machine code of one kernel (a cubin) for a device of compute capability `capability`, for a
/// driver of the CUDA version `cuda`, each major and minor.
///
/// `None` where this build has none: of most kernels, for devices that it does not know, for drivers of a
/// major version before the assembler's, and without the feature `machine-code`. Then, and where a driver
/// refuses it, there is the [`source`].
#[must_use]
#[cfg_attr(not(feature = "machine-code"), allow(unused_variables))]
pub fn machine_code(
    capability: (u32, u32),
    cuda: (u32, u32),
    kernel: Kernel,
) -> Option<&'static [u8]> {
    #[cfg(feature = "machine-code")]
    let code = code::kernel(capability, cuda, kernel);
    #[cfg(not(feature = "machine-code"))]
    let code = None;
    code
}

#[cfg(all(test, feature = "sm_80", feature = "sm_89", feature = "sm_100f"))]
mod tests {
    use super::*;

    #[test]
    fn every_instruction_set_has_every_kernel_and_no_other() {
        for set in InstructionSet::ALL {
            assert_eq!(of(set).unwrap().packed.kernels.len(), Kernel::ALL.len(), "{set}");
            for kernel in Kernel::ALL {
                let text = source(set, kernel).unwrap();
                assert!(text.contains(&format!(".visible .entry {kernel}(")), "{set} {kernel}");
                assert!(text.contains(&format!("\n.target {set}\n")), "{set} {kernel}");
            }
        }
    }
}
