//! From a [`Path`] to code compiled for its instructions.

use crate::path::Path;

#[cfg(target_arch = "x86_64")]
use super::avx2::Avx2;
#[cfg(target_arch = "x86_64")]
use super::avx512::Avx512;
#[cfg(target_arch = "aarch64")]
use super::neon::Neon;
use super::portable::Portable;
use super::vector::Vectorized;

/// Runs `work` for the lanes of `path`; with [`Portable`] for the scalar path.
///
/// # Safety
/// The path is available, and what `work` asks for holds.
pub(crate) unsafe fn on_path<W: Vectorized>(path: Path, work: W) -> W::Output {
    // SAFETY: the caller's.
    unsafe {
        match path {
            #[cfg(target_arch = "x86_64")]
            Path::Avx2 => work.run_on::<Avx2>(),
            #[cfg(target_arch = "x86_64")]
            Path::Avx512 => work.run_on::<Avx512>(),
            #[cfg(target_arch = "aarch64")]
            Path::Neon => work.run_on::<Neon>(),
            Path::Scalar | Path::Portable => work.run_on::<Portable<4>>(),
        }
    }
}
