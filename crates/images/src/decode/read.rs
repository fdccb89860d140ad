//! Runs the decoder of a format, within limits, and finds out what is unusual about the file.

use super::error::from_image_error;
use super::orientation::upright;
use super::samples::SampleLayout;
use super::stored::Stored;
use super::{DecodeError, DecodeOptions, Decoded, MAX_PIXELS, SixteenBitGray, cmyk, jpeg};
use crate::native::Samples;
use crate::{NativeImage, Oddity, jpeg_markers};
use image::codecs::{self, bmp, gif, png, tiff, webp};
use image::metadata::Orientation;
use image::{AnimationDecoder, ExtendedColorType, ImageDecoder, ImageFormat, Limits};
use std::io::Cursor;

/// What one decoder may allocate, its output included, in bytes. Enough for [`MAX_PIXELS`] of 16-bit RGBA.
const MAX_DECODER_BYTES: u64 = 1 << 30;

/// Decodes a file of the given format.
pub(super) fn read(
    bytes: &[u8],
    format: ImageFormat,
    options: DecodeOptions,
) -> Result<Decoded<NativeImage>, DecodeError> {
    let failed = |error| from_image_error(error, name(format));
    let content = Cursor::new(bytes);
    let reader = |stored| Reader { format, stored, options };
    match format {
        ImageFormat::Png => {
            let decoder = png::PngDecoder::with_limits(content, limits()).map_err(failed)?;
            let animated = decoder.is_apng().map_err(failed)?.then_some(Oddity::Animated);
            reader(Stored::in_png(bytes)).read(decoder, animated)
        }
        ImageFormat::Jpeg => {
            let markers = jpeg_markers::survey(bytes);
            if !markers.complete {
                // What is wrong with the headers says more than that the end is missing.
                codecs::jpeg::JpegDecoder::new(content).map_err(failed)?;
                return Err(DecodeError::Truncated { format: name(format) });
            }
            let reader = reader(Stored::AsDelivered);
            if markers.components == 4 {
                return reader.read_inks(bytes, codecs::jpeg::JpegDecoder::new(content).map_err(failed)?);
            }
            let jpeg = jpeg::read(bytes)?;
            let oddities = Vec::from_iter(jpeg.rotated.then_some(Oddity::ExifRotated));
            reader.decoded(jpeg.size, Samples::Rgb(jpeg.pixels), oddities)
        }
        ImageFormat::Gif => {
            let decoder = gif::GifDecoder::new(content.clone()).map_err(failed)?;
            let mut decoded = reader(Stored::in_gif(bytes)).read(decoder, None)?;
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
            reader(Stored::AsDelivered).read(decoder, animated)
        }
        ImageFormat::Bmp => {
            let decoder = bmp::BmpDecoder::new(content).map_err(failed)?;
            reader(Stored::in_bmp(bytes)).read(decoder, None)
        }
        ImageFormat::Tiff => {
            let decoder = tiff::TiffDecoder::new(content).map_err(failed)?;
            let (stored, oddity) = match decoder.original_color_type() {
                ExtendedColorType::L1 => (Stored::Indexed, None),
                ExtendedColorType::Cmyk8 | ExtendedColorType::Cmyk16 => {
                    (Stored::AsDelivered, Some(Oddity::Cmyk))
                }
                _ => (Stored::AsDelivered, None),
            };
            reader(stored).read(decoder, oddity)
        }
        _ => Err(DecodeError::Unrecognised),
    }
}

/// What is known about a file before its pixels are decoded.
struct Reader {
    format: ImageFormat,
    stored: Stored,
    options: DecodeOptions,
}

impl Reader {
    fn read(
        &self,
        mut decoder: impl ImageDecoder,
        oddity: Option<Oddity>,
    ) -> Result<Decoded<NativeImage>, DecodeError> {
        let mut size = self.size(&decoder)?;
        let Some(layout) = SampleLayout::of(decoder.color_type()) else {
            let reason = "floating-point samples".to_string();
            return Err(DecodeError::Unsupported { format: name(self.format), reason });
        };
        let mut limits = limits();
        limits.reserve(decoder.total_bytes()).map_err(|error| self.failed(error))?;
        decoder.set_limits(limits).map_err(|error| self.failed(error))?;
        let orientation = decoder.orientation().map_err(|error| self.failed(error))?;
        let mut bytes = vec![0; decoder.total_bytes() as usize];
        decoder.read_image(&mut bytes).map_err(|error| self.failed(error))?;

        let mut oddities = Vec::from_iter(oddity);
        if orientation != Orientation::NoTransforms {
            if self.format == ImageFormat::Tiff {
                (bytes, size) = upright(&bytes, layout.pixel_bytes(), size, orientation);
            } else {
                oddities.push(Oddity::ExifRotated);
            }
        }
        let gray = self.options.sixteen_bit_gray;
        if layout.is_gray16(self.stored) && gray == SixteenBitGray::Clipped {
            oddities.push(Oddity::SixteenBitGray);
        } else if layout.bytes == 2 {
            oddities.push(Oddity::SixteenBit);
        }
        let (samples, transparent) = layout.to_samples(bytes, self.stored, gray);
        oddities.extend(transparent.then_some(Oddity::Transparent));
        self.decoded(size, samples, oddities)
    }

    /// Reads a JPEG file of four components.
    fn read_inks(
        &self,
        bytes: &[u8],
        mut decoder: impl ImageDecoder,
    ) -> Result<Decoded<NativeImage>, DecodeError> {
        let size = self.size(&decoder)?;
        let Some(inks) = cmyk::inks(bytes)? else { return self.read(decoder, Some(Oddity::Cmyk)) };
        let orientation = decoder.orientation().map_err(|error| self.failed(error))?;
        let mut oddities = vec![Oddity::Cmyk];
        oddities.extend((orientation != Orientation::NoTransforms).then_some(Oddity::ExifRotated));
        self.decoded(size, Samples::Cmyk(inks), oddities)
    }

    /// Width and height, if they are within [`MAX_PIXELS`].
    fn size(&self, decoder: &impl ImageDecoder) -> Result<(usize, usize), DecodeError> {
        let (width, height) = decoder.dimensions();
        if u64::from(width) * u64::from(height) > MAX_PIXELS {
            return Err(DecodeError::TooManyPixels { width, height });
        }
        Ok((width as usize, height as usize))
    }

    fn decoded(
        &self,
        size: (usize, usize),
        samples: Samples,
        mut oddities: Vec<Oddity>,
    ) -> Result<Decoded<NativeImage>, DecodeError> {
        oddities.sort_unstable();
        let image = NativeImage::new(size, samples)
            .map_err(|error| DecodeError::Damaged { format: name(self.format), reason: error.to_string() })?;
        Ok(Decoded { image, oddities })
    }

    fn failed(&self, error: image::ImageError) -> DecodeError {
        from_image_error(error, name(self.format))
    }
}

fn limits() -> Limits {
    let mut limits = Limits::no_limits();
    limits.max_alloc = Some(MAX_DECODER_BYTES);
    limits
}

/// The name of a format.
pub(super) fn name(format: ImageFormat) -> &'static str {
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
