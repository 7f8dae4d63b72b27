//! Options as text: `Display` writes an option's name, `FromStr` reads it back.

use core::fmt;

use crate::config::{E4m3Max, ErrorPath, InputType, Metric, Outputs, Rule, ScaleLayout, Scaling};

/// Gives an enum with a method `name` its list of values, `Display`, and with `std` `FromStr`.
///
/// For the crates of this project.
#[doc(hidden)]
#[macro_export]
macro_rules! named {
    ($option:ident, $what:literal, [$($value:ident),+ $(,)?]) => {
        impl $option {
            /// Every value.
            pub const ALL: [Self; [$(Self::$value),+].len()] = [$(Self::$value),+];
        }

        impl ::core::fmt::Display for $option {
            fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
                f.pad(self.name())
            }
        }

        $crate::named_from_str!($option, $what);
    };
}

#[cfg(feature = "std")]
#[doc(hidden)]
#[macro_export]
macro_rules! named_from_str {
    ($option:ident, $what:literal) => {
        impl ::std::str::FromStr for $option {
            type Err = $crate::UnknownName;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                let named = Self::ALL.into_iter().find(|value| value.name() == text);
                named.ok_or_else(|| {
                    $crate::UnknownName::new($what, text, Self::ALL.iter().map(|it| it.name()))
                })
            }
        }
    };
}

#[cfg(not(feature = "std"))]
#[doc(hidden)]
#[macro_export]
macro_rules! named_from_str {
    ($option:ident, $what:literal) => {};
}

named!(Metric, "metric", [Mae, Mse]);
named!(ErrorPath, "error path", [Strict, Fast]);
named!(E4m3Max, "E4M3 bound", [M448, M256]);
named!(Scaling, "scaling", [Tensor, Row, Tile]);
named!(Outputs, "choice of outputs", [Rowwise, Columnwise, Both]);
named!(ScaleLayout, "scale layout", [Linear, Swizzled128x4]);
named!(InputType, "element type", [Bf16, F16, F32]);

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Plain => f.write_str("plain"),
            Self::FourOverSix { metric, error_path, e4m3_max } => {
                write!(f, "{metric}-{error_path}-{e4m3_max}")
            }
            Self::Search { metric, e4m3_max } => write!(f, "search-{metric}-{e4m3_max}"),
        }
    }
}

#[cfg(feature = "std")]
mod unknown {
    use std::fmt;
    use std::str::FromStr;

    use crate::config::{E4m3Max, ErrorPath, Metric, Rule};

    impl FromStr for Rule {
        type Err = UnknownName;

        fn from_str(text: &str) -> Result<Self, UnknownName> {
            let unknown = |_| {
                let forms = [
                    "plain",
                    "mae",
                    "mse",
                    "mse-fast",
                    "mse-strict-448",
                    "search-mse",
                    "search-mae",
                ];
                UnknownName::new("rule", text, forms.into_iter())
            };
            let mut words = text.split(['-', ' ']);
            let first = words.next().unwrap_or_default();
            let rule = if first == "plain" {
                Self::Plain
            } else if first == "search" {
                let metric = words.next().map_or(Ok(Metric::default()), str::parse);
                let e4m3_max = words.next().map_or(Ok(E4m3Max::default()), str::parse);
                Self::Search {
                    metric: metric.map_err(unknown)?,
                    e4m3_max: e4m3_max.map_err(unknown)?,
                }
            } else {
                let metric = first.parse::<Metric>().map_err(unknown)?;
                let error_path = words.next().map_or(Ok(ErrorPath::default()), str::parse);
                let e4m3_max = words.next().map_or(Ok(E4m3Max::default()), str::parse);
                Self::FourOverSix {
                    metric,
                    error_path: error_path.map_err(unknown)?,
                    e4m3_max: e4m3_max.map_err(unknown)?,
                }
            };
            match words.next() {
                None => Ok(rule),
                Some(word) => Err(unknown(UnknownName::new("rule", word, std::iter::empty()))),
            }
        }
    }

    /// Text that names no value of an option.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub struct UnknownName {
        option: &'static str,
        text: String,
        names: Vec<&'static str>,
    }

    impl UnknownName {
        #[doc(hidden)]
        pub fn new(
            option: &'static str,
            text: &str,
            names: impl Iterator<Item = &'static str>,
        ) -> Self {
            Self { option, text: text.to_owned(), names: names.collect() }
        }

        /// What kind of option was to be read, as in `"metric"`.
        #[must_use]
        pub const fn option(&self) -> &'static str {
            self.option
        }

        /// The text.
        #[must_use]
        pub fn text(&self) -> &str {
            &self.text
        }
    }

    impl fmt::Display for UnknownName {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            let Self { option, text, names } = self;
            write!(f, "{text:?} is no {option}: use {}", names.join(", "))
        }
    }

    impl std::error::Error for UnknownName {}
}

#[cfg(feature = "std")]
pub use unknown::UnknownName;

#[cfg(test)]
mod tests {
    use std::fmt::{Debug, Display};
    use std::str::FromStr;

    use super::*;

    fn round_trip<T>(values: &[T])
    where
        T: Copy + Debug + Display + PartialEq + FromStr<Err = UnknownName>,
    {
        for value in values {
            assert_eq!(value.to_string().parse(), Ok(*value));
        }
        for text in ["", "nonsense", &format!("{}x", values[0])] {
            let error = text.parse::<T>().unwrap_err();
            assert_eq!(error.text(), text);
            assert!(error.to_string().contains(&values[0].to_string()), "{error}");
        }
    }

    #[test]
    fn every_option_reads_back_as_it_was_written() {
        round_trip(&Metric::ALL);
        round_trip(&ErrorPath::ALL);
        round_trip(&E4m3Max::ALL);
        round_trip(&Scaling::ALL);
        round_trip(&Outputs::ALL);
        round_trip(&ScaleLayout::ALL);
        round_trip(&InputType::ALL);
        round_trip(&Rule::ALL);
        for rule in Rule::SEARCHES {
            assert_eq!(rule.to_string().parse(), Ok(rule));
        }
        assert_eq!(format!("{:>7}", Scaling::Row), "    row");
    }

    #[test]
    fn rules_may_be_abbreviated() {
        for (text, rule) in [
            ("mae", Rule::MAE),
            ("mse", Rule::default()),
            ("mse-fast", Rule::MSE_FAST),
            ("mae fast 256", Rule::MAE_FAST),
            ("search", Rule::SEARCH_MSE),
            ("search-mae", Rule::SEARCH_MAE),
        ] {
            assert_eq!(text.parse(), Ok(rule));
        }
        for text in
            ["plain-fast", "search-fast", "mse-strict-256-x", "mse-256", "fast", "mse-", "MSE"]
        {
            let error = text.parse::<Rule>().unwrap_err();
            assert_eq!((error.option(), error.text()), ("rule", text));
        }
    }
}
