//! Kernels as machine code, compressed like the PTX, an archive for each architecture.

use std::sync::OnceLock;

use fouroversix_core::Kernel;

use crate::architectures::{ARCHITECTURES, Architecture};
use crate::archive::{MEMBERS, Packed};

/// An archive file of machine code, and what it was made from.
pub(crate) struct Assembled {
    /// CUDA's release, major and minor, whose assembler made it.
    cuda: (u32, u32),
    packed: Packed,
    /// XXH3 of each kernel's PTX, in the order of `packed.kernels`.
    #[cfg(test)]
    ptx: &'static [u64],
}

/// Machine code that is taken apart member by member.
struct Code {
    assembled: Assembled,
    members: [OnceLock<Vec<u8>>; MEMBERS],
}

#[allow(dead_code, reason = "a build may carry no instruction set")]
impl Code {
    const fn new(assembled: Assembled) -> Self {
        assert!(assembled.packed.members.len() <= MEMBERS);
        Self { assembled, members: [const { OnceLock::new() }; MEMBERS] }
    }
}

#[cfg(feature = "sm_80")]
static SM_80: Code = Code::new(include!("../machine-code/sm_80.rs"));
#[cfg(feature = "sm_80")]
static SM_86: Code = Code::new(include!("../machine-code/sm_86.rs"));
#[cfg(feature = "sm_89")]
static SM_89: Code = Code::new(include!("../machine-code/sm_89.rs"));
#[cfg(feature = "sm_89")]
static SM_90: Code = Code::new(include!("../machine-code/sm_90.rs"));
#[cfg(feature = "sm_100f")]
static SM_100F: Code = Code::new(include!("../machine-code/sm_100f.rs"));
#[cfg(feature = "sm_100f")]
static SM_120F: Code = Code::new(include!("../machine-code/sm_120f.rs"));

/// The machine code for an architecture, if this build carries the set that it was assembled from.
fn of(architecture: &Architecture) -> Option<&'static Code> {
    match architecture.name {
        #[cfg(feature = "sm_80")]
        "sm_80" => Some(&SM_80),
        #[cfg(feature = "sm_80")]
        "sm_86" => Some(&SM_86),
        #[cfg(feature = "sm_89")]
        "sm_89" => Some(&SM_89),
        #[cfg(feature = "sm_89")]
        "sm_90" => Some(&SM_90),
        #[cfg(feature = "sm_100f")]
        "sm_100f" => Some(&SM_100F),
        #[cfg(feature = "sm_100f")]
        "sm_120f" => Some(&SM_120F),
        _ => None,
    }
}

/// The architecture whose code a device runs, if it is one that we know.
fn architecture(capability: (u32, u32)) -> Option<&'static Architecture> {
    ARCHITECTURES.iter().find(|architecture| architecture.devices.contains(&capability))
}

/// See [`crate::machine_code`].
pub(crate) fn kernel(
    capability: (u32, u32),
    cuda: (u32, u32),
    kernel: Kernel,
) -> Option<&'static [u8]> {
    let code = of(architecture(capability)?)?;
    // A driver loads what any release up to its own major one has made.
    if cuda.0 < code.assembled.cuda.0 {
        return None;
    }
    let packed = &code.assembled.packed;
    let (member, bytes) = packed.find(&kernel.name())?;
    code.members[member].get_or_init(|| packed.unpack(member)).get(bytes)
}

#[cfg(all(test, feature = "sm_80", feature = "sm_89", feature = "sm_100f"))]
mod tests {
    use fouroversix_core::InstructionSet;
    use xxhash_rust::xxh3::xxh3_64;

    use super::*;
    use crate::architectures::carries;

    const NEW: (u32, u32) = (99, 0);

    #[test]
    fn devices_get_the_code_of_their_architecture() {
        for (capability, name) in [
            ((7, 5), None),
            ((8, 0), Some("sm_80")),
            ((8, 6), Some("sm_86")),
            ((8, 7), None),
            ((8, 9), Some("sm_89")),
            ((9, 0), Some("sm_90")),
            ((9, 1), None),
            ((10, 0), Some("sm_100f")),
            ((10, 3), Some("sm_100f")),
            ((11, 0), None),
            ((12, 0), Some("sm_120f")),
            ((12, 1), Some("sm_120f")),
            ((12, 2), None),
            ((13, 0), None),
        ] {
            assert_eq!(architecture(capability).map(|it| it.name), name, "{capability:?}");
            let kernel = kernel(capability, NEW, Kernel::global_scales());
            assert_eq!(kernel.is_some(), name.is_some(), "{capability:?}");
        }
    }

    #[test]
    fn code_is_assembled_from_the_ptx_that_its_devices_would_get() {
        for architecture in &ARCHITECTURES {
            for &(major, minor) in architecture.devices {
                let set = InstructionSet::for_capability(major, minor);
                assert_eq!(set, Some(architecture.set), "{major}.{minor}");
            }
            let Assembled { packed, ptx, .. } = &of(architecture).unwrap().assembled;
            let carried = Kernel::ALL.into_iter().filter(|kernel| carries(*kernel));
            let names = carried.clone().map(|kernel| kernel.to_string());
            assert!(packed.kernels.iter().map(|it| it.0.to_owned()).eq(names));
            assert_eq!(ptx.len(), packed.kernels.len());
            for (kernel, digest) in carried.zip(*ptx) {
                let text = crate::source(architecture.set, kernel).unwrap();
                let name = architecture.name;
                assert_eq!(
                    xxh3_64(text.as_bytes()),
                    *digest,
                    "{kernel} on {name}: cargo xtask machine-code"
                );
            }
        }
    }

    #[test]
    fn code_is_for_the_architecture_that_it_is_named_after() {
        const CUDA: u16 = 190;
        for architecture in &ARCHITECTURES {
            let number = architecture.name.trim_matches(|c: char| !c.is_ascii_digit());
            for kernel_of in Kernel::ALL.into_iter().filter(|kernel| carries(*kernel)) {
                let code = kernel(architecture.devices[0], NEW, kernel_of).unwrap();
                let what = format!("{kernel_of} on {}", architecture.name);
                assert_eq!(code[..5], *b"\x7fELF\x02", "{what}");
                assert_eq!(u16::from_le_bytes([code[18], code[19]]), CUDA, "{what}");
                // The second byte of an ELF header's flags.
                assert_eq!(code[49].to_string(), number, "{what}");
                let entry = format!(".text.{kernel_of}\0");
                assert!(code.windows(entry.len()).any(|it| it == entry.as_bytes()), "{what}");
            }
        }
    }

    #[test]
    fn an_older_driver_gets_none() {
        for architecture in &ARCHITECTURES {
            let (major, minor) = of(architecture).unwrap().assembled.cuda;
            let with = |cuda| kernel(architecture.devices[0], cuda, Kernel::global_scales());
            assert!(with((major, 0)).is_some() && with((major, minor)).is_some());
            assert!(with((major - 1, 99)).is_none());
        }
    }

    #[test]
    fn other_kernels_have_none() {
        let other = Kernel::ALL.into_iter().find(|kernel| !carries(*kernel)).unwrap();
        assert_eq!(kernel((9, 0), NEW, other), None);
    }
}
