//! What ends a command with status 2.

use std::fmt;
use std::io;

use fouroversix::checkpoint::CheckpointError;

/// A sentence for the user, with the remedy in it.
#[derive(Debug)]
pub(crate) enum CliError {
    Checkpoint(CheckpointError),
    /// Said by the command line itself.
    Said(String),
}

impl CliError {
    pub(crate) fn said(text: impl Into<String>) -> Self {
        Self::Said(text.into())
    }
}

impl fmt::Display for CliError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Checkpoint(error) => error.fmt(f),
            Self::Said(text) => f.write_str(text),
        }
    }
}

impl std::error::Error for CliError {}

impl From<CheckpointError> for CliError {
    fn from(error: CheckpointError) -> Self {
        Self::Checkpoint(error)
    }
}

impl From<fouroversix::Error> for CliError {
    fn from(error: fouroversix::Error) -> Self {
        Self::Said(error.to_string())
    }
}

impl From<io::Error> for CliError {
    fn from(error: io::Error) -> Self {
        Self::Said(format!("cannot write to standard output: {error}: check where it goes"))
    }
}
