//! Weights whose SHA-256 is known beforehand: of a model that has them, no others are fetched or used.

use std::path::Path;

use crate::cache::size;
use crate::selection::WEIGHTS;

/// Names of weights and their SHA-256.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pins(pub(crate) &'static [(&'static str, &'static str)]);

impl Pins {
    pub(crate) const NONE: Self = Self(&[]);

    pub(crate) fn names(self) -> Vec<&'static str> {
        self.0.iter().map(|(name, _)| *name).collect()
    }

    pub(crate) fn sha256_of(self, name: &str) -> Option<&'static str> {
        self.0.iter().find(|(pinned, _)| *pinned == name).map(|(_, sha256)| *sha256)
    }

    /// Whether a model may be read from weights of this name.
    pub(crate) fn allow(self, weights: &str) -> bool {
        self.0.is_empty() || self.sha256_of(weights).is_some()
    }

    /// The weights that are read from a folder, if they are others than these.
    pub(crate) fn foreign_in(self, folder: &Path) -> Option<&'static str> {
        let read = WEIGHTS.into_iter().find(|name| size(&folder.join(name)).is_some())?;
        (!self.allow(read)).then_some(read)
    }
}
