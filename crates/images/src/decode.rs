//! From the bytes of an unknown file to an RGB image. The files of a data set are untrusted: they are
//! cut short, mislabelled, or claim to be gigapixels. Every one of them ends as an image or as an
//! error that says what is wrong, and the images equal those that PIL hands to the published code.

mod error;

pub use error::{DecodeError, FileError};

use crate::rgb_samples::SampleLayout;
use crate::{Oddity, RgbImage, jpeg_markers};
use error::from_image_error;
use image::codecs::{bmp, gif, jpeg, png, tiff, webp};
use image::metadata::Orientation;
use image::{AnimationDecoder, DynamicImage, ExtendedColorType, ImageDecoder, ImageFormat, Limits};
use std::fs::File;
use std::io::{Cursor, Read};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

/// Images with more pixels than this are refused before any memory is reserved for them.
pub const MAX_PIXELS: u64 = 100_000_000;

/// Files longer than this are refused unread, in bytes.
pub const MAX_FILE_BYTES: u64 = 1 << 30;

/// What one decoder may allocate, its output included, in bytes. Enough for [`MAX_PIXELS`] of 16-bit RGBA.
const MAX_DECODER_BYTES: u64 = 1 << 30;

/// A decoded file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decoded {
    /// The image, as PIL's `Image.open(..).convert("RGB")` gives it.
    pub image: RgbImage,
    /// What was unusual about the file, sorted, each kind once.
    pub oddities: Vec<Oddity>,
}

/// Decodes a PNG, JPEG, GIF, WebP, BMP or TIFF file; the format is told by the content.
///
/// The result is PIL's `convert("RGB")`: the first frame, EXIF rotation not applied (except in TIFF
/// files, where PIL applies it), transparency dropped without blending, 16-bit grey clipped at 255,
/// other 16-bit channels reduced to their high byte, CMYK converted without a colour profile. The pixels
/// are equal, except that JPEG decoders differ by rounding, that a value of a CMYK TIFF can be one level
/// lower, and that a GIF frame smaller than its canvas is surrounded by black instead of by the first
/// colour of its palette.
///
/// # Errors
/// A [`DecodeError`] for anything but a complete image of at most [`MAX_PIXELS`].
pub fn decode(bytes: &[u8]) -> Result<Decoded, DecodeError> {
    let format = image::guess_format(bytes).map_err(|_| DecodeError::Unrecognised)?;
    // The decoders promise not to panic. Should one do so all the same, an image is lost and not the run.
    catch_unwind(AssertUnwindSafe(|| decode_format(bytes, format)))
        .unwrap_or_else(|_| Err(DecodeError::DecoderCrashed { format: name(format) }))
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

fn read_file(path: &Path) -> Result<Vec<u8>, DecodeError> {
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes))
        .map_err(DecodeError::Unreadable)?;
    if bytes.len() as u64 > MAX_FILE_BYTES { Err(DecodeError::FileTooLarge) } else { Ok(bytes) }
}

fn decode_format(bytes: &[u8], format: ImageFormat) -> Result<Decoded, DecodeError> {
    let failed = |error| from_image_error(error, name(format));
    let content = Cursor::new(bytes);
    match format {
        ImageFormat::Png => {
            let decoder = png::PngDecoder::with_limits(content, limits()).map_err(failed)?;
            let mut oddities = Vec::new();
            oddities.extend(decoder.is_apng().map_err(failed)?.then_some(Oddity::Animated));
            // The decoder turns a transparent grey value into an alpha channel, which would hide from
            // `finish` that the file is of the kind that PIL clips. Byte 25 is the header's colour type.
            let gray = bytes.get(25) == Some(&0);
            finish(decoder, format, oddities, gray)
        }
        ImageFormat::Jpeg => {
            let decoder = jpeg::JpegDecoder::new(content).map_err(failed)?;
            let markers = jpeg_markers::survey(bytes);
            if !markers.complete {
                return Err(DecodeError::Truncated { format: name(format) });
            }
            let cmyk = (markers.components == 4).then_some(Oddity::Cmyk);
            finish(decoder, format, Vec::from_iter(cmyk), false)
        }
        ImageFormat::Gif => {
            let decoder = gif::GifDecoder::new(content.clone()).map_err(failed)?;
            let mut decoded = finish(decoder, format, Vec::new(), false)?;
            let mut second = gif::GifDecoder::new(content).map_err(failed)?;
            second.set_limits(limits()).map_err(failed)?;
            if matches!(second.into_frames().nth(1), Some(Ok(_))) {
                decoded.oddities.insert(0, Oddity::Animated);
            }
            Ok(decoded)
        }
        ImageFormat::WebP => {
            let decoder = webp::WebPDecoder::new(content).map_err(failed)?;
            let animated = decoder.has_animation().then_some(Oddity::Animated);
            finish(decoder, format, Vec::from_iter(animated), false)
        }
        ImageFormat::Bmp => {
            let decoder = bmp::BmpDecoder::new(content).map_err(failed)?;
            finish(decoder, format, Vec::new(), false)
        }
        ImageFormat::Tiff => {
            let decoder = tiff::TiffDecoder::new(content).map_err(failed)?;
            let cmyk =
                matches!(decoder.original_color_type(), ExtendedColorType::Cmyk8 | ExtendedColorType::Cmyk16);
            finish(decoder, format, Vec::from_iter(cmyk.then_some(Oddity::Cmyk)), false)
        }
        _ => Err(DecodeError::Unrecognised),
    }
}

