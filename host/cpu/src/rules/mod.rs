//! Rules, a file each: how a block's scale is chosen. [`rule`] says what one has to answer; a new
//! rule is a file here and a line in [`with_rule`].

mod error;
pub(crate) mod four_over_six;
pub(crate) mod plain;
pub(crate) mod rule;
pub(crate) mod search;

/// `$body` with the type of `$rule` as a value: a rule is chosen here, once, and nowhere else.
macro_rules! with_rule {
    ($rule:expr, |$name:ident| $body:expr) => {{
        use fouroversix_core::{Metric, Rule};

        use crate::measure::{Absolute, Squared};
        use crate::rules::{four_over_six::FourOverSix, plain::Plain, search::Search};

        match $rule {
            Rule::Plain => {
                let $name = Plain;
                $body
            }
            Rule::FourOverSix { metric: Metric::Mae, error_path, .. } => {
                let $name = FourOverSix::<Absolute>::new(error_path);
                $body
            }
            Rule::FourOverSix { metric: Metric::Mse, error_path, .. } => {
                let $name = FourOverSix::<Squared>::new(error_path);
                $body
            }
            Rule::Search { metric: Metric::Mae, .. } => {
                let $name = Search::<Absolute>::new();
                $body
            }
            Rule::Search { metric: Metric::Mse, .. } => {
                let $name = Search::<Squared>::new();
                $body
            }
            other => unreachable!("no file here has the rule {other}"),
        }
    }};
}
pub(crate) use with_rule;
