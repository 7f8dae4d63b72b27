//! The instruction sets that kernels are compiled for: rows of one table of capabilities.
//!
//! `cargo xtask ptx` compiles each row for its target and hands its capabilities to the device sources
//! as cfgs (`--cfg fp4_cvt`): the sources ask what a set can do, never which set it is.

use core::fmt;

/// An instruction set that kernels are compiled for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum InstructionSet {
    /// Ampere: no FP8 or FP4 conversions.
    Sm80,
    /// Ada and Hopper: FP8 conversions.
    Sm89,
    /// Blackwell, data center (10.x): FP4 conversions.
    Sm100f,
    /// Blackwell, consumer (12.x): FP4 conversions.
    Sm120f,
    /// Hopper with Blackwell's kernels, their FP4 conversions emulated. Compiled on request, to
    /// measure those kernels; no device gets it.
    Sm90AsBlackwell,
}

/// An instruction, or a way to write the kernels, that some sets have and others lack.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Capability {
    /// FP8 conversions: `cvt.rn.satfinite.e4m3x2.f32` and its like (sm_89 on).
    Fp8Cvt,
    /// The maximum of two magnitudes: `max.xorsign.abs` (sm_86 on).
    MaxAbs,
    /// FP4 conversions: `cvt.rn.satfinite.e2m1x2.f32` and back (Blackwell's families).
    Fp4Cvt,
    /// Kernels written for FP4 conversions; where [`Capability::Fp4Cvt`] is missing they are emulated.
    Fp4Kernels,
    /// FP32 arithmetic on pairs: `fma.rn.f32x2` and its like (sm_100 on).
    F32x2,
    /// FP32 arithmetic with an FP16 operand: `sub.rn.f32.f16` (sm_100 on).
    F32F16,
}

impl Capability {
    /// The cfg that the device sources see.
    #[must_use]
    pub const fn cfg(self) -> &'static str {
        match self {
            Self::Fp8Cvt => "fp8_cvt",
            Self::MaxAbs => "max_abs",
            Self::Fp4Cvt => "fp4_cvt",
            Self::Fp4Kernels => "fp4_kernels",
            Self::F32x2 => "f32x2",
            Self::F32F16 => "f32_f16",
        }
    }
}

/// Where the PTX of a set comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Text {
    /// It is committed, and carried by `fouroversix-ptx`.
    Committed,
    /// It is that of a committed set with this set's name for the target, in every module.
    SameAs(InstructionSet),
    /// `cargo xtask ptx --isa NAME --out DIR` makes it.
    OnRequest,
}

/// What is known of an instruction set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// The name, as in the folder of its PTX.
    pub name: &'static str,
    /// The compiler's name for the target.
    pub cpu: &'static str,
    /// The PTX version of its modules, major and minor: the lowest that has all it needs.
    pub ptx: [u32; 2],
    /// Where its PTX comes from.
    pub text: Text,
    /// What it can do.
    pub capabilities: &'static [Capability],
}

const BLACKWELL: &[Capability] = {
    use Capability::{F32F16, F32x2, Fp4Cvt, Fp4Kernels, Fp8Cvt, MaxAbs};
    &[Fp8Cvt, MaxAbs, Fp4Cvt, Fp4Kernels, F32x2, F32F16]
};

impl InstructionSet {
    /// Those that programs carry.
    pub const ALL: [Self; 4] = [Self::Sm80, Self::Sm89, Self::Sm100f, Self::Sm120f];

    /// Those that programs carry, and those that are made on request.
    pub const WITH_REQUESTED: [Self; 5] =
        [Self::Sm80, Self::Sm89, Self::Sm100f, Self::Sm120f, Self::Sm90AsBlackwell];

    /// The set's row of the table.
    #[must_use]
    pub const fn row(self) -> Row {
        use Capability::{Fp4Kernels, Fp8Cvt, MaxAbs};
        use Text::{Committed, OnRequest, SameAs};
        let (name, cpu, ptx, text, capabilities): (_, _, _, _, &[Capability]) = match self {
            Self::Sm80 => ("sm_80", "sm_80", [7, 0], Committed, &[]),
            Self::Sm89 => ("sm_89", "sm_89", [8, 1], Committed, &[Fp8Cvt, MaxAbs]),
            Self::Sm100f => ("sm_100f", "sm_100f", [8, 8], Committed, BLACKWELL),
            Self::Sm120f => ("sm_120f", "sm_120f", [8, 8], SameAs(Self::Sm100f), BLACKWELL),
            Self::Sm90AsBlackwell => {
                ("sm_90_as_blackwell", "sm_90", [8, 0], OnRequest, &[Fp8Cvt, MaxAbs, Fp4Kernels])
            }
        };
        Row { name, cpu, ptx, text, capabilities }
    }

    /// Whether the set can do something.
    #[must_use]
    pub const fn has(self, capability: Capability) -> bool {
        let capabilities = self.row().capabilities;
        let mut i = 0;
        while i < capabilities.len() {
            if capabilities[i] as u8 == capability as u8 {
                return true;
            }
            i += 1;
        }
        false
    }

    /// The cfgs that the device sources are compiled with, see [`Capability::cfg`].
    pub fn cfgs(self) -> impl Iterator<Item = &'static str> {
        self.row().capabilities.iter().map(|capability| capability.cfg())
    }

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
        self.row().name
    }

    /// The instruction set of that name, those on request included.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::WITH_REQUESTED.into_iter().find(|set| set.name() == name)
    }
}

impl fmt::Display for InstructionSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::{Capability, InstructionSet as I, Text};

    #[test]
    fn capabilities() {
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

    #[test]
    fn sets_are_what_programs_carry_and_what_is_made_on_request() {
        for set in I::WITH_REQUESTED {
            let on_request = set.row().text == Text::OnRequest;
            assert_eq!(I::ALL.contains(&set), !on_request, "{set}");
            assert_eq!(I::from_name(set.name()), Some(set));
            if let Text::SameAs(other) = set.row().text {
                assert_eq!(other.row().text, Text::Committed, "{set}");
                assert_eq!(other.row().capabilities, set.row().capabilities, "{set}");
            }
            // What has the conversions has the kernels that use them.
            let needs = [Capability::Fp8Cvt, Capability::Fp4Kernels];
            assert!(!set.has(Capability::Fp4Cvt) || needs.iter().all(|it| set.has(*it)), "{set}");
        }
    }
}
