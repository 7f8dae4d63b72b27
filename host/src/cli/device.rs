//! `--device auto|cpu|cuda[:N]`.

use std::fmt;
use std::str::FromStr;

use fouroversix::checkpoint::{CpuQuantizer, Quantizer};

use super::error::CliError;

/// What the user asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DeviceChoice {
    /// The first GPU that works, else the CPU.
    Auto,
    Cpu,
    /// The GPU of this number.
    Cuda(usize),
}

impl FromStr for DeviceChoice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "auto" => Ok(Self::Auto),
            "cpu" => Ok(Self::Cpu),
            "cuda" => Ok(Self::Cuda(0)),
            _ => text
                .strip_prefix("cuda:")
                .and_then(|number| number.parse().ok())
                .map(Self::Cuda)
                .ok_or_else(|| "use auto, cpu, cuda or cuda:N with a device number".to_owned()),
        }
    }
}

impl fmt::Display for DeviceChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Cpu => f.write_str("cpu"),
            Self::Cuda(number) => write!(f, "cuda:{number}"),
        }
    }
}

/// The quantizer for a choice.
pub(crate) fn quantizer(choice: DeviceChoice) -> Result<Box<dyn Quantizer>, CliError> {
    match choice {
        DeviceChoice::Cpu => Ok(Box::new(CpuQuantizer)),
        DeviceChoice::Cuda(number) => cuda(number),
        DeviceChoice::Auto => Ok(cuda(0).unwrap_or_else(|_| Box::new(CpuQuantizer))),
    }
}

#[cfg(feature = "cuda")]
fn cuda(number: usize) -> Result<Box<dyn Quantizer>, CliError> {
    Ok(Box::new(open(number)?))
}

/// The GPU of this number.
#[cfg(feature = "cuda")]
pub(crate) fn open(number: usize) -> Result<fouroversix::cuda::Device, CliError> {
    fouroversix::cuda::Device::new(number).map_err(|error| {
        CliError::said(format!(
            "--device cuda:{number} can't be used: {error} (--device cpu works everywhere)"
        ))
    })
}

#[cfg(not(feature = "cuda"))]
fn cuda(number: usize) -> Result<Box<dyn Quantizer>, CliError> {
    Err(CliError::said(format!(
        "--device cuda:{number} can't be used: this build has no CUDA support, use --device cpu"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_are_parsed_whole() {
        assert_eq!("cuda:3".parse(), Ok(DeviceChoice::Cuda(3)));
        assert_eq!("cuda".parse(), Ok(DeviceChoice::Cuda(0)));
        assert!("cuda:".parse::<DeviceChoice>().is_err());
        assert!("gpu".parse::<DeviceChoice>().is_err());
    }
}
