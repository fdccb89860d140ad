//! The originals of listed images: files are decoded, records of CIFAR archives are read where they lie.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use regulus_images::{DecodeError, FileError, RgbImage, decode_file};

use super::Images;
use crate::Originals;

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

impl Originals for ListedImages {
    fn original(&self, index: usize) -> Result<RgbImage, FileError> {
        let Some(image) = self.images.get(index) else {
            let cause = io::Error::new(io::ErrorKind::NotFound, format!("no image {index} in the list"));
            return Err(FileError { path: self.root.clone(), cause: DecodeError::Unreadable(cause) });
        };
        let path = self.root.join(image.path());
        match image.offset {
            None => decode_file(&path).map(|decoded| decoded.image),
            Some(offset) => record(&path, offset)
                .map_err(|cause| FileError { path, cause: DecodeError::Unreadable(cause) }),
        }
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
