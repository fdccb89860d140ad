//! Where the squares of a set of images are: in memory, or in a cache file that is mapped into memory, which a data set
//! larger than memory needs.

use std::fmt;
use std::sync::Arc;

use crate::loader::SquareCache;

/// Square images of one size, `[n, side, side, 3]` bytes in all.
#[derive(Clone)]
pub struct Squares(Place);

#[derive(Clone)]
enum Place {
    Memory(Vec<u8>),
    /// The squares of these images of the cache, each of them checked.
    Cache(Arc<SquareCache>, Vec<usize>),
}

impl Squares {
    /// Squares of a cache file: those of the images at `indices`, which have been checked.
    pub(crate) fn cached(cache: Arc<SquareCache>, indices: Vec<usize>) -> Self {
        Self(Place::Cache(cache, indices))
    }

    /// Whether they are in a cache file.
    pub fn are_cached(&self) -> bool {
        matches!(self.0, Place::Cache(..))
    }

    /// Image `index` of `bytes` bytes.
    ///
    /// # Panics
    /// Like a slice, where there is no such image.
    pub(crate) fn image(&self, index: usize, bytes: usize) -> &[u8] {
        match &self.0 {
            Place::Memory(pixels) => &pixels[index * bytes..(index + 1) * bytes],
            Place::Cache(cache, indices) => cache.checked_square(indices[index]),
        }
    }
}

impl Default for Squares {
    fn default() -> Self {
        Vec::new().into()
    }
}

/// Squares in memory, one after the other.
impl From<Vec<u8>> for Squares {
    fn from(pixels: Vec<u8>) -> Self {
        Self(Place::Memory(pixels))
    }
}

impl fmt::Debug for Squares {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Place::Memory(pixels) => write!(f, "{} bytes in memory", pixels.len()),
            Place::Cache(_, indices) => write!(f, "{} squares of a cache", indices.len()),
        }
    }
}
