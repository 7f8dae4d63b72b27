//! Which implementation runs.

use std::fmt;
use std::str::FromStr;
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
    /// `FOUROVERSIX_CPU`. Found out once.
    ///
    /// # Errors
    /// [`Error::CpuPath`] when the variable names a path that does not run here, or none.
    pub fn detect() -> Result<Self, Error> {
        static PATH: OnceLock<Result<Path, String>> = OnceLock::new();
        let found = PATH.get_or_init(|| match std::env::var_os("FOUROVERSIX_CPU") {
            None => Ok(Self::best()),
            Some(name) => {
                let name = name.to_string_lossy();
                name.parse().map_err(|_: Error| name.into_owned())
            }
        });
        found.clone().map_err(missing)
    }

    /// The best path of this machine, whatever the environment says.
    #[must_use]
    pub fn best() -> Self {
        Self::available()[0]
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
            Err(missing(self.name().to_owned()))
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

fn missing(path: String) -> Error {
    Error::CpuPath { path, available: Path::available().iter().map(|path| path.name()).collect() }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Path {
    type Err = Error;

    /// Reads the name of a path that runs on this machine.
    fn from_str(name: &str) -> Result<Self, Error> {
        let named = Self::available().into_iter().find(|path| path.name() == name);
        named.ok_or_else(|| missing(name.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back() {
        for path in Path::available() {
            assert_eq!(path.to_string().parse::<Path>().unwrap(), path);
        }
        let error = "avx3".parse::<Path>().unwrap_err().to_string();
        assert!(error.contains("\"avx3\"") && error.contains("portable, scalar"), "{error}");
    }
}
