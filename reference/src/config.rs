//! Everything that can be asked for, in one value.

use crate::error::Error;
use crate::rule::{Rule, Scaling};
use crate::stochastic::{Direction, RandomState};
use crate::transform::{Element, SignMask};

/// How elements are rounded to E2M1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Rounding {
    /// To nearest, ties to even.
    Nearest,
    /// Up or down with the probability that makes the mean right (step T4).
    Stochastic(RandomState),
}

/// The transform of each output, or none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Transforms {
    /// Of the input's rows.
    pub rowwise: Option<SignMask>,
    /// Of its columns.
    pub columnwise: Option<SignMask>,
}

impl Transforms {
    /// No output has one.
    pub const NONE: Self = Self { rowwise: None, columnwise: None };

    /// That of an output.
    #[must_use]
    pub const fn of(self, direction: Direction) -> Option<SignMask> {
        match direction {
            Direction::Rowwise => self.rowwise,
            Direction::Columnwise => self.columnwise,
        }
    }
}

/// What to quantize a tensor with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Config {
    /// How a block's scale is chosen.
    pub rule: Rule,
    /// Which elements share a scale.
    pub scaling: Scaling,
    /// How elements are rounded.
    pub rounding: Rounding,
    /// What happens to an output's rows first.
    pub transforms: Transforms,
    /// The type that the input came in. Only a transform rounds to it.
    pub element: Element,
}

impl Config {
    /// Nearest rounding of the input as it is.
    #[must_use]
    pub const fn new(rule: Rule, scaling: Scaling) -> Self {
        Self {
            rule,
            scaling,
            rounding: Rounding::Nearest,
            transforms: Transforms::NONE,
            element: Element::Fp32,
        }
    }

    /// Refuses what the contract does not define for any output.
    pub(crate) fn check(&self) -> Result<(), Error> {
        if self.transforms != Transforms::NONE && self.scaling != Scaling::Tensor {
            return Err(Error::Transform { scaling: self.scaling });
        }
        Ok(())
    }
}
