//! From the bytes of an unknown file to an RGB image. The files of a data set are untrusted: they are
//! cut short, mislabelled, or claim to be gigapixels. Every one of them ends as an image or as an
//! error that says what is wrong, and the images equal those that PIL hands to the published code.

mod cmyk;
mod error;
mod jpeg;
mod orientation;
mod read;
mod samples;
mod stored;

pub use error::{DecodeError, FileError};

use crate::{NativeImage, Oddity, RgbImage, jpeg_markers};
use image::{ImageFormat, ImageReader};
use std::fs::File;
use std::io::{Cursor, Read};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

/// Images with more pixels than this are refused before any memory is reserved for them.
pub const MAX_PIXELS: u64 = 100_000_000;

/// Files longer than this are refused unread, in bytes.
pub const MAX_FILE_BYTES: u64 = 1 << 30;

/// A decoded file: its image, as [`RgbImage`] or [`NativeImage`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decoded<Image = RgbImage> {
    /// The image.
    pub image: Image,
    /// What was unusual about the file, sorted, each kind once.
    pub oddities: Vec<Oddity>,
}

/// What to do where PIL's result is of little use.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct DecodeOptions {
    /// How 16-bit grey becomes 8-bit.
    pub sixteen_bit_gray: SixteenBitGray,
}

/// How 16-bit grey becomes 8-bit. (Colours and grey with an alpha channel always keep their high byte.)
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub enum SixteenBitGray {
    /// Values above 255 become 255, as in PIL: almost every image becomes white.
    #[default]
    Clipped,
    /// `value / 257`, rounded: 65,535 becomes 255.
    Scaled,
}

/// Decodes a PNG, JPEG, GIF, WebP, BMP or TIFF file; the format is told by the content.
///
/// The result is PIL's `convert("RGB")`: the first frame, EXIF rotation not applied (except in TIFF
/// files, where PIL applies it), transparency dropped without blending, 16-bit grey clipped at 255,
/// other 16-bit channels reduced to their high byte, CMYK converted without a colour profile. The pixels
/// are equal but for the deviations that the [front page](crate#deviations-from-pil) lists.
///
/// # Errors
/// A [`DecodeError`] for anything but a complete image of at most [`MAX_PIXELS`].
pub fn decode(bytes: &[u8]) -> Result<Decoded, DecodeError> {
    decode_with(bytes, DecodeOptions::default())
}

/// [`decode`] with options.
///
/// # Errors
/// As [`decode`].
pub fn decode_with(bytes: &[u8], options: DecodeOptions) -> Result<Decoded, DecodeError> {
    let Decoded { image, oddities } = decode_native(bytes, options)?;
    Ok(Decoded { image: image.into_rgb(), oddities })
}

/// Decodes a file into the colour mode that it is stored in, for
/// [`Preprocess::square_native`](crate::Preprocess::square_native).
///
/// # Errors
/// As [`decode`].
pub fn decode_native(bytes: &[u8], options: DecodeOptions) -> Result<Decoded<NativeImage>, DecodeError> {
    let format = image::guess_format(bytes).map_err(|_| DecodeError::Unrecognised)?;
    // The decoders promise not to panic. Should one do so all the same, an image is lost and not the run.
    catch_unwind(AssertUnwindSafe(|| read::read(bytes, format, options)))
        .unwrap_or_else(|_| Err(DecodeError::DecoderCrashed { format: read::name(format) }))
}

/// Reads and decodes a file; see [`decode`].
///
/// # Errors
/// A [`FileError`] with the path and the [`DecodeError`].
pub fn decode_file(path: &Path) -> Result<Decoded, FileError> {
    read_file(path)
        .and_then(|bytes| decode(&bytes))
        .map_err(|cause| FileError { path: path.to_path_buf(), cause })
}

/// The bytes of a file, to be decoded by [`decode`].
///
/// # Errors
/// [`DecodeError::Unreadable`], and [`DecodeError::FileTooLarge`] beyond [`MAX_FILE_BYTES`].
pub fn read_file(path: &Path) -> Result<Vec<u8>, DecodeError> {
    let file = File::open(path).map_err(DecodeError::Unreadable)?;
    let length = file.metadata().map_or(0, |metadata| metadata.len()).min(MAX_FILE_BYTES);
    let mut bytes = Vec::with_capacity(length as usize + 1);
    file.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes).map_err(DecodeError::Unreadable)?;
    if bytes.len() as u64 > MAX_FILE_BYTES { Err(DecodeError::FileTooLarge) } else { Ok(bytes) }
}

/// Width and height that the header of a file announces: what [`decode`] will reserve memory for. `None` where it
/// cannot be read.
pub fn dimensions(bytes: &[u8]) -> Option<(u32, u32)> {
    match image::guess_format(bytes).ok()? {
        ImageFormat::Jpeg => jpeg_markers::size(bytes),
        format => {
            let header = || ImageReader::with_format(Cursor::new(bytes), format).into_dimensions().ok();
            catch_unwind(AssertUnwindSafe(header)).ok()?
        }
    }
}
