//! What ends a command with status 2.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use fouroversix::checkpoint::CheckpointError;

use super::print;

/// How a command that ran to its end ends.
pub type Outcome = Result<ExitCode, CliError>;

/// A sentence for the user, with the remedy in it.
#[derive(Debug)]
pub enum CliError {
    /// Of a checkpoint.
    Checkpoint(CheckpointError),
    /// Of the library.
    Library(fouroversix::Error),
    /// Said by the command line itself.
    Said {
        /// What is at fault, in a word for programs.
        kind: &'static str,
        /// The sentence.
        text: String,
    },
    /// Standard output could not be written.
    Output {
        /// Why.
        error: io::Error,
        /// What was finished nevertheless.
        complete: Option<PathBuf>,
    },
}

impl CliError {
    /// An option is at fault.
    pub fn said(text: impl Into<String>) -> Self {
        Self::of("option", text)
    }

    /// Something else is at fault: `kind`, in a word.
    pub fn of(kind: &'static str, text: impl Into<String>) -> Self {
        Self::Said { kind, text: text.into() }
    }

    /// For a command that wrote `complete` before its words could not be written.
    pub(crate) fn output(error: io::Error, complete: &Path) -> Self {
        Self::Output { error, complete: Some(complete.to_owned()) }
    }

    /// What is at fault, in a word for programs.
    fn kind(&self) -> &'static str {
        match self {
            Self::Checkpoint(CheckpointError::Quantize(error)) | Self::Library(error) => {
                library_kind(error)
            }
            Self::Checkpoint(error) => error.kind(),
            Self::Said { kind, .. } => kind,
            Self::Output { .. } => "output",
        }
    }

    /// Tells people on standard error, and programs that asked for JSON on standard output.
    pub(crate) fn report(&self, json: bool) -> ExitCode {
        print::aside(&format!("error: {self}"));
        if json {
            document(self.kind(), &self.to_string());
        }
        ExitCode::from(2)
    }
}

/// The JSON document of a command that failed.
pub(crate) fn document(kind: &str, message: &str) {
    let document = serde_json::json!({"error": {"kind": kind, "message": message}});
    // The status tells of the failure even where this can't be written.
    let _ = print::json(&document);
}

fn library_kind(error: &fouroversix::Error) -> &'static str {
    match error {
        fouroversix::Error::Device(_) => "device",
        _ => "option",
    }
}

/// An error and what caused it.
fn chain(error: &dyn std::error::Error, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    write!(f, "{error}")?;
    error.source().map_or(Ok(()), |source| {
        f.write_str(": ")?;
        chain(source, f)
    })
}

/// The options of this program that mend what the library found.
const fn advice(error: &CheckpointError) -> Option<&'static str> {
    Some(match error {
        CheckpointError::Exists { .. } => "--force replaces what this program made",
        CheckpointError::NonFinite { .. } => {
            "--exclude leaves a tensor out, --non-finite saturate accepts such values"
        }
        CheckpointError::NothingSelected { .. } => "--dry-run shows the decision on every tensor",
        CheckpointError::Unquantizable { .. } => "it is named by --include",
        CheckpointError::NoMatch { exclude: true, .. } => "of --exclude; inspect shows the names",
        CheckpointError::NoMatch { exclude: false, .. } => "of --include; inspect shows the names",
        CheckpointError::OutOfRange { .. } => "--dtype says the type",
        CheckpointError::Quantize(error) if error.is_of_device() => {
            "run the same command again, with --device cpu if need be; a directory keeps its finished \
             shards"
        }
        _ => return None,
    })
}

impl fmt::Display for CliError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Checkpoint(error) => {
                chain(error, f)?;
                advice(error).map_or(Ok(()), |advice| write!(f, " ({advice})"))
            }
            Self::Library(error) => chain(error, f),
            Self::Said { text, .. } => f.write_str(text),
            Self::Output { error, complete } => {
                write!(f, "cannot write to standard output: {error}: check where it goes")?;
                complete.iter().try_for_each(|path| write!(f, " ({} is complete)", path.display()))
            }
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
        Self::Library(error)
    }
}

impl From<io::Error> for CliError {
    fn from(error: io::Error) -> Self {
        Self::Output { error, complete: None }
    }
}
