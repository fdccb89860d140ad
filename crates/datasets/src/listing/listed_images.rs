//! Listed images as a source: files are read, records of CIFAR archives are read where they lie.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use regulus_images::{DecodeError, RgbImage, read_file};

use super::Images;
use crate::Source;
use crate::loader::{Original, Place, absent};

/// Width and height of the images in CIFAR archives, in pixels.
const RECORD_SIDE: usize = 32;

/// Listed images together with the folder that they are in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedImages {
    /// The folder that paths are relative to.
    pub root: PathBuf,
    /// The images.
    pub images: Images,
}

impl Source for ListedImages {
    fn len(&self) -> usize {
        self.images.len()
    }

    fn read(&self, index: usize) -> Result<Original, DecodeError> {
        let image = self.images.get(index).ok_or_else(|| absent(index))?;
        let path = self.root.join(image.path());
        match image.offset {
            None => read_file(&path).map(Original::Encoded),
            Some(offset) => record(&path, offset).map(Original::Pixels).map_err(DecodeError::Unreadable),
        }
    }

    fn place(&self, index: usize) -> Place {
        let Some(image) = self.images.get(index) else { return Place::file(&self.root) };
        Place { path: self.root.join(image.path()), entry: image.entry(), offset: image.offset.unwrap_or(0) }
    }
}

/// A raw image of `[3, 32, 32]` bytes at `offset`, as `[32, 32, 3]`.
fn record(path: &Path, offset: u64) -> io::Result<RgbImage> {
    const PLANE: usize = RECORD_SIDE * RECORD_SIDE;
    let mut file = File::open(path)?;
    file.seek(SeekFrom::Start(offset))?;
    let mut planes = [0; 3 * PLANE];
    file.read_exact(&mut planes)?;
    let pixels =
        (0..PLANE).flat_map(|at| (0..3).map(move |channel| channel * PLANE + at)).map(|at| planes[at]);
    Ok(RgbImage { width: RECORD_SIDE, height: RECORD_SIDE, pixels: pixels.collect() })
}
