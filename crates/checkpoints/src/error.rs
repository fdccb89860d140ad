//! What can be wrong with a checkpoint file.

use std::path::{Path, PathBuf};

/// A checkpoint file that cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// The file cannot be opened or mapped.
    #[error("{}: {source}", .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the operating system says.
        source: std::io::Error,
    },
    /// The file is something else than a checkpoint, such as the error page of a failed download.
    #[error("{}: this is {found}, not a checkpoint; {advice}", .path.display())]
    NotACheckpoint {
        /// The file.
        path: PathBuf,
        /// What the file looks like.
        found: String,
        /// What to do.
        advice: &'static str,
    },
    /// The file is damaged.
    #[error("{}: not a complete {format} file: {reason}", .path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// The format that its first bytes promise.
        format: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// The file may be intact, but holds something that this crate does not read.
    #[error("{}: this {format} file cannot be read: {reason}", .path.display())]
    Unsupported {
        /// The file.
        path: PathBuf,
        /// The format that its first bytes promise.
        format: &'static str,
        /// What is not supported, and what to do.
        reason: String,
    },
    /// The index of a sharded checkpoint and its shards do not agree.
    #[error("{}: {reason}", .path.display())]
    Shards {
        /// The index.
        path: PathBuf,
        /// What does not agree: the key, and the shards in question.
        reason: String,
    },
}

/// What a reader of one format found wrong; it becomes a [`CheckpointError`] where the path is known.
#[derive(Debug, PartialEq)]
pub(crate) enum Fault {
    /// The bytes contradict the format.
    Damaged(String),
    /// The bytes may be right, but are not supported.
    Unsupported(String),
}

impl Fault {
    /// The error for the file at `path`.
    pub(crate) fn of(self, path: &Path, format: &'static str) -> CheckpointError {
        let path = path.into();
        match self {
            Self::Damaged(reason) => CheckpointError::Format { path, format, reason },
            Self::Unsupported(reason) => CheckpointError::Unsupported { path, format, reason },
        }
    }
}

impl From<String> for Fault {
    fn from(reason: String) -> Self {
        Self::Damaged(reason)
    }
}

impl From<&str> for Fault {
    fn from(reason: &str) -> Self {
        Self::Damaged(reason.into())
    }
}
