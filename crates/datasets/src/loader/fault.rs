//! An image that could not be had. It is no reason to stop: the caller decides.

use std::path::PathBuf;

use regulus_images::DecodeError;
use thiserror::Error;

use super::Place;

/// An image that could not be had, and where it was looked for.
#[derive(Debug, Error)]
#[error("{}{}: {cause}", path.display(), entry.as_ref().map(|entry| format!(" ({entry})")).unwrap_or_default())]
pub struct ImageFault {
    /// Index of the image in its source.
    pub index: usize,
    /// Its file.
    pub path: PathBuf,
    /// The entry of a split file or manifest that names it.
    pub entry: Option<String>,
    /// What is wrong.
    pub cause: FaultCause,
}

/// What is wrong with an image.
#[derive(Debug, Error)]
pub enum FaultCause {
    /// It cannot be read or decoded.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// A [`View`](super::View) did not make a square of the size of the model's input.
    #[error("the augmentation made {width} x {height} pixels of it; a batch holds {side} x {side}")]
    NotSquare {
        /// Pixels per row.
        width: usize,
        /// Rows.
        height: usize,
        /// Side of the images of a batch.
        side: usize,
    },
}

impl ImageFault {
    pub(super) fn new(index: usize, place: Place, cause: impl Into<FaultCause>) -> Self {
        Self { index, path: place.path, entry: place.entry, cause: cause.into() }
    }
}
