//! What can be wrong with a checkpoint file.

use std::path::PathBuf;

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
    /// The file is damaged or of another format.
    #[error("{}: not a complete {format} file: {reason}", .path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// The format that its first bytes promise.
        format: &'static str,
        /// What is wrong with it.
        reason: String,
    },
}
