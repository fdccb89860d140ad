//! Where a loader's images come from: files, records of archives, or images in memory.

use std::fmt::Debug;
use std::path::PathBuf;

use regulus_images::{DecodeError, FileError, RgbImage, decode, read_file};

use crate::LabelledImages;

/// Images that can be had from any thread, as often as they are asked for.
pub trait Source: Debug + Send + Sync {
    /// Number of images.
    fn len(&self) -> usize;

    /// Whether there is no image.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Image `index`, not decoded if it is a file.
    ///
    /// # Errors
    /// [`DecodeError`] where it cannot be read any more, or there is no such image.
    fn read(&self, index: usize) -> Result<Original, DecodeError>;

    /// Where image `index` is, for messages and to see whether its file has changed.
    fn place(&self, index: usize) -> Place;

    /// Image `index` as it is before any resizing. An augmentation such as RandAugment comes before the resize, so that it
    /// cannot work on squares.
    ///
    /// # Errors
    /// [`FileError`] with the path of an image that cannot be read any more.
    fn original(&self, index: usize) -> Result<RgbImage, FileError> {
        let image = self.read(index).and_then(|original| match original {
            Original::Pixels(image) => Ok(image),
            Original::Encoded(bytes) => decode(&bytes).map(|decoded| decoded.image),
        });
        image.map_err(|cause| FileError { path: self.place(index).path, cause })
    }
}

/// An image as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Original {
    /// The bytes of an image file.
    Encoded(Vec<u8>),
    /// Pixels.
    Pixels(RgbImage),
}

/// Where an image is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Its file; for images in memory only a name.
    pub path: PathBuf,
    /// The entry of a split file or manifest that names it.
    pub entry: Option<String>,
    /// Where it starts in the file, if the file is an archive.
    pub offset: u64,
}

impl Place {
    /// A file of one image that no list names.
    pub(crate) fn file(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), entry: None, offset: 0 }
    }
}

pub(crate) fn absent(index: usize) -> DecodeError {
    let message = format!("there is no image {index}");
    DecodeError::Unreadable(std::io::Error::new(std::io::ErrorKind::NotFound, message))
}

/// Image files, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageFiles(
    /// The path of each image.
    pub Vec<PathBuf>,
);

impl Source for ImageFiles {
    fn len(&self) -> usize {
        self.0.len()
    }

    fn read(&self, index: usize) -> Result<Original, DecodeError> {
        read_file(self.0.get(index).ok_or_else(|| absent(index))?).map(Original::Encoded)
    }

    fn place(&self, index: usize) -> Place {
        Place::file(self.0.get(index).cloned().unwrap_or_default())
    }
}

/// Rendered images are their own originals.
impl Source for LabelledImages {
    fn len(&self) -> usize {
        self.labels.len()
    }

    fn read(&self, index: usize) -> Result<Original, DecodeError> {
        if index < self.labels.len() {
            Ok(Original::Pixels(self.rgb_image(index)))
        } else {
            Err(absent(index))
        }
    }

    fn place(&self, index: usize) -> Place {
        Place::file(format!("image {index} in memory"))
    }
}
