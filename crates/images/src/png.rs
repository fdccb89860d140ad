//! Writing images, for reports and for looking at what a model sees.

use crate::RgbImage;
use image::{ExtendedColorType, ImageEncoder, codecs::png::PngEncoder};
use thiserror::Error;

/// Why an image could not be written as PNG.
#[derive(Debug, Error)]
pub enum EncodeError {
    /// A side or a buffer that PNG or [`RgbImage`] does not allow (the fields of an [`RgbImage`] are public).
    #[error("cannot write an image of {width} x {height} pixels with {bytes} bytes as PNG")]
    Shape {
        /// Pixels per row.
        width: usize,
        /// Rows.
        height: usize,
        /// Bytes of the pixel buffer.
        bytes: usize,
    },
    /// The encoder failed.
    #[error("cannot write the PNG: {0}")]
    Encoder(#[source] image::ImageError),
}

/// The image as an 8-bit RGB PNG file.
///
/// # Errors
/// [`EncodeError::Shape`] if the image's buffer does not fit its sides.
pub fn encode_png(image: &RgbImage) -> Result<Vec<u8>, EncodeError> {
    let shape = EncodeError::Shape { width: image.width, height: image.height, bytes: image.pixels.len() };
    let (Ok(width), Ok(height)) = (u32::try_from(image.width), u32::try_from(image.height)) else {
        return Err(shape);
    };
    if u64::from(width) * u64::from(height) * 3 != image.pixels.len() as u64 || image.pixels.is_empty() {
        return Err(shape);
    }
    let mut file = Vec::new();
    PngEncoder::new(&mut file)
        .write_image(&image.pixels, width, height, ExtendedColorType::Rgb8)
        .map_err(EncodeError::Encoder)?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode;

    #[test]
    fn what_is_written_is_read() {
        let image = RgbImage::new(3, 2, (0..18).map(|byte| byte * 14).collect()).unwrap();
        assert_eq!(decode(&encode_png(&image).unwrap()).unwrap().image, image);
    }

    #[test]
    fn an_image_with_a_wrong_buffer_is_refused() {
        let image = RgbImage { width: 3, height: 2, pixels: vec![0; 17] };
        assert!(matches!(encode_png(&image), Err(EncodeError::Shape { bytes: 17, .. })));
    }
}
