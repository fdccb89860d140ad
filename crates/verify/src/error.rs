//! Why a case cannot be run.

use regulus_checkpoints::CheckpointError;
use regulus_clip::{LoadError, TokenBatchError};
use std::path::PathBuf;

/// A case that cannot be run, or not to its end.
#[derive(Debug, thiserror::Error)]
pub enum CaseError {
    /// A file of tensors cannot be read.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// A model cannot be loaded.
    #[error(transparent)]
    Model(#[from] LoadError),
    /// Recorded token ids do not fit the model.
    #[error(transparent)]
    Tokens(#[from] TokenBatchError),
    /// A file cannot be read.
    #[error("{}: {source}", .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the operating system says.
        source: std::io::Error,
    },
    /// A file is not the JSON that it should be.
    #[error("{}: {source}", .path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// Line, column and what is wrong there.
        source: serde_json::Error,
    },
    /// A tensor that the case needs is not recorded.
    #[error("{}: `{name}` is missing", .path.display())]
    Missing {
        /// The file.
        path: PathBuf,
        /// The tensor or field.
        name: String,
    },
    /// A tensor or field has another form than the case needs.
    #[error("{}: `{name}` is {found}, expected {expected}", .path.display())]
    Form {
        /// The file.
        path: PathBuf,
        /// The tensor or field.
        name: String,
        /// What it is.
        found: String,
        /// What it should be.
        expected: &'static str,
    },
    /// Nothing here knows how to run the case.
    #[error("{0}")]
    Unsupported(String),
}
