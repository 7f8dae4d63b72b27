//! Which implementation runs.

use std::sync::OnceLock;

use fouroversix_core::Error;

/// An implementation of the CPU kernels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Path {
    /// One element at a time, the contract's steps as they stand.
    Scalar,
    /// The vector kernel in plain Rust.
    Portable,
    /// AVX2, FMA and F16C.
    #[cfg(target_arch = "x86_64")]
    Avx2,
    /// AVX-512 F and BW.
    #[cfg(target_arch = "x86_64")]
    Avx512,
    /// NEON, little-endian.
    #[cfg(target_arch = "aarch64")]
    Neon,
}

impl Path {
    /// The best path of this machine, or the one named by the environment variable
    /// `FOUROVERSIX_CPU` if it is available. Found out once.
    #[must_use]
    pub fn detect() -> Self {
        static PATH: OnceLock<Path> = OnceLock::new();
        *PATH.get_or_init(|| {
            let paths = Self::available();
            let named = std::env::var("FOUROVERSIX_CPU").ok();
            let named = paths.iter().find(|path| named.as_deref() == Some(path.name()));
            *named.unwrap_or(&paths[0])
        })
    }

    /// Every path that runs on this machine, best first.
    #[must_use]
    pub fn available() -> Vec<Self> {
        let mut paths = Vec::new();
        #[cfg(target_arch = "x86_64")]
        if is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512bw") {
            paths.push(Self::Avx512);
        }
        #[cfg(target_arch = "x86_64")]
        if is_x86_feature_detected!("avx2")
            && is_x86_feature_detected!("fma")
            && is_x86_feature_detected!("f16c")
        {
            paths.push(Self::Avx2);
        }
        #[cfg(target_arch = "aarch64")]
        if cfg!(target_endian = "little") {
            paths.push(Self::Neon);
        }
        // The kernel takes pairs of 16-bit elements apart as little-endian words.
        if cfg!(target_endian = "little") {
            paths.push(Self::Portable);
        }
        paths.push(Self::Scalar);
        paths
    }

    /// An error where the path does not run.
    pub(crate) fn check(self) -> Result<(), Error> {
        if Self::available().contains(&self) {
            Ok(())
        } else {
            Err(Error::CpuPath { path: self.name() })
        }
    }

    /// Its name in lower case.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Scalar => "scalar",
            Self::Portable => "portable",
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => "avx2",
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => "avx512",
            #[cfg(target_arch = "aarch64")]
            Self::Neon => "neon",
        }
    }

    /// Blocks of a group.
    pub(crate) const fn lanes(self) -> usize {
        match self {
            Self::Scalar => 1,
            Self::Portable => 4,
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => 8,
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => 16,
            #[cfg(target_arch = "aarch64")]
            Self::Neon => 4,
        }
    }
}
