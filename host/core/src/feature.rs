//! What a configuration may need of a backend beyond the first rules.

use core::fmt;

/// What a backend may not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Feature {
    /// [`Rule::Search`](crate::Rule::Search).
    Search,
    /// [`Rounding::Stochastic`](crate::Rounding::Stochastic).
    Stochastic,
    /// A transform of any output.
    Transform,
}

impl Feature {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Search, Self::Stochastic, Self::Transform];
}

impl fmt::Display for Feature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Search => "scale search",
            Self::Stochastic => "stochastic rounding",
            Self::Transform => "a transform",
        })
    }
}
