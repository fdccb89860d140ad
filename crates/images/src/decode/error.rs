//! Why a file is not an image that can be used.

use super::{MAX_FILE_BYTES, MAX_PIXELS};
use image::ImageError;
use std::io;
use std::path::PathBuf;
use thiserror::Error;

/// Why a file could not be decoded.
#[derive(Debug, Error)]
pub enum DecodeError {
    /// The content is none of the supported formats, whatever the file is called.
    #[error("not an image: expected PNG, JPEG, GIF, WebP, BMP or TIFF")]
    Unrecognised,
    /// More than [`MAX_PIXELS`].
    #[error("{width} x {height} pixels are more than the limit of {MAX_PIXELS}; scale the image down")]
    TooManyPixels {
        /// Pixels per row, from the header.
        width: u32,
        /// Rows, from the header.
        height: u32,
    },
    /// The decoder would need too much memory.
    #[error("decoding this {format} file needs too much memory; save it again in a simpler form")]
    TooMuchMemory {
        /// Name of the format.
        format: &'static str,
    },
    /// The file ends before the image does.
    #[error("the {format} file is cut short; copy or download it again")]
    Truncated {
        /// Name of the format.
        format: &'static str,
    },
    /// The content contradicts the format.
    #[error("the {format} file is damaged: {reason}")]
    Damaged {
        /// Name of the format.
        format: &'static str,
        /// What the decoder says.
        reason: String,
    },
    /// A rare variant of the format.
    #[error("the {format} file uses an unsupported feature ({reason}); save it again as PNG")]
    Unsupported {
        /// Name of the format.
        format: &'static str,
        /// Which one.
        reason: String,
    },
    /// A decoder panicked, which is a defect of the decoder.
    #[error("the {format} decoder failed on this malformed file; save it again with another program")]
    DecoderCrashed {
        /// Name of the format.
        format: &'static str,
    },
    /// Longer than [`MAX_FILE_BYTES`].
    #[error("the file is longer than the limit of {MAX_FILE_BYTES} bytes")]
    FileTooLarge,
    /// The file could not be read.
    #[error("cannot read the file: {0}")]
    Unreadable(#[source] io::Error),
}

/// A [`DecodeError`] and the file it is about.
#[derive(Debug, Error)]
#[error("{}: {cause}", path.display())]
pub struct FileError {
    /// The file.
    pub path: PathBuf,
    /// What is wrong with it.
    pub cause: DecodeError,
}

pub(super) fn from_image_error(error: ImageError, format: &'static str) -> DecodeError {
    match error {
        ImageError::Limits(_) => DecodeError::TooMuchMemory { format },
        ImageError::Unsupported(error) => DecodeError::Unsupported { format, reason: error.to_string() },
        ImageError::IoError(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
            DecodeError::Truncated { format }
        }
        error => DecodeError::Damaged { format, reason: error.to_string() },
    }
}