/// Checks the size, then decodes and converts. `gray` says that a grey image with an alpha channel has
/// none in the file.
fn finish(
    mut decoder: impl ImageDecoder,
    format: ImageFormat,
    mut oddities: Vec<Oddity>,
    gray: bool,
) -> Result<Decoded, DecodeError> {
    let failed = |error| from_image_error(error, name(format));
    let (width, height) = decoder.dimensions();
    if u64::from(width) * u64::from(height) > MAX_PIXELS {
        return Err(DecodeError::TooManyPixels { width, height });
    }
    let Some(layout) = SampleLayout::of(decoder.color_type()) else {
        return Err(DecodeError::Unsupported {
            format: name(format),
            reason: "floating-point samples".to_string(),
        });
    };
    let mut limits = limits();
    limits.reserve(decoder.total_bytes()).map_err(failed)?;
    decoder.set_limits(limits).map_err(failed)?;
    let orientation = decoder.orientation().map_err(failed)?;
    let mut samples = vec![0; decoder.total_bytes() as usize];
    decoder.read_image(&mut samples).map_err(failed)?;

    let clip = layout.bytes == 2 && layout.colours == 1 && (!layout.alpha || gray);
    let (pixels, transparent) = layout.to_rgb(samples, clip);
    let mut image = RgbImage::new(width as usize, height as usize, pixels)
        .map_err(|error| DecodeError::Damaged { format: name(format), reason: error.to_string() })?;
    oddities.extend((layout.bytes == 2).then_some(if clip {
        Oddity::SixteenBitGray
    } else {
        Oddity::SixteenBit
    }));
    oddities.extend(transparent.then_some(Oddity::Transparent));
    if orientation != Orientation::NoTransforms {
        if format == ImageFormat::Tiff {
            image = oriented(image, orientation)?;
        } else {
            oddities.push(Oddity::ExifRotated);
        }
    }
    oddities.sort_unstable();
    Ok(Decoded { image, oddities })
}

/// The image turned or mirrored.
fn oriented(image: RgbImage, orientation: Orientation) -> Result<RgbImage, DecodeError> {
    let failed = || DecodeError::Damaged { format: "TIFF", reason: "its orientation".to_string() };
    let buffer = image::RgbImage::from_raw(image.width as u32, image.height as u32, image.pixels);
    let mut turned = DynamicImage::ImageRgb8(buffer.ok_or_else(failed)?);
    turned.apply_orientation(orientation);
    let (width, height) = (turned.width() as usize, turned.height() as usize);
    RgbImage::new(width, height, turned.into_rgb8().into_raw()).map_err(|_| failed())
}

fn limits() -> Limits {
    let mut limits = Limits::no_limits();
    limits.max_alloc = Some(MAX_DECODER_BYTES);
    limits
}

fn name(format: ImageFormat) -> &'static str {
    match format {
        ImageFormat::Png => "PNG",
        ImageFormat::Jpeg => "JPEG",
        ImageFormat::Gif => "GIF",
        ImageFormat::WebP => "WebP",
        ImageFormat::Bmp => "BMP",
        ImageFormat::Tiff => "TIFF",
        _ => "image",
    }
}
