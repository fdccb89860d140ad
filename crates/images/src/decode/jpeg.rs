//! JPEG files of one or three components, straight from `zune-jpeg`: through `image` the headers would be read three
//! times, which shows in small files.

use super::{DecodeError, MAX_PIXELS};
use image::metadata::Orientation;
use zune_jpeg::JpegDecoder;
use zune_jpeg::errors::DecodeErrors;
use zune_jpeg::zune_core::bytestream::ZCursor;
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;

/// A decoded JPEG file.
pub(super) struct Jpeg {
    /// Width and height.
    pub size: (usize, usize),
    /// `[height, width, 3]`.
    pub pixels: Vec<u8>,
    /// Whether its EXIF data ask for a rotation.
    pub rotated: bool,
}

/// What the decoder is told: damaged files are decoded as far as they go, and the size is checked by the caller.
pub(super) fn options() -> DecoderOptions {
    DecoderOptions::default().set_strict_mode(false).set_max_width(usize::MAX).set_max_height(usize::MAX)
}

/// Decodes a file that does not store inks.
pub(super) fn read(bytes: &[u8]) -> Result<Jpeg, DecodeError> {
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(bytes), options());
    decoder.decode_headers().map_err(failed)?;
    let (width, height) = decoder.dimensions().unwrap_or_default();
    if (width as u64).saturating_mul(height as u64) > MAX_PIXELS {
        return Err(DecodeError::TooManyPixels { width: short(width), height: short(height) });
    }
    let orientation = decoder.exif().and_then(|exif| Orientation::from_exif_chunk(exif));
    let rotated = orientation.is_some_and(|orientation| orientation != Orientation::NoTransforms);
    let gray = decoder.input_colorspace() == Some(ColorSpace::Luma);
    let (colours, channels) = if gray { (ColorSpace::Luma, 1) } else { (ColorSpace::RGB, 3) };
    decoder.set_options(options().jpeg_set_out_colorspace(colours));
    let mut pixels = vec![0; width * height * channels];
    decoder.decode_into(&mut pixels).map_err(failed)?;
    if gray {
        pixels = pixels.into_iter().flat_map(|level| [level; 3]).collect();
    }
    Ok(Jpeg { size: (width, height), pixels, rotated })
}

fn short(side: usize) -> u32 {
    u32::try_from(side).unwrap_or(u32::MAX)
}

/// What `zune-jpeg` says, in the terms of this crate.
pub(super) fn failed(error: DecodeErrors) -> DecodeError {
    match error {
        DecodeErrors::Unsupported(feature) => {
            DecodeError::Unsupported { format: "JPEG", reason: format!("{feature:?}") }
        }
        error => DecodeError::Damaged { format: "JPEG", reason: error.to_string() },
    }
}
