//! Options that several commands share, and how their values are read.

use std::fmt::Debug;
use std::str::FromStr;

use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use fouroversix::{E4m3Max, ErrorPath, Rule, Scaling};

use super::error::CliError;

/// The rules that `--rule` names.
pub(crate) const RULES: [&str; 5] = ["plain", "mae", "mse", "search-mse", "search-mae"];

/// How block scales are chosen.
#[derive(Clone, Debug, Args)]
pub(crate) struct RuleArgs {
    /// Plain NVFP4, Four Over Six by absolute (mae) or squared (mse) error, or scale search by
    /// either, the slowest and closest [default: search-mse; with --error-path mse]
    #[arg(long, value_parser = named::<Rule>(RULES))]
    pub(crate) rule: Option<Rule>,

    /// Where Four Over Six compares: in the input's domain (strict) or the scaled one (fast)
    /// [default: strict]
    #[arg(long, value_parser = named::<ErrorPath>(ErrorPath::ALL.map(ErrorPath::name)))]
    pub(crate) error_path: Option<ErrorPath>,

    /// The bound that Four Over Six and scale search make block scales fill [default: 256]
    #[arg(long, value_parser = named::<E4m3Max>(["256", "448"]))]
    pub(crate) e4m3_max: Option<E4m3Max>,

    /// What shares a scale: 1x16 blocks under one amax (tensor) or one for each row (row), or
    /// 16x16 blocks (tile) [default: tensor]
    #[arg(long, value_parser = named::<Scaling>(Scaling::ALL.map(Scaling::name)))]
    pub(crate) scaling: Option<Scaling>,
}

/// Reads an option of the library by these of its names.
pub fn named<T>(names: impl IntoIterator<Item = &'static str>) -> impl TypedValueParser<Value = T>
where
    T: FromStr<Err: Debug> + Clone + Send + Sync + 'static,
{
    PossibleValuesParser::new(names).map(|name| name.parse().expect("a name of the library"))
}

impl RuleArgs {
    pub(crate) fn rule(&self) -> Result<Rule, CliError> {
        let e4m3_max = self.e4m3_max.unwrap_or_default();
        match self.rule.unwrap_or(self.default_rule()) {
            Rule::FourOverSix { metric, .. } => {
                let error_path = self.error_path.unwrap_or_default();
                Ok(Rule::FourOverSix { metric, error_path, e4m3_max })
            }
            Rule::Search { .. } if self.error_path.is_some() => Err(CliError::said(
                "--error-path does not go with --rule search-mse or search-mae, which always compare \
                 in the scaled domain: leave it out",
            )),
            Rule::Search { metric, .. } => Ok(Rule::Search { metric, e4m3_max }),
            _ => self.plain(),
        }
    }

    /// The rule where none is named: the one with the lowest error on weights, and Four Over Six
    /// where an error path is asked for, which search does not have.
    const fn default_rule(&self) -> Rule {
        if self.error_path.is_some() { Rule::MSE } else { Rule::SEARCH_MSE }
    }

    fn plain(&self) -> Result<Rule, CliError> {
        if self.e4m3_max == Some(E4m3Max::M256) {
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

    pub(crate) fn scaling(&self) -> Scaling {
        self.scaling.unwrap_or_default()
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
    use fouroversix::checkpoint::{Format, Fuse, NonFinite};
    use fouroversix::{InputType, Rule};

    use super::*;

    /// Every name that help offers is one that the library reads, and every value has its name.
    #[test]
    fn names_are_those_of_the_library() {
        fn read<T>(names: &[&'static str], values: &[T])
        where
            T: FromStr<Err: Debug> + Clone + Debug + PartialEq + Send + Sync + 'static,
        {
            let command = clap::Command::new("test").no_binary_name(true);
            let argument = clap::Arg::new("value").value_parser(named::<T>(names.to_vec()));
            let command = command.arg(argument);
            for (name, value) in names.iter().zip(values) {
                let matches = command.clone().try_get_matches_from([name]).unwrap();
                assert_eq!(matches.get_one::<T>("value"), Some(value));
            }
            assert!(command.try_get_matches_from(["nonsense"]).is_err());
        }
        read(&["plain", "mae", "mse"], &[Rule::Plain, Rule::MAE, Rule::MSE]);
        read(&ErrorPath::ALL.map(ErrorPath::name), &ErrorPath::ALL);
        read(&["256", "448"], &[E4m3Max::M256, E4m3Max::M448]);
        read(&Scaling::ALL.map(Scaling::name), &Scaling::ALL);
        read(&Format::ALL.map(Format::name), &Format::ALL);
        read(&Fuse::ALL.map(Fuse::name), &Fuse::ALL);
        read(&NonFinite::ALL.map(NonFinite::name), &NonFinite::ALL);
        read(&InputType::ALL.map(InputType::name), &InputType::ALL);
    }

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
