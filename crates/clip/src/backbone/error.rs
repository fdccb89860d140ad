//! What can be wrong with the file of a backbone.

use crate::formats::LoadError;
use crate::weights::WeightsError;
use std::path::PathBuf;

/// A backbone that cannot be loaded.
#[derive(Debug, thiserror::Error)]
pub enum BackboneError {
    /// The names of the tensors are not those of a known backbone.
    #[error("{}: no known backbone: expected {expected}, found {found}", .path.display())]
    Unknown {
        /// The file.
        path: PathBuf,
        /// The names that would have been recognised.
        expected: &'static str,
        /// Some names of the file.
        found: String,
    },
    /// A tensor says that the architecture is one that is not supported.
    #[error("{}: {key} is {found}, expected {expected}", .path.display())]
    Unsupported {
        /// The file.
        path: PathBuf,
        /// Name in the file.
        key: String,
        /// What was found there.
        found: String,
        /// What is supported.
        expected: String,
    },
    /// A vision transformer, or a file that describes the weights, cannot be loaded.
    #[error(transparent)]
    Vit(#[from] LoadError),
    /// The file cannot be read, or its tensors are not those of the architecture that they promise.
    #[error(transparent)]
    Weights(#[from] WeightsError),
}
