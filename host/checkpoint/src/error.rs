//! What can go wrong with a checkpoint.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use fouroversix_core::InputType;

/// Why a checkpoint could not be read or written. `Display` is a sentence that names the offending
/// value and the remedy; what the system said of a file is the `source`.
#[derive(Debug)]
#[non_exhaustive]
pub enum CheckpointError {
    /// A file or folder could not be read.
    Read {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file or folder could not be written.
    Write {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file is not what its name or its header claims.
    Malformed {
        /// Which file.
        path: PathBuf,
        /// The claim and the fact.
        problem: String,
    },
    /// A tensor that was asked for by name can't be quantized.
    Unquantizable {
        /// Its name.
        tensor: String,
        /// Why.
        reason: String,
    },
    /// No tensor of the input was selected.
    NothingSelected {
        /// The input.
        path: PathBuf,
        /// Why the first tensors were left alone.
        reason: String,
    },
    /// A pattern of the selection matches no tensor.
    NoMatch {
        /// The pattern.
        pattern: String,
        /// Whether it is one of those to exclude.
        exclude: bool,
        /// The input.
        path: PathBuf,
    },
    /// A weight is beyond the range of the type that it is to become.
    OutOfRange {
        /// The tensor's name.
        tensor: String,
        /// `[row, column]` of the first one.
        position: [usize; 2],
        /// The type.
        output_type: InputType,
    },
    /// A NaN or an infinity where finite values were expected.
    NonFinite {
        /// The tensor's name.
        tensor: String,
        /// `[row, column]` of the first one.
        position: [usize; 2],
        /// The value.
        value: f32,
    },
    /// The output is there already.
    Exists {
        /// The output.
        path: PathBuf,
    },
    /// Another run writes to the same output.
    Busy {
        /// The lock that is held.
        path: PathBuf,
    },
    /// Options that do not go together, or that no value allows.
    Option {
        /// The combination and the remedy.
        problem: String,
    },
    /// The quantizer refused.
    Quantize(fouroversix_core::Error),
}

impl CheckpointError {
    /// What went wrong in a word, for programs: the variant's name.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Read { .. } => "read",
            Self::Write { .. } => "write",
            Self::Malformed { .. } => "malformed",
            Self::Unquantizable { .. } => "unquantizable",
            Self::NothingSelected { .. } => "nothing-selected",
            Self::NoMatch { .. } => "no-match",
            Self::OutOfRange { .. } => "out-of-range",
            Self::NonFinite { .. } => "non-finite",
            Self::Exists { .. } => "exists",
            Self::Busy { .. } => "busy",
            Self::Option { .. } => "option",
            Self::Quantize(_) => "quantize",
        }
    }

    /// Whether the same command may get further at another time or on another device.
    pub(crate) const fn may_pass(&self) -> bool {
        match self {
            Self::Write { .. } | Self::Read { .. } => true,
            Self::Quantize(error) => error.is_of_device(),
            _ => false,
        }
    }

    pub(crate) fn read(path: &Path, source: io::Error) -> Self {
        Self::Read { path: path.to_owned(), source }
    }

    pub(crate) fn write(path: &Path, source: io::Error) -> Self {
        Self::Write { path: path.to_owned(), source }
    }

    pub(crate) fn malformed(path: &Path, problem: impl Into<String>) -> Self {
        Self::Malformed { path: path.to_owned(), problem: problem.into() }
    }

    /// What is wrong, without the file where it is known that there is one.
    pub(crate) fn problem(&self) -> String {
        match self {
            Self::Malformed { problem, .. } => problem.clone(),
            Self::Read { source, .. } | Self::Write { source, .. } => format!("{self}: {source}"),
            other => other.to_string(),
        }
    }
}

impl fmt::Display for CheckpointError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Read { path, source } => {
                write!(f, "cannot read {}: {}", path.display(), read_remedy(source))
            }
            Self::Write { path, source } => {
                write!(f, "cannot write {}: {}", path.display(), write_remedy(source))
            }
            Self::Malformed { path, problem } => write!(f, "{}: {problem}", path.display()),
            Self::Unquantizable { tensor, reason } => {
                write!(f, "{tensor} was asked for but can't be quantized ({reason}): leave it out")
            }
            Self::NothingSelected { path, reason } => write!(
                f,
                "{} holds no tensor to quantize ({reason}): pass a file with a 2-D floating tensor \
                 whose dimensions are multiples of 16",
                path.display()
            ),
            Self::NonFinite { tensor, position: [row, column], value } => write!(
                f,
                "{tensor} holds {value} at [{row}, {column}]: repair it, leave it out, or let it \
                 saturate"
            ),
            Self::Exists { path } => {
                write!(f, "{} exists: choose another output or have it replaced", path.display())
            }
            Self::Busy { path } => write!(
                f,
                "{} is locked by another run: wait for it or choose another output",
                path.display()
            ),
            Self::NoMatch { pattern, path, .. } => write!(
                f,
                "{pattern:?} matches no tensor of {}: use the names that it holds",
                path.display()
            ),
            Self::OutOfRange { tensor, position: [row, column], output_type } => write!(
                f,
                "{tensor} has a weight at [{row}, {column}] that {output_type} can't hold: use f32 or \
                 bf16, or fetch it again if such weights can't be"
            ),
            Self::Option { problem } => f.write_str(problem),
            Self::Quantize(error) => error.fmt(f),
        }
    }
}

fn read_remedy(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::NotFound => "check the path",
        io::ErrorKind::PermissionDenied => "check its permissions",
        io::ErrorKind::UnexpectedEof => "fetch it again and run the same command again",
        _ => "check the disk and run again",
    }
}

fn write_remedy(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            "free some space and run the same command again (finished shards are kept)"
        }
        io::ErrorKind::FileTooLarge => {
            "raise the limit (ulimit -f) or make smaller shards, and run the same command again"
        }
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            "choose an output in a folder that you may write to"
        }
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => {
            "make the folder first or choose another output"
        }
        _ => "check the disk and run the same command again",
    }
}

impl std::error::Error for CheckpointError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Read { source, .. } | Self::Write { source, .. } => Some(source),
            Self::Quantize(error) => error.source(),
            _ => None,
        }
    }
}

impl From<fouroversix_core::Error> for CheckpointError {
    fn from(error: fouroversix_core::Error) -> Self {
        Self::Quantize(error)
    }
}
