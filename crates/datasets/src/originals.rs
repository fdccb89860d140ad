//! Training images as they were before any resizing. An augmentation such as RandAugment comes before the resize, so that
//! it cannot work on the squares in memory; the originals of a large data set do not fit there.

use std::fmt::Debug;
use std::path::PathBuf;

use regulus_images::{FileError, RgbImage, decode_file};

use crate::LabelledImages;

/// Where the original of each training image can be had, from any thread, as often as it is asked for.
///
/// A cache or a prefetcher is another implementation around one of these.
pub trait Originals: Debug + Send + Sync {
    /// The original of image `index` of the training set.
    ///
    /// # Errors
    /// [`FileError`] with the path of an image that cannot be read any more.
    ///
    /// # Panics
    /// Like a slice, where there is no such image.
    fn original(&self, index: usize) -> Result<RgbImage, FileError>;
}

/// Rendered images are their own originals.
impl Originals for LabelledImages {
    fn original(&self, index: usize) -> Result<RgbImage, FileError> {
        Ok(self.rgb_image(index))
    }
}

/// Image files, in the order of the training set; decoded at every visit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageFiles(
    /// The path of each image.
    pub Vec<PathBuf>,
);

impl Originals for ImageFiles {
    fn original(&self, index: usize) -> Result<RgbImage, FileError> {
        decode_file(&self.0[index]).map(|decoded| decoded.image)
    }
}
