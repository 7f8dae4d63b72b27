//! Options that several commands share, and how their values are read.

use clap::{Args, ValueEnum};
use fouroversix::checkpoint::{Format, Fuse, NonFinite};
use fouroversix::{E4m3Max, ErrorPath, InputType, Metric, Rule, Scaling};

use super::error::CliError;

/// How block scales are chosen.
#[derive(Clone, Debug, Args)]
pub(crate) struct RuleArgs {
    /// Plain NVFP4, or Four Over Six by absolute (mae) or squared (mse) error
    #[arg(long, value_enum, default_value_t = RuleName::Mse)]
    rule: RuleName,

    /// Where Four Over Six compares: in the input's domain (strict) or the scaled one (fast)
    /// [default: strict]
    #[arg(long, value_enum)]
    error_path: Option<ErrorPathName>,

    /// The bound that Four Over Six makes block scales fill [default: 256]
    #[arg(long, value_enum)]
    e4m3_max: Option<E4m3MaxName>,

    /// What shares a scale: 1x16 blocks under one amax (tensor) or one for each row (row), or
    /// 16x16 blocks (tile)
    #[arg(long, value_enum, default_value_t = ScalingName::Tensor)]
    scaling: ScalingName,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum RuleName {
    Plain,
    Mae,
    Mse,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum ErrorPathName {
    Strict,
    Fast,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum E4m3MaxName {
    #[value(name = "256")]
    M256,
    #[value(name = "448")]
    M448,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum ScalingName {
    Tensor,
    Row,
    Tile,
}

impl RuleArgs {
    pub(crate) fn rule(&self) -> Result<Rule, CliError> {
        let metric = match self.rule {
            RuleName::Plain => return self.plain(),
            RuleName::Mae => Metric::Mae,
            RuleName::Mse => Metric::Mse,
        };
        let error_path = match self.error_path {
            Some(ErrorPathName::Fast) => ErrorPath::Fast,
            Some(ErrorPathName::Strict) | None => ErrorPath::Strict,
        };
        let e4m3_max = match self.e4m3_max {
            Some(E4m3MaxName::M448) => E4m3Max::M448,
            Some(E4m3MaxName::M256) | None => E4m3Max::M256,
        };
        Ok(Rule::FourOverSix { metric, error_path, e4m3_max })
    }

    fn plain(&self) -> Result<Rule, CliError> {
        if self.e4m3_max == Some(E4m3MaxName::M256) {
            return Err(CliError::said(
                "--e4m3-max 256 does not go with --rule plain, which always uses 448: leave it out",
            ));
        }
        if self.error_path.is_some() {
            return Err(CliError::said(
                "--error-path does not go with --rule plain, which compares nothing: leave it out",
            ));
        }
        Ok(Rule::Plain)
    }

    pub(crate) const fn scaling(&self) -> Scaling {
        match self.scaling {
            ScalingName::Tensor => Scaling::Tensor,
            ScalingName::Row => Scaling::Row,
            ScalingName::Tile => Scaling::Tile,
        }
    }
}

/// What is told while a command works, and how.
#[derive(Clone, Copy, Debug, Args)]
pub struct TalkArgs {
    /// Say nothing but errors
    #[arg(long, short)]
    pub quiet: bool,

    /// Print one JSON document to standard output instead of text
    #[arg(long)]
    pub json: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum FormatName {
    CompressedTensors,
    Modelopt,
}

impl From<FormatName> for Format {
    fn from(name: FormatName) -> Self {
        match name {
            FormatName::CompressedTensors => Self::CompressedTensors,
            FormatName::Modelopt => Self::ModelOpt,
        }
    }
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum FuseName {
    None,
    Linear,
    Experts,
}

impl From<FuseName> for Fuse {
    fn from(name: FuseName) -> Self {
        match name {
            FuseName::None => Self::None,
            FuseName::Linear => Self::Linear,
            FuseName::Experts => Self::Experts,
        }
    }
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum NonFiniteName {
    Error,
    Saturate,
}

impl From<NonFiniteName> for NonFinite {
    fn from(name: NonFiniteName) -> Self {
        match name {
            NonFiniteName::Error => Self::Error,
            NonFiniteName::Saturate => Self::Saturate,
        }
    }
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum DtypeName {
    Bf16,
    F16,
    F32,
}

impl From<DtypeName> for InputType {
    fn from(name: DtypeName) -> Self {
        match name {
            DtypeName::Bf16 => Self::Bf16,
            DtypeName::F16 => Self::F16,
            DtypeName::F32 => Self::F32,
        }
    }
}

/// A number of bytes: `5000000000`, `5GB`, `500MB`, `4GiB`, …
pub(crate) fn parse_bytes(text: &str) -> Result<u64, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match text[digits.len()..].to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "kb" | "k" => 1_000,
        "mb" | "m" => 1_000_000,
        "gb" | "g" => 1_000_000_000,
        "kib" => 1 << 10,
        "mib" => 1 << 20,
        "gib" => 1 << 30,
        _ => return Err("use a number with B, KB, MB, GB, KiB, MiB or GiB".to_owned()),
    };
    let number: u64 =
        digits.trim().parse().map_err(|_| "use a whole number, as in 5GB".to_owned())?;
    match number.checked_mul(unit) {
        Some(bytes) if bytes > 0 => Ok(bytes),
        _ => Err("use a size from 1 B to 18 EB".to_owned()),
    }
}

/// A dimension of a tensor to be made: a multiple of 16, not 0.
pub fn side(text: &str) -> Result<usize, String> {
    match text.parse::<usize>() {
        Ok(side) if side > 0 && side.is_multiple_of(16) => Ok(side),
        _ => Err("use a multiple of 16, from 16 on".to_owned()),
    }
}

/// The shape that two sides make, if it is one that can be counted.
pub fn shape(sides: &[usize]) -> Result<[usize; 2], CliError> {
    let [rows, cols] = [sides[0], sides[1]];
    match rows.checked_mul(cols).and_then(|count| count.checked_mul(size_of::<f32>())) {
        Some(bytes) if isize::try_from(bytes).is_ok() => Ok([rows, cols]),
        _ => Err(CliError::said(format!("--shape {rows} {cols} is beyond memory: use less"))),
    }
}

/// How often or how many: not 0, which would measure nothing.
pub fn count(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(count) if count > 0 => Ok(count),
        _ => Err("use a whole number, from 1 on".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::parse_bytes;

    #[test]
    fn sizes() {
        assert_eq!(parse_bytes("5GB"), Ok(5_000_000_000));
        assert_eq!(parse_bytes("4GiB"), Ok(4 << 30));
        assert_eq!(parse_bytes("123"), Ok(123));
        assert!(parse_bytes("5 parsecs").is_err());
        assert!(parse_bytes("0").is_err());
        assert!(parse_bytes("99999999999GB").is_err());
        assert!(parse_bytes("").is_err());
    }
}
