//! The GPU kernels of fouroversix as PTX: one module for each kernel and instruction set, so that
//! loading a kernel compiles that kernel and nothing else.
//!
//! The features name instruction sets; a program carries those that it asks for, compressed. All are
//! on by default.

mod archive;

use std::fmt;

use archive::Archive;

#[cfg(feature = "sm_80")]
static SM_80: Archive = Archive::new(&archive::SM_80);
#[cfg(feature = "sm_89")]
static SM_89: Archive = Archive::new(&archive::SM_89);
#[cfg(feature = "sm_100f")]
static SM_100F: Archive = Archive::new(&archive::SM_100F);
/// The kernels of both families differ in their target's name alone: `cargo xtask ptx` sees to it.
#[cfg(feature = "sm_100f")]
static SM_120F: Archive = Archive::retargeted(&archive::SM_100F, "sm_100f", "sm_120f");

/// An instruction set that kernels are committed for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum InstructionSet {
    /// Ampere: no FP8 or FP4 conversions.
    Sm80,
    /// Ada and Hopper: FP8 conversions.
    Sm89,
    /// Blackwell, data center (10.x): FP4 conversions.
    Sm100f,
    /// Blackwell, consumer (12.x): FP4 conversions.
    Sm120f,
}

impl InstructionSet {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Sm80, Self::Sm89, Self::Sm100f, Self::Sm120f];

    /// The one to run on a device of compute capability `major.minor`; `None` below 8.0.
    ///
    /// A family's PTX is used on its family alone. Newer ones than we know get sm_89's, which the
    /// driver compiles for any later device.
    #[must_use]
    pub const fn for_capability(major: u32, minor: u32) -> Option<Self> {
        match (major, minor) {
            (0..=7, _) => None,
            (8, 0..=8) => Some(Self::Sm80),
            (10, _) => Some(Self::Sm100f),
            (12, _) => Some(Self::Sm120f),
            _ => Some(Self::Sm89),
        }
    }

    /// The name, as in the folder of its PTX.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sm80 => "sm_80",
            Self::Sm89 => "sm_89",
            Self::Sm100f => "sm_100f",
            Self::Sm120f => "sm_120f",
        }
    }

    /// The instruction set of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|isa| isa.name() == name)
    }
}

impl fmt::Display for InstructionSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The kernels of an instruction set, if this build carries them.
fn of(isa: InstructionSet) -> Option<&'static Archive> {
    match isa {
        #[cfg(feature = "sm_80")]
        InstructionSet::Sm80 => Some(&SM_80),
        #[cfg(feature = "sm_89")]
        InstructionSet::Sm89 => Some(&SM_89),
        #[cfg(feature = "sm_100f")]
        InstructionSet::Sm100f => Some(&SM_100F),
        #[cfg(feature = "sm_100f")]
        InstructionSet::Sm120f => Some(&SM_120F),
        #[allow(unreachable_patterns, reason = "with every feature there is no other")]
        _ => None,
    }
}

/// The kernels of an instruction set, by name; none where the build lacks its feature.
pub fn kernels(isa: InstructionSet) -> impl Iterator<Item = &'static str> {
    of(isa).into_iter().flat_map(|archive| archive.packed.kernels).map(|(name, ..)| *name)
}

/// The PTX module that holds one kernel; `None` where there is no such kernel or the build lacks the
/// feature of the instruction set.
#[must_use]
pub fn source(isa: InstructionSet, kernel: &str) -> Option<&'static str> {
    of(isa)?.kernel(kernel)
}

#[cfg(all(test, feature = "sm_80", feature = "sm_89", feature = "sm_100f"))]
mod tests {
    use super::*;

    #[test]
    fn every_instruction_set_has_the_same_kernels() {
        let names: Vec<_> = kernels(InstructionSet::Sm80).collect();
        assert!(names.len() > 80, "{} kernels", names.len());
        for isa in InstructionSet::ALL {
            assert_eq!(kernels(isa).collect::<Vec<_>>(), names, "{isa}");
            for name in &names {
                let text = source(isa, name).unwrap();
                assert!(text.contains(&format!(".visible .entry {name}(")), "{isa} {name}");
                assert!(text.contains(&format!(".target {isa}")), "{isa} {name}");
            }
        }
        assert_eq!(source(InstructionSet::Sm80, "no_such_kernel"), None);
    }

    #[test]
    fn capabilities() {
        use InstructionSet as I;
        for (capability, isa) in [
            ((7, 5), None),
            ((8, 0), Some(I::Sm80)),
            ((8, 6), Some(I::Sm80)),
            ((8, 9), Some(I::Sm89)),
            ((9, 0), Some(I::Sm89)),
            ((10, 0), Some(I::Sm100f)),
            ((10, 3), Some(I::Sm100f)),
            ((12, 1), Some(I::Sm120f)),
            ((13, 0), Some(I::Sm89)),
        ] {
            assert_eq!(I::for_capability(capability.0, capability.1), isa, "{capability:?}");
        }
    }
}
